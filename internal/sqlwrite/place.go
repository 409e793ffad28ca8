package sqlwrite

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// place makes a statement whose target has no key one over the places of its rows. What
// takes a row as a whole is refused, as the place would be in it.
func (c *composer) place() error {
	c.placed, c.schema, c.target = true, c.schema.Placed(), lake.QuoteIdent(c.s.name())
	for _, piece := range c.s.expressions() {
		if err := c.checkWhole(piece); err != nil {
			return err
		}
	}
	return nil
}

// checkReturned is the same of RETURNING where rows come with what becomes of them.
func (c *composer) checkReturned() error {
	for _, o := range c.s.Returning {
		if err := c.checkWhole(o.Expr); err != nil {
			return err
		}
	}
	return nil
}

// width is how many columns the dataset has.
func (c *composer) width() int {
	if c.placed {
		return len(c.schema.Columns) - 1
	}
	return len(c.schema.Columns)
}

// expressions are the pieces that see columns of the target.
func (s *Statement) expressions() []string {
	out := []string{s.Where}
	set := func(as []Assignment) {
		for _, a := range as {
			out = append(out, a.Expr)
		}
	}
	set(s.Set)
	for _, o := range s.Returning {
		out = append(out, o.Expr)
	}
	if m := s.Merge; m != nil {
		out = append(out, m.On)
		for _, a := range m.Arms {
			out = append(append(out, a.And, a.Message), a.Values...)
			set(a.Set)
		}
	}
	return out
}

// checkWhole refuses an expression that takes all columns of the target at once, by its
// name or as f(*); other stars are no expression. It refuses more than that: its name is
// also one behind a comma of a FROM.
func (c *composer) checkWhole(piece string) error {
	toks, err := sqltext.Tokens(piece)
	if err != nil {
		return invalid("%w", err)
	}
	_, column := c.schema.Column(c.s.name())
	p := &parser{Cursor: sqltext.Cursor{SQL: piece, Toks: toks}}
	is := func(i int, words ...string) bool {
		return i >= 0 && i < len(toks) && toks[i].In(sqltext.WordSet(strings.Join(words, " ")))
	}
	mark := func(i int, mark string) bool { return i >= 0 && i < len(toks) && toks[i].Is(mark) }
	nested := -1 // the end of the outermost query that a token stands in
	for i, t := range toks {
		if i > nested && t.Is("(") && i+1 < len(toks) && toks[i+1].In(queryWords) {
			nested = p.Closer(i)
		}
		whole := false
		switch {
		case t.Kind == sqltext.Word || t.Kind == sqltext.Quoted:
			named := strings.EqualFold(p.label(t), c.s.name()) && !mark(i-1, ".") && !is(i-1, "from", "join", "as")
			whole = named && (mark(i+1, ".") && mark(i+2, "*") || !column && !mark(i+1, ".") && !mark(i+1, "("))
		case t.Is("*"):
			whole = i > nested && mark(i-1, "(") && !is(i-2, "count")
		}
		if whole {
			return unsupported("%s as a whole row is not served here, as columns of tarn's own would be in it", c.s.name()).
				WithHint("name its columns; a query in parentheses reads %s as any does", c.name)
		}
	}
	return nil
}

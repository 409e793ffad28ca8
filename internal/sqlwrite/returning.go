package sqlwrite

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// cutReturning takes RETURNING off the end, and gives a parser of what stands behind it;
// nil where there is none. Behind AS and a point the word is a name.
func (p *parser) cutReturning() *parser {
	at := p.until(func(i int) bool {
		return p.Toks[i].Is("returning") && !p.Toks[i-1].Is("as") && !p.Toks[i-1].Is(".")
	})
	if at == len(p.Toks) {
		return nil
	}
	q := &parser{Cursor: sqltext.Cursor{SQL: p.SQL, Toks: p.Toks, At: at + 1}}
	p.Toks = p.Toks[:at]
	return q
}

// outputs reads the list of RETURNING, which ends the statement.
func (p *parser) outputs(s *Statement) ([]Output, error) {
	var out []Output
	for {
		end := p.until(func(i int) bool { return p.Toks[i].Is(",") })
		if p.At == end {
			return nil, p.expected("an expression")
		}
		one, err := p.output(s, p.At, end)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
		if p.At = end; !p.Take(",") {
			return out, nil
		}
	}
}

func (p *parser) output(s *Statement, from, to int) (Output, error) {
	if p.Toks[to-1].Is("*") && (to == from+1 || to == from+3 && p.Toks[from+1].Is(".")) {
		if to == from+1 {
			return Output{Star: true}, nil
		}
		p.At = from
		of, err := p.name("an expression")
		if err == nil && !strings.EqualFold(of, s.name()) {
			err = invalid("%s.* is not of the row that the statement changes", of).WithHint("RETURNING %s.*", s.name())
		}
		return Output{Star: true}, err
	}
	out := Output{}
	last := p.Toks[to-1]
	switch {
	case to-2 > from && p.Toks[to-2].Is("as") && (last.Kind == sqltext.Word || last.Kind == sqltext.Quoted):
		out.Alias, to = p.label(last), to-2
	case p.bareAlias(from, to):
		out.Alias, to = p.label(last), to-1
	}
	if err := p.oneEach("RETURNING", from, to); err != nil {
		return Output{}, err
	}
	var err error
	out.Expr, err = p.expression(from, to)
	return out, err
}

// name is how a row of the target is called in the statement.
func (s *Statement) name() string {
	if s.Alias != "" {
		return s.Alias
	}
	return s.Target.Dataset
}

func (p *parser) label(t sqltext.Token) string {
	if t.Kind == sqltext.Quoted {
		return sqltext.Unquote(p.SQL[t.Start:t.End])
	}
	return p.SQL[t.Start:t.End]
}

// bareAlias says whether a list's part ends with an alias without AS. It is one only
// behind a name, a number or a bracket that closes: elsewhere the last word may be of
// the expression (1 + interval (2) day, x COLLATE nocase).
func (p *parser) bareAlias(from, to int) bool {
	if to-from < 2 {
		return false
	}
	last, before := p.Toks[to-1], p.Toks[to-2]
	if last.Kind != sqltext.Quoted && (last.Kind != sqltext.Word || !isName(last.Word) || units[last.Word]) {
		return false
	}
	if before.Is(")") || before.Is("]") {
		return true
	}
	for i := from; i < to-1; i++ {
		t := p.Toks[i]
		named := t.Kind == sqltext.Quoted || t.Kind == sqltext.Word && isName(t.Word) && !typeWords[t.Word]
		if (i-from)%2 == 0 && !named || (i-from)%2 == 1 && !t.Is(".") {
			return false
		}
	}
	return (to-from)%2 == 0
}

var (
	units = sqltext.WordSet(`year years month months day days hour hours minute minutes second seconds millisecond
milliseconds microsecond microseconds week weeks quarter quarters decade decades century centuries millennium millennia`)
	typeWords = sqltext.WordSet("double interval date time timestamp")
	// manyRows make several rows of one, or none.
	manyRows = sqltext.WordSet("unnest unlist generate_subscripts regexp_split_to_table")
)

// oneEach refuses what gives several values for a row, or none.
func (p *parser) oneEach(where string, from, to int) error {
	for i := from; i+1 < to; i++ {
		t := p.Toks[i]
		if t.Is("(") && p.Toks[i+1].In(queryWords) {
			i = p.Closer(i)
			continue
		}
		if (t.Kind == sqltext.Word || t.Kind == sqltext.Quoted) && manyRows[sqltext.Lower(p.label(t))] && p.Toks[i+1].Is("(") {
			return lake.Errorf(lake.CodeSQLRefused, "%s in %s, where a row stands for itself", strings.ToUpper(p.label(t)), where).
				WithHint("take the list apart in another query")
		}
	}
	return nil
}

// returned is what RETURNING gives of a row, as SELECT lists it; "" for none. It stands
// behind all else in the Read.
func (c *composer) returned() string {
	var out []string
	for _, o := range c.s.Returning {
		switch {
		case o.Star:
			for i := range c.width() {
				out = append(out, c.row()+"."+c.quoted(i))
			}
		case o.Alias != "":
			out = append(out, "("+o.Expr+"\n) AS "+lake.QuoteIdent(o.Alias))
		default:
			out = append(out, "("+o.Expr+"\n)")
		}
	}
	return strings.Join(out, ", ")
}

// outputs is the number of columns that RETURNING gives.
func (c *composer) outputs() int {
	n := 0
	for _, o := range c.s.Returning {
		if n++; o.Star {
			n += c.width() - 1
		}
	}
	return n
}

// row is the name of the changed rows, before a column that RETURNING gives.
func (c *composer) row() string { return lake.QuoteIdent(c.s.name()) }

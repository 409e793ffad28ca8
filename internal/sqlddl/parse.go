package sqlddl

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// parser reads the tokens of one statement from the left.
type parser struct {
	sql  string
	toks []sqltext.Token // without the semicolon at the end
	at   int
}

var verbs = sqltext.WordSet("create drop")

// Parse reads a statement. It gives nil where the text is none of this package. Errors:
// CodeSQLInvalid, CodeSQLRefused, CodeUnsupported, CodeInvalidRequest (a name or type).
func Parse(sql string) (*Statement, error) {
	first := sqltext.New(sql)
	first.Next()
	explained := first.Is("explain")
	if explained {
		first.Next()
		if first.Is("analyze") || first.Is("analyse") {
			first.Next()
		}
	}
	if !verbs[sqltext.Lower(first.Word)] {
		return nil, nil
	}
	if explained {
		return nil, refused("EXPLAIN of what makes or drops a dataset is not served").WithHint("EXPLAIN the query alone")
	}
	toks, err := sqltext.Tokens(sql)
	if err != nil {
		return nil, invalid("%w", err)
	}
	p := &parser{sql: sql, toks: toks}
	if err := p.oneStatement(); err != nil {
		return nil, err
	}
	if p.next().Is("drop") {
		return p.drop()
	}
	return p.create()
}

// oneStatement takes the semicolons off the end and refuses all others.
func (p *parser) oneStatement() error {
	for n := len(p.toks); n > 0 && p.toks[n-1].Is(";"); n-- {
		p.toks = p.toks[:n-1]
	}
	for _, t := range p.toks {
		if t.Is(";") {
			return refused("more than one statement in one text").
				WithHint("send one statement at a time; each is all or nothing by itself")
		}
	}
	return nil
}

// now is the present token; at the end, one of no word.
func (p *parser) now() sqltext.Token { return p.peek(0) }

func (p *parser) peek(n int) sqltext.Token {
	if p.at+n < len(p.toks) {
		return p.toks[p.at+n]
	}
	return sqltext.Token{Kind: sqltext.Mark, Start: len(p.sql), End: len(p.sql)}
}

func (p *parser) next() sqltext.Token {
	t := p.now()
	p.at++
	return t
}

func (p *parser) ended() bool { return p.at >= len(p.toks) }

// take goes over the words if they come next.
func (p *parser) take(words ...string) bool {
	for i, w := range words {
		if !p.peek(i).Is(w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

// found tells what stands at the present token, for errors.
func (p *parser) found() string {
	if p.ended() {
		return "the end"
	}
	t := p.now()
	found := p.sql[t.Start:t.End]
	if len(found) > 40 {
		found = strings.ToValidUTF8(found[:40], "") + "…"
	}
	return found
}

func (p *parser) expected(what string) error {
	return invalid("%s was expected before %s", what, p.found())
}

// isName says whether a word without quotes can be a name.
func isName(word string) bool { return !sqltext.Reserved[word] && !sqltext.TypeFunction[word] }

// name reads a name.
func (p *parser) name(what string) (string, error) {
	t := p.now()
	switch {
	case t.Kind == sqltext.Quoted:
		p.at++
		return sqltext.Unquote(p.sql[t.Start:t.End]), nil
	case t.Kind == sqltext.Word && isName(t.Word):
		p.at++
		return p.sql[t.Start:t.End], nil
	}
	return "", p.expected(what)
}

// dataset reads a dataset's name, of one part or two.
func (p *parser) dataset() (lake.Name, error) {
	var parts []string
	for {
		part, err := p.name("the name of a dataset")
		if err != nil {
			return lake.Name{}, err
		}
		if strings.Contains(part, ".") {
			return lake.Name{}, lake.Errorf(lake.CodeInvalidRequest, "%q is not part of a dataset name", part).
				WithHint("a name is [namespace.]name, each part of letters, digits and _")
		}
		if parts = append(parts, part); !p.take(".") {
			break
		}
	}
	if len(parts) > 2 {
		return lake.Name{}, refused("the name %s: names of datasets have at most two parts", strings.Join(parts, "."))
	}
	return lake.ParseName(strings.Join(parts, "."))
}

// names reads a list of names in parentheses, the first of which is the present token.
func (p *parser) names(what string) ([]string, error) {
	if !p.take("(") {
		return nil, p.expected("a (")
	}
	var out []string
	for {
		one, err := p.name(what)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
		if p.take(")") {
			return out, nil
		}
		if !p.take(",") {
			return nil, p.expected("a comma or a )")
		}
	}
}

// end fails where something is left.
func (p *parser) end() error {
	if p.ended() {
		return nil
	}
	return p.expected("the end of the statement")
}

func invalid(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLInvalid, format, args...)
}

func refused(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLRefused, format, args...)
}

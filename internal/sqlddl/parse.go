package sqlddl

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// parser reads the tokens of one statement from the left.
type parser struct {
	sqltext.Cursor // without the semicolon at the end
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
	p := &parser{Cursor: sqltext.Cursor{SQL: sql, Toks: toks}}
	if err := p.oneStatement(); err != nil {
		return nil, err
	}
	if p.Next().Is("drop") {
		return p.drop()
	}
	return p.create()
}

// oneStatement takes the semicolons off the end and refuses all others.
func (p *parser) oneStatement() error {
	if p.TakeEnd() {
		return nil
	}
	return refused("more than one statement in one text").
		WithHint("send one statement at a time; each is all or nothing by itself")
}

func (p *parser) expected(what string) error {
	return invalid("%s was expected before %s", what, p.Found())
}

// name reads a name.
func (p *parser) name(what string) (string, error) {
	if name, ok := p.TakeName(nil); ok {
		return name, nil
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
		if parts = append(parts, part); !p.Take(".") {
			break
		}
	}
	if len(parts) > 2 {
		return lake.Name{}, refused("the name %s: names of datasets have at most two parts", strings.Join(parts, "."))
	}
	return lake.ParseName(strings.Join(parts, "."))
}

// names reads a list of names in parentheses.
func (p *parser) names(what string) ([]string, error) {
	names, expected := p.TakeNames(what, nil)
	if expected != "" {
		return nil, p.expected(expected)
	}
	return names, nil
}

// end fails where something is left.
func (p *parser) end() error {
	if p.Ended() {
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

package sqlcopy

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Statement is one COPY.
type Statement struct {
	Into lake.Name // of COPY FROM
	// Query is the text that COPY TO asks; "" for COPY FROM. Of COPY name TO it is
	// SELECT * (or the columns) FROM name.
	Query  string
	File   string // as the statement names it
	Format string // of the option, in lower case: csv, json, ndjson, parquet, arrow; "": the file's name says it
}

// parser reads the tokens of one statement from the left.
type parser struct {
	sqltext.Cursor
}

// Parse reads a COPY; nil where the text is none. Errors: CodeSQLInvalid, CodeUnsupported.
func Parse(sql string) (*Statement, error) {
	if first := sqltext.New(sql); !first.Next() || !first.Is("copy") {
		return nil, nil
	}
	toks, err := sqltext.Tokens(sql)
	if err != nil {
		return nil, invalid("%w", err)
	}
	for n := len(toks); n > 0 && toks[n-1].Is(";"); n-- {
		toks = toks[:n-1]
	}
	p := &parser{Cursor: sqltext.Cursor{SQL: sql, Toks: toks, At: 1}}
	s, err := p.statement()
	if err != nil {
		return nil, err
	}
	if p.At < len(p.Toks) {
		return nil, p.expected("the end of the statement")
	}
	return s, nil
}

func (p *parser) statement() (*Statement, error) {
	s := &Statement{}
	if p.Now().Is("(") {
		from, close := p.At, p.Closer(p.At)
		if close == from+1 {
			return nil, invalid("the query of COPY is empty")
		}
		s.Query = p.SQL[p.Toks[from+1].Start:p.Toks[close-1].End]
		p.At = close + 1
		if !p.Take("to") {
			return nil, p.expected("TO")
		}
		return s, p.file(s)
	}
	parts, err := p.names(".")
	if err != nil {
		return nil, err
	}
	columns := "*"
	if p.Take("(") {
		names, err := p.names(",")
		if err != nil {
			return nil, err
		}
		if !p.Take(")") {
			return nil, p.expected("a comma or a )")
		}
		columns = quoted(names, ", ")
	}
	switch {
	case p.Take("to"):
		s.Query = "SELECT " + columns + " FROM " + quoted(parts, ".")
	case p.Take("from"):
		if columns != "*" {
			return nil, unsupported("a list of columns in COPY FROM").WithHint("the columns of a file go to those of their names: leave the list out")
		}
		if s.Into, err = lake.ParseName(strings.Join(parts, ".")); err != nil {
			return nil, err
		}
	default:
		return nil, p.expected("FROM or TO")
	}
	return s, p.file(s)
}

// file reads the file's name and the options.
func (p *parser) file(s *Statement) error {
	t := p.Now()
	text := p.SQL[t.Start:t.End]
	switch {
	case t.Is("stdin") || t.Is("stdout"):
		return unsupported("COPY with %s", strings.ToUpper(t.Word)).WithHint("name a file; tarn upsert and tarn sql read and write standard input and output")
	case t.Kind != sqltext.Text || text[0] != '\'':
		return p.expected("the name of a file in single quotes")
	}
	s.File = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	if p.At++; s.File == "" {
		return invalid("the name of the file is empty")
	}
	p.Take("with")
	if !p.Take("(") {
		return nil
	}
	for {
		if err := p.option(s); err != nil {
			return err
		}
		if p.Take(")") {
			return nil
		}
		if !p.Take(",") {
			return p.expected("a comma or a )")
		}
	}
}

// option reads one option: those that say what is so anyway are let through.
func (p *parser) option(s *Statement) error {
	name := p.Now()
	if name.Kind != sqltext.Word {
		return p.expected("an option")
	}
	p.At++
	value := ""
	if t := p.Now(); t.Kind == sqltext.Word || t.Kind == sqltext.Text || t.Kind == sqltext.Quoted {
		value = strings.ToLower(strings.Trim(p.SQL[t.Start:t.End], `'"`))
		p.At++
	}
	switch name.Word {
	case "format":
		if !formats[value] {
			return unsupported("the format %s", value).WithHint("csv, json, ndjson, parquet or arrow")
		}
		s.Format = value
		return nil
	case "header":
		if value == "" || value == "true" {
			return nil
		}
		return unsupported("CSV without a header").WithHint("the first line names the columns")
	}
	return unsupported("the option %s of COPY", strings.ToUpper(name.Word)).
		WithHint("FORMAT and HEADER are known; the delimiter of a CSV is found out, and a name that ends with .gz is compressed")
}

var formats = sqltext.WordSet("csv json ndjson parquet arrow")

// names reads names that a mark parts.
func (p *parser) names(mark string) ([]string, error) {
	var out []string
	for {
		name, ok := p.TakeName(nil)
		if !ok {
			return nil, p.expected("a name")
		}
		if out = append(out, name); !p.Take(mark) {
			return out, nil
		}
	}
}

func (p *parser) expected(what string) error {
	return invalid("%s was expected before %s", what, p.Found())
}

func quoted(names []string, sep string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = lake.QuoteIdent(n)
	}
	return strings.Join(out, sep)
}

func invalid(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLInvalid, "COPY: "+format, args...)
}

func unsupported(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeUnsupported, "COPY: "+format, args...)
}

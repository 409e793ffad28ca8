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
	sql  string
	toks []sqltext.Token
	at   int
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
	p := &parser{sql: sql, toks: toks, at: 1}
	s, err := p.statement()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.toks) {
		return nil, p.expected("the end of the statement")
	}
	return s, nil
}

func (p *parser) statement() (*Statement, error) {
	s := &Statement{}
	if p.now().Is("(") {
		from, close := p.at, p.closer()
		if close == from+1 {
			return nil, invalid("the query of COPY is empty")
		}
		s.Query = p.sql[p.toks[from+1].Start:p.toks[close-1].End]
		p.at = close + 1
		if !p.take("to") {
			return nil, p.expected("TO")
		}
		return s, p.file(s)
	}
	parts, err := p.names(".")
	if err != nil {
		return nil, err
	}
	columns := "*"
	if p.take("(") {
		names, err := p.names(",")
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.expected("a comma or a )")
		}
		columns = quoted(names, ", ")
	}
	switch {
	case p.take("to"):
		s.Query = "SELECT " + columns + " FROM " + quoted(parts, ".")
	case p.take("from"):
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
	t := p.now()
	text := p.sql[t.Start:t.End]
	switch {
	case t.Is("stdin") || t.Is("stdout"):
		return unsupported("COPY with %s", strings.ToUpper(t.Word)).WithHint("name a file; tarn upsert and tarn sql read and write standard input and output")
	case t.Kind != sqltext.Text || text[0] != '\'':
		return p.expected("the name of a file in single quotes")
	}
	s.File = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	if p.at++; s.File == "" {
		return invalid("the name of the file is empty")
	}
	p.take("with")
	if !p.take("(") {
		return nil
	}
	for {
		if err := p.option(s); err != nil {
			return err
		}
		if p.take(")") {
			return nil
		}
		if !p.take(",") {
			return p.expected("a comma or a )")
		}
	}
}

// option reads one option: those that say what is so anyway are let through.
func (p *parser) option(s *Statement) error {
	name := p.now()
	if name.Kind != sqltext.Word {
		return p.expected("an option")
	}
	p.at++
	value := ""
	if t := p.now(); t.Kind == sqltext.Word || t.Kind == sqltext.Text || t.Kind == sqltext.Quoted {
		value = strings.ToLower(strings.Trim(p.sql[t.Start:t.End], `'"`))
		p.at++
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

// now is the present token; at the end, one of no word.
func (p *parser) now() sqltext.Token {
	if p.at < len(p.toks) {
		return p.toks[p.at]
	}
	return sqltext.Token{Kind: sqltext.Mark, Start: len(p.sql), End: len(p.sql)}
}

func (p *parser) take(word string) bool {
	if !p.now().Is(word) {
		return false
	}
	p.at++
	return true
}

// names reads names that a mark parts.
func (p *parser) names(mark string) ([]string, error) {
	var out []string
	for {
		switch t := p.now(); {
		case t.Kind == sqltext.Quoted:
			out = append(out, sqltext.Unquote(p.sql[t.Start:t.End]))
		case t.Kind == sqltext.Word && !sqltext.Reserved[t.Word] && !sqltext.TypeFunction[t.Word]:
			out = append(out, p.sql[t.Start:t.End])
		default:
			return nil, p.expected("a name")
		}
		if p.at++; !p.take(mark) {
			return out, nil
		}
	}
}

// closer is the place of the bracket that closes the present one.
func (p *parser) closer() int {
	for i := p.at + 1; i < len(p.toks); i++ {
		if t := p.toks[i]; t.Depth == p.now().Depth && t.Is(")") {
			return i
		}
	}
	return len(p.toks) - 1 // brackets match: see sqltext.Tokens
}

func (p *parser) expected(what string) error {
	found := "the end"
	if t := p.now(); p.at < len(p.toks) {
		found = p.sql[t.Start:t.End]
	}
	return invalid("%s was expected before %s", what, found)
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

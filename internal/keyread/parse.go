package keyread

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Read is SELECT * FROM a dataset WHERE a column = a value, and nothing more.
type Read struct {
	Namespace string // "" where the text says none
	Dataset   string
	Column    string
	Value     any  // int64 or string
	Parameter bool // the value is the first parameter
}

// Name is the dataset's.
func (r Read) Name() lake.Name {
	if r.Namespace == "" {
		return lake.Name{Namespace: lake.DefaultNamespace, Dataset: r.Dataset}
	}
	return lake.Name{Namespace: r.Namespace, Dataset: r.Dataset}
}

// maxBytes is the longest text that is looked at.
const maxBytes = 128 << 10

// Parse recognises a text that is a Read. Any other, and any that it is not sure of, it
// leaves to the gate.
func Parse(sql string) (p Read, ok bool) {
	// A zero byte ends a text for DuckDB, and \v is no space for it.
	if len(sql) > maxBytes || strings.ContainsAny(sql, "\x00\v") || !utf8.ValidString(sql) {
		return p, false
	}
	r := reader{Scanner: sqltext.New(sql), sql: sql}
	for _, word := range []string{"select", "*", "from"} {
		if !r.Next() || !r.Is(word) {
			return p, false
		}
	}
	if p.Dataset, ok = r.name(); !ok {
		return p, false
	}
	if r.Next(); r.Word == "." {
		p.Namespace = p.Dataset
		if p.Dataset, ok = r.name(); !ok {
			return p, false
		}
		r.Next()
	}
	if !r.Is("where") {
		return p, false
	}
	if p.Column, ok = r.name(); !ok || !r.Next() || r.Word != "=" || !r.value(&p) {
		return p, false
	}
	return p, (r.Word == "" || r.Word == ";" && !r.Next()) && !r.Open
}

// reader reads the parts of a Read off a text.
type reader struct {
	*sqltext.Scanner
	sql string
}

// text is the present word as it stands.
func (r reader) text() string { return r.sql[r.Start:r.End()] }

// value reads what the column is compared with, and goes to the word behind it.
func (r reader) value(p *Read) bool {
	r.Next()
	switch text := r.text(); {
	case strings.HasPrefix(text, "'"):
		if r.Open {
			return false
		}
		p.Value = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
		r.Next()
		return true
	case text == "?":
		p.Parameter = true
		r.Next()
		return true
	case text == "$":
		p.Parameter = true
		return r.number() == "1"
	case text == "-":
		return p.integer("-" + r.number())
	default:
		return p.integer(text + r.number())
	}
}

// number reads the digits that follow the present word without a space, and goes to
// the word behind them.
func (r reader) number() (digits string) {
	for end := r.End(); r.Next() && r.Start == end && r.Word >= "0" && r.Word <= "9"; end = r.End() {
		digits += r.Word
	}
	return digits
}

func (p *Read) integer(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	p.Value = n
	return err == nil && text[0] != '+'
}

// name reads a name, plain or quoted.
func (r reader) name() (string, bool) {
	if !r.Next() {
		return "", false
	}
	text := r.text()
	if text[0] == '"' {
		if r.Open || len(text) < 3 {
			return "", false
		}
		return sqltext.Unquote(text), true
	}
	return text, plain.MatchString(text) && !mayBeMore(strings.ToLower(text))
}

// plain is a name without quotes. Some characters beyond ASCII are spaces to DuckDB.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// mayBeMore says whether a word without quotes may mean something else than a name.
func mayBeMore(word string) bool {
	return sqltext.Reserved[word] || sqltext.TypeFunction[word] || sqltext.ColumnName[word] ||
		sqltext.SessionColumns[word] || sqltext.VolatileColumns[word] || word == "user"
}

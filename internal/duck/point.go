//go:build duckdb_arrow

package duck

import (
	"regexp"
	"strconv"
	"strings"
)

// PointRead is SELECT * FROM a dataset WHERE a column = a value, and nothing more.
type PointRead struct {
	Namespace string // "" where the text says none
	Dataset   string
	Column    string
	Value     any  // int64 or string
	Parameter bool // the value is the first parameter
}

// AsPointRead recognises a text that is a PointRead. Any other, and any that it is
// not sure of, it leaves to the gate.
func AsPointRead(sql string) (p PointRead, ok bool) {
	if len(sql) > DefaultMaxSQLBytes || checkText(sql) != nil || strings.Contains(sql, "\v") { // no space for DuckDB
		return p, false
	}
	s := scanner{src: sql}
	for _, word := range []string{"select", "*", "from"} {
		if !s.next() || !s.is(word) {
			return p, false
		}
	}
	if p.Dataset, ok = s.name(); !ok {
		return p, false
	}
	more := s.next()
	if more && s.word == "." {
		p.Namespace = p.Dataset
		if p.Dataset, ok = s.name(); !ok {
			return p, false
		}
		more = s.next()
	}
	if !more || !s.is("where") {
		return p, false
	}
	if p.Column, ok = s.name(); !ok || !s.next() || s.word != "=" || !p.value(&s) {
		return p, false
	}
	if s.next() && (s.word != ";" || s.next()) {
		return p, false
	}
	return p, true
}

// value reads what the column is compared with.
func (p *PointRead) value(s *scanner) bool {
	s.skipSpace()
	rest := s.src[s.pos:]
	digits := len(rest) - len(strings.TrimLeft(strings.TrimPrefix(rest, "-"), "0123456789"))
	switch {
	case strings.HasPrefix(rest, "'"):
		if !s.next() || !closed(rest[:len(rest)-len(s.src[s.pos:])]) {
			return false
		}
		text := s.src[len(s.src)-len(rest) : s.pos]
		p.Value = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
		return true
	case strings.HasPrefix(rest, "?"), strings.HasPrefix(rest, "$1"):
		p.Parameter = true
		s.pos += len("?")
		if rest[0] == '$' {
			s.pos++
		}
		return s.pos == len(s.src) || !isNameByte(s.src[s.pos])
	case digits > 0:
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		p.Value = n
		s.pos += digits
		return err == nil && (s.pos == len(s.src) || !isNameByte(s.src[s.pos]))
	}
	return false
}

// closed says whether a string that was stepped over ends with its own quote.
func closed(text string) bool {
	inner, ok := strings.CutSuffix(strings.TrimPrefix(text, "'"), "'")
	return ok && len(text) > 1 && strings.Count(inner, "'")%2 == 0
}

// name reads a name, plain or quoted.
func (s *scanner) name() (string, bool) {
	s.skipSpace()
	start := s.pos
	if !s.next() {
		return "", false
	}
	text := s.src[start:s.pos]
	if text[0] == '"' {
		inner := strings.TrimSuffix(text[1:], `"`)
		return strings.ReplaceAll(inner, `""`, `"`), len(inner) > 0 && len(text) == len(inner)+2 && strings.Count(inner, `"`)%2 == 0
	}
	return text, plain.MatchString(text) && !keywords[strings.ToLower(text)]
}

// plain is a name without quotes. Some characters beyond ASCII are spaces to DuckDB.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// keywords are words that without quotes may mean something else than a name:
// DuckDB 1.5.6's duckdb_keywords() but for the unreserved, and what stands for a
// function without parentheses.
var keywords = wordSet(`
	all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
	deferrable desc describe distinct do else end except false fetch for foreign from group having in initially intersect
	into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing primary
	qualify references returning select show some summarize symmetric table then to trailing true union unique unpivot
	using variadic when where window with
	anti asof at authorization binary by collation columns concurrently cross freeze full generated glob ilike inner is
	isnull join left like map natural notnull outer overlaps positional right semi similar struct tablesample try_cast
	unpack verbose
	between bigint bit boolean char character coalesce dec decimal exists extract float grouping grouping_id inout int
	integer interval national nchar none nullif numeric out overlay position precision real row setof smallint substring
	time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse
	xmlpi xmlroot xmlserialize xmltable
	current_catalog current_date current_role current_schema current_time current_timestamp current_user localtime
	localtimestamp session_user user
`)

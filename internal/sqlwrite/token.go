package sqlwrite

import (
	"strings"
	"unicode"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// kind is what a token is.
type kind uint8

const (
	word   kind = iota // a name or a keyword
	quoted             // a quoted name
	text               // a string
	mark               // any other byte
)

// token is one word of the text, its bounds in bytes, and how many brackets it stands
// in; a bracket stands where its pair does.
type token struct {
	kind       kind
	word       string // of a word in lower case, of a mark its byte
	start, end int
	depth      int
}

func (t token) is(w string) bool { return (t.kind == word || t.kind == mark) && t.word == w }

// oneOf says whether the token is one of these words.
func (t token) oneOf(words map[string]bool) bool { return t.kind == word && words[t.word] }

var closing = map[string]string{"(": ")", "[": "]", "{": "}"}

// tokens cuts a text. It fails where brackets do not match, where a string or comment
// does not end, and where names begin with what tarn keeps for itself.
func tokens(sql string) ([]token, error) {
	var out []token
	var open []string // the brackets that would close
	s := sqltext.New(sql)
	for s.Next() {
		t := token{start: s.Start, end: s.End(), depth: len(open), word: s.Word, kind: mark}
		c := sql[t.start]
		switch {
		case c == '"':
			t.kind = quoted
		case sql[t.end-1] == '\'' || s.Word == `"`:
			t.kind = text
		case c == '_' || c >= 0x80 || c|0x20 >= 'a' && c|0x20 <= 'z':
			t.kind, t.word = word, lower(s.Word)
		case closing[s.Word] != "":
			open = append(open, closing[s.Word])
		case c == ')' || c == ']' || c == '}':
			if len(open) == 0 || open[len(open)-1] != s.Word {
				return nil, invalid("a %s closes nothing", s.Word)
			}
			open = open[:len(open)-1]
			t.depth = len(open)
		}
		if err := checkName(sql, t); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	switch {
	case s.Open:
		return nil, invalid("a comment, a string or a quoted name does not end")
	case len(open) > 0:
		return nil, invalid("a %s is missing", open[len(open)-1])
	}
	return out, nil
}

// checkName refuses names that tarn gives to parts of a Read, and white space that
// only DuckDB takes for such.
func checkName(sql string, t token) error {
	name := t.word
	switch t.kind {
	case quoted:
		name = lower(sqltext.Unquote(sql[t.start:t.end]))
	case word:
		if strings.IndexFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Zs) }) >= 0 {
			return invalid("there is white space that is not ASCII outside of quotes")
		}
	default:
		return nil
	}
	if strings.HasPrefix(name, lake.ReservedColumnPrefix) {
		return lake.Errorf(lake.CodeSQLRefused, "names that begin with %s are tarn's own", lake.ReservedColumnPrefix)
	}
	return nil
}

// lower folds ASCII alone, as DuckDB does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func invalid(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLInvalid, format, args...)
}

func unsupported(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeUnsupported, format, args...)
}

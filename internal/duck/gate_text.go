//go:build duckdb_arrow

package duck

import (
	"strings"

	"tarn/internal/lake"
)

// statementText is a text with EXPLAIN taken off.
type statementText struct {
	explain   string // "EXPLAIN " with its options, to be put back; or ""
	query     string // the rest, of the same bytes as it came
	firstWord string // of query
	pivots    bool   // query has the word PIVOT
}

// Bounds on what DuckDB's planner does badly: 20,000 UNION ALL took 7.4 GB, and
// the time to parse AND and OR grows with the square of their number.
const (
	maxSetOperations = 500
	maxConnectives   = 4000
)

var setOperations = wordSet("union intersect except")
var connectives = wordSet("and or")

// readText looks at the words of a text outside comments, strings and quoted
// names. All that follows from them is bounds, better errors and where EXPLAIN
// ends; what may run is judged on the parsed tree.
func readText(sql string) (statementText, error) {
	t := statementText{query: sql}
	s := scanner{src: sql}
	if s.next() && s.is("explain") {
		options, rest, err := explainOptions(&s)
		if err != nil {
			return t, err
		}
		t.explain, t.query = "EXPLAIN "+options, rest
		s = scanner{src: rest}
		s.next()
	}
	t.firstWord = s.word
	sets, links := 0, 0
	for ok := s.word != ""; ok; ok = s.next() {
		word := strings.ToLower(s.word)
		switch {
		case setOperations[word]:
			sets++
		case connectives[word]:
			links++
		case word == "pivot" || word == "pivot_wider":
			t.pivots = true
		}
	}
	switch {
	case sets > maxSetOperations:
		return t, lake.Errorf(lake.CodeTooLarge, "the SQL has %d set operations and may have %d", sets, maxSetOperations).
			WithHint("join with a list: FROM (VALUES …)")
	case links > maxConnectives:
		return t, lake.Errorf(lake.CodeTooLarge, "the SQL has %d AND and OR and may have %d", links, maxConnectives).
			WithHint("write IN (…), or join with a list of values")
	}
	return t, nil
}

// explainOptions reads what stands between EXPLAIN and the statement. ANALYZE
// would run the statement, which may be any.
func explainOptions(s *scanner) (options, rest string, err error) {
	rest = s.src[s.pos:]
	if !s.next() {
		return "", rest, nil
	}
	if s.is("analyze") || s.is("analyse") {
		return "", "", refused("EXPLAIN ANALYZE").WithHint("EXPLAIN shows the plan without running it")
	}
	if s.word != "(" {
		return "", rest, nil
	}
	// EXPLAIN (FORMAT json) SELECT …; any other parenthesis begins the statement.
	if !s.next() || !s.is("format") && !s.is("analyze") && !s.is("analyse") {
		return "", rest, nil
	}
	if !s.is("format") || !s.next() || !explainFormats[strings.ToLower(s.word)] {
		return "", "", refused("these options of EXPLAIN").WithHint("EXPLAIN, or EXPLAIN (FORMAT json), yaml or text")
	}
	format := strings.ToLower(s.word)
	if !s.next() || s.word != ")" {
		return "", "", refused("these options of EXPLAIN").WithHint("EXPLAIN, or EXPLAIN (FORMAT json), yaml or text")
	}
	return "(FORMAT " + format + ") ", s.src[s.pos:], nil
}

var explainFormats = wordSet("text json yaml")

// scanner steps over the words of SQL: names and keywords as one, every other
// byte as its own. Comments, strings, dollar strings and quoted names are stepped
// over (a quoted name or string is the word `"`).
type scanner struct {
	src  string
	pos  int
	word string
}

func (s *scanner) is(word string) bool { return strings.EqualFold(s.word, word) }

// next goes to the next word; false at the end.
func (s *scanner) next() bool {
	s.skipSpace()
	if s.pos >= len(s.src) {
		s.word = ""
		return false
	}
	start := s.pos
	switch c := s.src[s.pos]; {
	case isNameByte(c) && (c < '0' || c > '9'):
		for s.pos < len(s.src) && isNameByte(s.src[s.pos]) {
			s.pos++
		}
		s.word = s.src[start:s.pos]
		if (s.is("e") || s.is("x") || s.is("b")) && strings.HasPrefix(s.src[s.pos:], "'") {
			s.quoted('\'', s.is("e"))
		}
		return true
	case c == '\'' || c == '"':
		s.quoted(c, false)
	case c == '$' && s.dollarString():
	default:
		s.pos++
		s.word = s.src[start:s.pos]
		return true
	}
	s.word = `"`
	return true
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// skipSpace steps over white space and comments; block comments nest.
func (s *scanner) skipSpace() {
	for s.pos < len(s.src) {
		rest := s.src[s.pos:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			s.pos++
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexAny(rest, "\r\n")
			if n < 0 {
				n = len(rest)
			}
			s.pos += n
		case strings.HasPrefix(rest, "/*"):
			s.blockComment()
		default:
			return
		}
	}
}

func (s *scanner) blockComment() {
	depth := 0
	for s.pos < len(s.src) {
		switch rest := s.src[s.pos:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.pos += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			s.pos += 2
			if depth == 0 {
				return
			}
		default:
			s.pos++
		}
	}
}

// quoted steps over a string or a quoted name, in which the quote is doubled or,
// with escapes, stands behind a backslash.
func (s *scanner) quoted(quote byte, escapes bool) {
	for s.pos++; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; {
		case escapes && c == '\\':
			s.pos++
		case c == quote && strings.HasPrefix(s.src[s.pos+1:], string(quote)):
			s.pos++
		case c == quote:
			s.pos++
			return
		}
	}
	s.pos = len(s.src)
}

// dollarString steps over $tag$ … $tag$ if one begins here.
func (s *scanner) dollarString() bool {
	end := s.pos + 1
	for end < len(s.src) && isNameByte(s.src[end]) {
		end++
	}
	if end >= len(s.src) || s.src[end] != '$' || end > s.pos+1 && s.src[s.pos+1] >= '0' && s.src[s.pos+1] <= '9' {
		return false
	}
	tag := s.src[s.pos : end+1]
	s.pos = end + 1
	if n := strings.Index(s.src[s.pos:], tag); n >= 0 {
		s.pos += n + len(tag)
	} else {
		s.pos = len(s.src)
	}
	return true
}

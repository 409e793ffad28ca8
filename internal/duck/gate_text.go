//go:build duckdb_arrow

package duck

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// statementText is a text with EXPLAIN taken off.
type statementText struct {
	explain   string // "EXPLAIN " with its options, to be put back; or ""
	analyzes  bool   // EXPLAIN ANALYZE
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

var setOperations = sqltext.WordSet("union intersect except")
var connectives = sqltext.WordSet("and or")

// readText looks at the words of a text outside comments, strings and quoted
// names. All that follows from them is bounds, better errors and where EXPLAIN
// ends; what may run is judged on the parsed tree.
func readText(sql string) (statementText, error) {
	t := statementText{query: sql}
	s := sqltext.New(sql)
	if s.Next() && s.Is("explain") {
		options, rest, err := explainOptions(s)
		if err != nil {
			return t, err
		}
		t.explain, t.analyzes, t.query = "EXPLAIN "+options, options == analyzed, rest
		s = sqltext.New(rest)
		s.Next()
	}
	t.firstWord = s.Word
	sets, links := 0, 0
	for ok := s.Word != ""; ok; ok = s.Next() {
		word := strings.ToLower(s.Word)
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

// analyzed are the options of EXPLAIN ANALYZE: its JSON is made a text for the client,
// of which all is taken out that he must not see.
const analyzed = "(ANALYZE, FORMAT json) "

// explainOptions reads what stands between EXPLAIN and the statement.
func explainOptions(s *sqltext.Scanner) (options, rest string, err error) {
	rest = s.Rest()
	if !s.Next() {
		return "", rest, nil
	}
	if isAnalyze(s) {
		return analyzed, s.Rest(), nil
	}
	if s.Word != "(" {
		return "", rest, nil
	}
	// EXPLAIN (FORMAT json) SELECT …; any other parenthesis begins the statement.
	if !s.Next() || !s.Is("format") && !isAnalyze(s) {
		return "", rest, nil
	}
	if isAnalyze(s) {
		if !s.Next() || s.Word != ")" {
			return "", "", refused("these options of EXPLAIN").WithHint("EXPLAIN ANALYZE gives a text, and takes no other options")
		}
		return analyzed, s.Rest(), nil
	}
	if !s.Next() || !explainFormats[strings.ToLower(s.Word)] {
		return "", "", refused("these options of EXPLAIN").WithHint(explainHint)
	}
	format := strings.ToLower(s.Word)
	if !s.Next() || s.Word != ")" {
		return "", "", refused("these options of EXPLAIN").WithHint(explainHint)
	}
	return "(FORMAT " + format + ") ", s.Rest(), nil
}

const explainHint = "EXPLAIN, EXPLAIN ANALYZE, or EXPLAIN (FORMAT json), yaml or text"

func isAnalyze(s *sqltext.Scanner) bool { return s.Is("analyze") || s.Is("analyse") }

var explainFormats = sqltext.WordSet("text json yaml")

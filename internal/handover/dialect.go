package handover

import (
	"fmt"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// dialect is how a cluster spells words.
type dialect struct {
	engine string
	name   func(string) string // a name in quotes
	text   func(string) string // a string in quotes
	marker func(ref) string    // of a parameter
	// joins are words that DuckDB takes for a kind of join, and the cluster for the name
	// that the table before it gets: it would answer, and something else.
	joins map[string]bool
}

// ref is a parameter that a text names: by its number from 1 on, or by its name.
type ref struct {
	number int
	name   string
	marked bool // by ?, without its number
}

func (r ref) String() string {
	if r.name != "" {
		return "$" + r.name
	}
	return fmt.Sprintf("$%d", r.number)
}

// spell writes a text that the gate let pass with the cluster's words, and gives its
// parameters in the order of their places. The words stay as they are, so that the cluster
// reads the statement that the gate has judged; what only DuckDB's lexer knows is refused.
func (d dialect) spell(sql string) (string, []ref, error) {
	toks, err := sqltext.Tokens(sql)
	if err != nil {
		return "", nil, lake.Errorf(lake.CodeSQLInvalid, "the SQL does not parse: %w", err)
	}
	s := &speller{dialect: d, c: sqltext.Cursor{SQL: sql, Toks: toks}}
	if !s.c.TakeEnd() {
		return "", nil, s.refused("more than one statement")
	}
	for !s.c.Ended() {
		if err := s.word(); err != nil {
			return "", nil, err
		}
	}
	return s.out.String(), s.refs, s.mixed()
}

type speller struct {
	dialect
	c    sqltext.Cursor
	out  strings.Builder
	end  int // of the token before, in the text
	refs []ref
}

// allowedMarks are the marks that mean the same, or an error, in every dialect. (^ is a
// power in DuckDB, and in Spark another thing.)
const allowedMarks = "()[]{},.:+-*/%|&<>=!~0123456789"

// word writes the next token.
func (s *speller) word() error {
	t := s.c.Next()
	gap := t.Start > s.end && s.end > 0 // where there was a comment, a space is enough
	s.end = t.End
	text := s.c.SQL[t.Start:t.End]
	switch t.Kind {
	case sqltext.Quoted:
		s.put(true, s.name(sqltext.Unquote(text)))
	case sqltext.Text:
		value, err := s.value(text)
		if err != nil {
			return err
		}
		s.put(true, s.text(value))
	case sqltext.Word:
		if err := s.judge(t); err != nil {
			return err
		}
		if !plain(text) {
			s.put(true, s.name(text))
			return nil
		}
		s.put(gap, text)
	default:
		return s.mark(t, gap, text)
	}
	return nil
}

func (s *speller) mark(t sqltext.Token, gap bool, text string) error {
	switch {
	case t.Is("?") && s.c.Now().Start == t.End && isDigit(s.c.Now()):
		return s.refused("a parameter ?1").WithHint("write it $1")
	case t.Is("?"):
		s.refer(ref{number: s.marks() + 1, marked: true})
	case t.Is("$"):
		return s.named(t)
	case len(text) == 1 && strings.Contains(allowedMarks, text):
		s.put(gap, text)
	default:
		return s.refused("the mark %s", text)
	}
	return nil
}

// named reads the name or the number behind a $.
func (s *speller) named(t sqltext.Token) error {
	r, end := ref{}, t.End
	if next := s.c.Now(); next.Kind == sqltext.Word && next.Start == end {
		s.c.Next()
		r.name, end = s.c.SQL[next.Start:next.End], next.End
	}
	for next := s.c.Now(); r.name == "" && next.Start == end && isDigit(next); next = s.c.Now() {
		r.number, end = r.number*10+int(next.Word[0]-'0'), next.End
		if r.number > maxParams {
			break
		}
		s.c.Next()
	}
	if r.name == "" && (r.number < 1 || r.number > maxParams) {
		return s.refused("a $ without the name or the number of a parameter")
	}
	s.end = end
	s.refer(r)
	return nil
}

// maxParams bounds the number of a parameter.
const maxParams = 10_000

func isDigit(t sqltext.Token) bool {
	return t.Kind == sqltext.Mark && len(t.Word) == 1 && t.Word[0] >= '0' && t.Word[0] <= '9'
}

func (s *speller) refer(r ref) {
	s.refs = append(s.refs, r)
	s.put(true, s.marker(r))
}

// marks counts the parameters so far that have no name and no number.
func (s *speller) marks() (n int) {
	for _, r := range s.refs {
		if r.marked {
			n++
		}
	}
	return n
}

// mixed refuses parameters of several kinds in one text.
func (s *speller) mixed() error {
	for _, r := range s.refs {
		if r.marked != s.refs[0].marked || (r.name == "") != (s.refs[0].name == "") {
			return s.refused("parameters with ?, $1 and $name in one text").WithHint("use one of the three")
		}
	}
	return nil
}

// judge refuses the words that would mean something else.
func (s *speller) judge(t sqltext.Token) error {
	next := s.c.Now()
	switch {
	case t.Is("recursive") && s.c.At > 1 && s.c.Toks[s.c.At-2].Is("with"):
		return s.refused("WITH RECURSIVE").WithHint("ask without engine: it is answered here")
	case s.joins[t.Word] && (next.Is("join") || t.Is("asof") && next.Is("left")):
		return s.refused("a %s JOIN, which it does not know", strings.ToUpper(t.Word)).WithHint("write it as a join with a condition, or ask without engine")
	}
	return nil
}

// value is the value of a string.
func (s *speller) value(text string) (string, error) {
	switch text[0] {
	case '\'':
		return strings.ReplaceAll(text[1:len(text)-1], "''", "'"), nil
	case '$':
		tag := strings.IndexByte(text[1:], '$') + 2
		return text[tag : len(text)-tag], nil
	}
	return "", s.refused("the string %s", text).WithHint("write it as '…', without a letter before it")
}

// put appends a word, behind a space where it must not touch the one before.
func (s *speller) put(gap bool, text string) {
	if gap && s.out.Len() > 0 {
		s.out.WriteByte(' ')
	}
	s.out.WriteString(text)
	if gap && (text[0] == '\'' || text[0] == '"' || text[0] == '`') {
		s.out.WriteByte(' ')
	}
}

func (s *speller) refused(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLRefused, "what is handed over to "+title(s.engine)+" cannot have "+format, args...)
}

// plain says whether a word is one for every lexer.
func plain(word string) bool {
	for i := range len(word) {
		c := word[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// sparkDialect has names in backticks, and in strings a backslash before what ends them.
// The value of a string is never substituted (${…}): there is no $ in it.
var sparkDialect = dialect{
	engine: Spark,
	name:   func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" },
	text: func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, `$`, `\u0024`).Replace(s) + "'"
	},
	marker: func(r ref) string {
		switch {
		case r.marked:
			return "?"
		case r.name != "":
			return ":" + r.name
		}
		return fmt.Sprintf(":p%d", r.number)
	},
	joins: sqltext.WordSet("positional asof"),
}

// trinoDialect is standard SQL; every parameter is a ?.
var trinoDialect = dialect{
	engine: Trino,
	name:   lake.QuoteIdent,
	text:   lake.QuoteString,
	marker: func(ref) string { return "?" },
	joins:  sqltext.WordSet("positional asof semi anti"),
}

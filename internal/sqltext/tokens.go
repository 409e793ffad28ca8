package sqltext

import (
	"errors"
	"fmt"
)

// Kind is what a Token is.
type Kind uint8

// The kinds.
const (
	Word   Kind = iota // a name or a keyword
	Quoted             // a quoted name
	Text               // a string
	Mark               // any other byte
)

// Token is one word of a text, its bounds in bytes, and how many brackets it stands in;
// a bracket stands where its pair does.
type Token struct {
	Kind       Kind
	Word       string // of a word in lower case, of a mark its byte
	Start, End int
	Depth      int
}

// Is says whether the token is this word or mark, which is in lower case.
func (t Token) Is(word string) bool { return (t.Kind == Word || t.Kind == Mark) && t.Word == word }

// In says whether the token is one of these words.
func (t Token) In(words map[string]bool) bool { return t.Kind == Word && words[t.Word] }

var closing = map[string]string{"(": ")", "[": "]", "{": "}"}

// Tokens cuts a whole text. It fails where brackets do not match, or where a string, a
// quoted name or a comment does not end.
func Tokens(sql string) ([]Token, error) {
	var out []Token
	var open []string // the brackets that would close
	s := New(sql)
	for s.Next() {
		t := Token{Start: s.Start, End: s.End(), Depth: len(open), Word: s.Word, Kind: Mark}
		c := sql[t.Start]
		switch {
		case c == '"':
			t.Kind = Quoted
		case sql[t.End-1] == '\'' || s.Word == `"`:
			t.Kind = Text
		case isNameByte(c) && (c < '0' || c > '9'):
			t.Kind, t.Word = Word, Lower(s.Word)
		case closing[s.Word] != "":
			open = append(open, closing[s.Word])
		case c == ')' || c == ']' || c == '}':
			if len(open) == 0 || open[len(open)-1] != s.Word {
				return nil, fmt.Errorf("a %s closes nothing", s.Word)
			}
			open = open[:len(open)-1]
			t.Depth = len(open)
		}
		out = append(out, t)
	}
	switch {
	case s.Open:
		return nil, errors.New("a comment, a string or a quoted name does not end")
	case len(open) > 0:
		return nil, fmt.Errorf("a %s is missing", open[len(open)-1])
	}
	return out, nil
}

// Lower folds ASCII alone, as DuckDB does.
func Lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

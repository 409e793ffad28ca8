package sqltext

import "strings"

// Scanner steps over the words of SQL: names and keywords as one, every other
// byte as its own. Comments, strings, dollar strings and quoted names are stepped
// over (a quoted name or string is the word `"`; a string with a letter before it is
// that letter).
type Scanner struct {
	Word string // the present one; "" at the end
	// Start is where it begins. Behind the last word it is the length of the text.
	Start int
	// Open says that the text ends within a comment, a string or a quoted name.
	Open bool

	src string
	pos int
}

// New makes a scanner that stands before the first word of a text.
func New(sql string) *Scanner { return &Scanner{src: sql} }

// Is says whether the word is this one, without regard to case.
func (s *Scanner) Is(word string) bool { return strings.EqualFold(s.Word, word) }

// End is where the present word ends.
func (s *Scanner) End() int { return s.pos }

// Rest is the text behind the present word.
func (s *Scanner) Rest() string { return s.src[s.pos:] }

// Next goes to the next word; false at the end.
func (s *Scanner) Next() bool {
	s.skipSpace()
	s.Start = s.pos
	if s.pos >= len(s.src) {
		s.Word = ""
		return false
	}
	start := s.pos
	switch c := s.src[s.pos]; {
	case isNameByte(c) && (c < '0' || c > '9'):
		for s.pos < len(s.src) && (isNameByte(s.src[s.pos]) || s.src[s.pos] == '$') {
			s.pos++
		}
		s.Word = s.src[start:s.pos]
		if (s.Is("e") || s.Is("x") || s.Is("b")) && strings.HasPrefix(s.src[s.pos:], "'") {
			s.quoted('\'', s.Is("e"))
		}
		return true
	case c == '\'' || c == '"':
		s.quoted(c, false)
	case c == '$' && s.dollarString():
	default:
		s.pos++
		s.Word = s.src[start:s.pos]
		return true
	}
	s.Word = `"`
	return true
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// skipSpace steps over white space and comments; block comments nest.
func (s *Scanner) skipSpace() {
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

func (s *Scanner) blockComment() {
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
	s.Open = true
}

// quoted steps over a string or a quoted name, in which the quote is doubled or,
// with escapes, stands behind a backslash.
func (s *Scanner) quoted(quote byte, escapes bool) {
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
	s.pos, s.Open = len(s.src), true
}

// dollarString steps over $tag$ … $tag$ if one begins here.
func (s *Scanner) dollarString() bool {
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
		s.pos, s.Open = len(s.src), true
	}
	return true
}

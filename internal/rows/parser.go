package rows

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// parser reads one JSON value that is in memory as a whole, token by token.
// It knows JSON's grammar and nothing of types: numbers stay literals, so that
// no digit is lost.
type parser struct {
	b       []byte
	i       int
	scratch []byte // of strings with escapes
	depth   int    // of skip
}

// maxDepth bounds the nesting of values that are passed over.
const maxDepth = 1000

// syntaxError is JSON that does not parse.
type syntaxError struct {
	at   int // byte in parser.b
	what string
}

func (e *syntaxError) Error() string { return e.what }

func (p *parser) fail(format string, args ...any) error {
	return &syntaxError{p.i, fmt.Sprintf(format, args...)}
}

// unexpected fails at the next byte.
func (p *parser) unexpected(want string) error {
	if p.i >= len(p.b) {
		return p.fail("it ends where %s is expected", want)
	}
	r, _ := utf8.DecodeRune(p.b[p.i:])
	return p.fail("%q where %s is expected", r, want)
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// peek gives the next byte that is not space, 0 at the end.
func (p *parser) peek() byte {
	for p.i < len(p.b) {
		if c := p.b[p.i]; !isSpace(c) {
			return c
		}
		p.i++
	}
	return 0
}

// take reads the byte c if it is the next.
func (p *parser) take(c byte) bool {
	if p.peek() == c && p.i < len(p.b) {
		p.i++
		return true
	}
	return false
}

// end fails if anything but space is left.
func (p *parser) end() error {
	if p.peek(); p.i < len(p.b) {
		return p.unexpected("the end")
	}
	return nil
}

func (p *parser) word(w string) error {
	if !bytes.HasPrefix(p.b[p.i:], []byte(w)) {
		return p.unexpected("a value")
	}
	p.i += len(w)
	return nil
}

// more goes on in an array or object that close ends: it is true before each
// member. first is set before the first.
func (p *parser) more(first bool, close byte) (bool, error) {
	if p.take(close) {
		return false, nil
	}
	if first {
		return true, nil
	}
	if !p.take(',') {
		return false, p.unexpected(fmt.Sprintf("',' or '%c'", close))
	}
	if p.peek() == close {
		return false, p.unexpected("a value")
	}
	return true, nil
}

// key reads a member's name and the colon. It is valid until the next string.
func (p *parser) key() ([]byte, error) {
	if p.peek() != '"' {
		return nil, p.unexpected("a name in quotes")
	}
	k, err := p.str()
	if err == nil && !p.take(':') {
		err = p.unexpected("':'")
	}
	return k, err
}

// str reads a string and gives its value, which may not be valid UTF-8 where
// the body is not, and which is valid until the next string.
func (p *parser) str() ([]byte, error) {
	start := p.i + 1
	for i := start; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '"':
			p.i = i + 1
			return p.b[start:i], nil
		case c == '\\':
			return p.escaped(start, i)
		case c < 0x20:
			p.i = i
			return nil, p.fail("a control character in a string")
		}
	}
	p.i = len(p.b)
	return nil, p.fail("a string does not end")
}

// escaped goes on with a string from its first backslash, at i.
func (p *parser) escaped(start, i int) ([]byte, error) {
	out := append(p.scratch[:0], p.b[start:i]...)
	for i < len(p.b) {
		c := p.b[i]
		switch {
		case c == '"':
			p.i = i + 1
			p.scratch = out
			return out, nil
		case c < 0x20:
			p.i = i
			return nil, p.fail("a control character in a string")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(p.b) {
			break
		}
		p.i = i
		switch e := p.b[i+1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n, err := p.unicode(i)
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, r)
			i += n
			continue
		default:
			return nil, p.fail("an unknown escape in a string")
		}
		i += 2
	}
	p.i = len(p.b)
	return nil, p.fail("a string does not end")
}

// unicode reads \uXXXX at i, and the second half of a pair. A half alone is no
// character and cannot be kept, so it is refused.
func (p *parser) unicode(i int) (r rune, n int, err error) {
	r, ok := hex4(p.b, i+2)
	if !ok {
		return 0, 0, p.fail(`\u without four hex digits`)
	}
	if !utf16.IsSurrogate(r) {
		return r, 6, nil
	}
	if i+7 < len(p.b) && p.b[i+6] == '\\' && p.b[i+7] == 'u' {
		if low, ok := hex4(p.b, i+8); ok {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, 12, nil
			}
		}
	}
	return 0, 0, p.fail(`\u with one half of a surrogate pair`)
}

func hex4(b []byte, i int) (r rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (p *parser) digits() bool {
	start := p.i
	for p.i < len(p.b) && p.b[p.i]-'0' <= 9 {
		p.i++
	}
	return p.i > start
}

// number reads a number and gives it as written.
func (p *parser) number() ([]byte, error) {
	start := p.i
	if p.i < len(p.b) && p.b[p.i] == '-' {
		p.i++
	}
	zero := p.i < len(p.b) && p.b[p.i] == '0'
	first := p.i
	if !p.digits() {
		return nil, p.unexpected("a value")
	}
	if zero && p.i > first+1 {
		return nil, p.fail("a number with a leading zero")
	}
	if p.i < len(p.b) && p.b[p.i] == '.' {
		p.i++
		if !p.digits() {
			return nil, p.unexpected("a digit")
		}
	}
	if p.i < len(p.b) && p.b[p.i]|0x20 == 'e' {
		p.i++
		if p.i < len(p.b) && (p.b[p.i] == '+' || p.b[p.i] == '-') {
			p.i++
		}
		if !p.digits() {
			return nil, p.unexpected("a digit")
		}
	}
	return p.b[start:p.i], nil
}

// skip passes over a value of any kind and gives it as written.
func (p *parser) skip() ([]byte, error) {
	c := p.peek()
	start := p.i
	var err error
	switch c {
	case '"':
		_, err = p.str()
	case '{', '[':
		err = p.skipNested(c)
	case 't':
		err = p.word("true")
	case 'f':
		err = p.word("false")
	case 'n':
		err = p.word("null")
	default:
		_, err = p.number()
	}
	if err != nil {
		return nil, err
	}
	return p.b[start:p.i], nil
}

func (p *parser) skipNested(open byte) error {
	if p.depth++; p.depth > maxDepth {
		return p.fail("nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	p.i++
	closing := open + 2 // '{' and '[' are two below '}' and ']'
	for first := true; ; first = false {
		more, err := p.more(first, closing)
		if err != nil || !more {
			return err
		}
		if open == '{' {
			if _, err = p.key(); err != nil {
				return err
			}
		}
		if _, err = p.skip(); err != nil {
			return err
		}
	}
}

package sqltext

import "strings"

// Cursor reads the tokens of one statement from the left.
type Cursor struct {
	SQL  string
	Toks []Token // of SQL
	At   int     // place of the present one
}

// Now is the present token; at the end, one of no word.
func (c *Cursor) Now() Token { return c.Peek(0) }

// Peek is the token so many places on.
func (c *Cursor) Peek(n int) Token {
	if c.At+n < len(c.Toks) {
		return c.Toks[c.At+n]
	}
	return Token{Kind: Mark, Start: len(c.SQL), End: len(c.SQL)}
}

// Next goes over the present token, and gives it.
func (c *Cursor) Next() Token {
	t := c.Now()
	c.At++
	return t
}

// Ended says whether no token is left.
func (c *Cursor) Ended() bool { return c.At >= len(c.Toks) }

// Take goes over words or marks, in lower case, if they come next.
func (c *Cursor) Take(words ...string) bool {
	for i, w := range words {
		if !c.Peek(i).Is(w) {
			return false
		}
	}
	c.At += len(words)
	return true
}

// TakeEnd takes the semicolons off the end; false where there are others.
func (c *Cursor) TakeEnd() bool {
	for n := len(c.Toks); n > 0 && c.Toks[n-1].Is(";"); n-- {
		c.Toks = c.Toks[:n-1]
	}
	for _, t := range c.Toks {
		if t.Is(";") {
			return false
		}
	}
	return true
}

// Found tells what stands at the present token, for errors.
func (c *Cursor) Found() string {
	if c.Ended() {
		return "the end"
	}
	t := c.Now()
	found := c.SQL[t.Start:t.End]
	if len(found) > 40 {
		found = strings.ToValidUTF8(found[:40], "") + "…"
	}
	return found
}

// Closer is the place of the bracket that closes the one at a place.
func (c *Cursor) Closer(open int) int {
	depth := c.Toks[open].Depth
	for i := open + 1; i < len(c.Toks); i++ {
		if t := c.Toks[i]; t.Depth == depth && t.Kind == Mark && (t.Word == ")" || t.Word == "]" || t.Word == "}") {
			return i
		}
	}
	return len(c.Toks) - 1 // brackets match: see Tokens
}

// TakeName goes over a name, unless it is a word for which no says so; quotes are taken
// off. ok is false where none stands there.
func (c *Cursor) TakeName(no func(word string) bool) (name string, ok bool) {
	t := c.Now()
	switch {
	case t.Kind == Quoted:
		c.At++
		return Unquote(c.SQL[t.Start:t.End]), true
	case t.Kind == Word && !Reserved[t.Word] && !TypeFunction[t.Word] && (no == nil || !no(t.Word)):
		c.At++
		return c.SQL[t.Start:t.End], true
	}
	return "", false
}

// TakeNames goes over a list of names in parentheses, each of which is called what and is
// read by TakeName. expected is what was to stand at the present token instead; "": it was
// read.
func (c *Cursor) TakeNames(what string, no func(word string) bool) (names []string, expected string) {
	if !c.Take("(") {
		return nil, "a ("
	}
	for {
		name, ok := c.TakeName(no)
		if !ok {
			return nil, what
		}
		names = append(names, name)
		if c.Take(")") {
			return names, ""
		}
		if !c.Take(",") {
			return nil, "a comma or a )"
		}
	}
}

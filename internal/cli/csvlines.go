package cli

import "io"

// csvLines ends the lines of a CSV with \n, as text tools of a shell expect,
// where RFC 4180 has \r\n. Line ends within quotes are data and stay.
type csvLines struct {
	w      io.Writer
	quoted bool
	held   bool // a \r outside quotes that may begin a line end
	out    []byte
}

func (c *csvLines) Write(p []byte) (int, error) {
	c.out = c.out[:0]
	for _, b := range p {
		if c.held {
			c.held = false
			if b != '\n' {
				c.out = append(c.out, '\r')
			}
		}
		switch {
		case b == '"':
			c.quoted = !c.quoted // a doubled quote is two turns
		case b == '\r' && !c.quoted:
			c.held = true
			continue
		}
		c.out = append(c.out, b)
	}
	if _, err := c.w.Write(c.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

package rows

import (
	"bytes"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
)

// ndjsonSource reads an object a line. Lines of nothing but space are no rows.
type ndjsonSource struct {
	lines *lines
	o     DecodeOptions
	tb    *table
	p     parser
	err   error
	read  func(line []byte) error // of one row
}

func newNDJSONSource(f *feed, o DecodeOptions, t *tally) *ndjsonSource {
	s := &ndjsonSource{lines: &lines{f: f}, o: o}
	s.tb, s.err = newTable(o.Schema.Columns, o.Schema.Arrow(), o, t)
	s.read = s.readRow
	return s
}

func (s *ndjsonSource) close() { s.tb.release() }

func (s *ndjsonSource) next() (arrow.RecordBatch, error) {
	for s.err == nil && !s.tb.full(&s.o) {
		if s.err = s.one(); s.err == io.EOF {
			s.err = s.tb.ended()
		}
	}
	if s.err != nil && s.err != io.EOF {
		return nil, s.err
	}
	if s.tb.rows == 0 {
		return nil, s.err
	}
	return s.tb.batch()
}

// one reads one line.
func (s *ndjsonSource) one() error {
	line, place, long, err := s.lines.next(s.o.MaxRowBytes)
	switch {
	case err != nil:
		return err
	case long:
		s.tb.tooLong(s.o.MaxRowBytes)
		return nil
	case len(bytes.TrimLeft(line, " \t\r\n")) == 0:
		return nil
	}
	s.tb.begin(len(line))
	return parseError(s.tb.tally.rows, place, s.read(line))
}

func (s *ndjsonSource) readRow(line []byte) error {
	s.p.b, s.p.i = line, 0
	return s.tb.value(&s.p, s.tb.reader())
}

// lines cuts a body at its line feeds.
type lines struct {
	f     *feed
	begun bool
}

// next gives the next line without its line feed, and its place; long is set,
// and the line passed over, where it has more than max bytes. io.EOF ends.
func (l *lines) next(max int) (line []byte, place int64, long bool, err error) {
	f := l.f
	if !l.begun {
		l.begun = true
		if err := f.skipBOM(); err != nil {
			return nil, 0, false, err
		}
	}
	scanned := 0
	for {
		w := f.window()
		if i := bytes.IndexByte(w[scanned:], '\n'); i >= 0 {
			n := scanned + i
			place = f.place(0)
			f.pos += n + 1
			return w[:n], place, long || n > max, nil
		}
		scanned = len(w)
		if scanned > max {
			long = true
			f.pos, scanned = f.end, 0
		}
		more, err := f.fill()
		if err != nil {
			return nil, 0, false, err
		}
		if !more {
			if scanned == 0 && !long {
				return nil, 0, false, io.EOF
			}
			w, place = f.window(), f.place(0)
			f.pos = f.end
			return w, place, long, nil
		}
	}
}

// jsonSource reads an array of objects, or one object.
type jsonSource struct {
	f    *feed
	o    DecodeOptions
	tb   *table
	p    parser
	err  error
	step jsonStep
}

type jsonStep int

const (
	jsonBegin jsonStep = iota
	jsonFirst          // after '['
	jsonMore           // after a row of an array
	jsonEnd            // only space may follow
)

func newJSONSource(f *feed, o DecodeOptions, t *tally) *jsonSource {
	s := &jsonSource{f: f, o: o}
	s.tb, s.err = newTable(o.Schema.Columns, o.Schema.Arrow(), o, t)
	return s
}

func (s *jsonSource) close() { s.tb.release() }

func (s *jsonSource) next() (arrow.RecordBatch, error) {
	for s.err == nil && !s.tb.full(&s.o) {
		if s.err = s.one(); s.err == io.EOF {
			s.err = s.tb.ended()
		}
	}
	if s.err != nil && s.err != io.EOF {
		return nil, s.err
	}
	if s.tb.rows == 0 {
		return nil, s.err
	}
	return s.tb.batch()
}

// one reads up to the end of the next row.
func (s *jsonSource) one() error {
	if s.step == jsonBegin {
		if err := s.f.skipBOM(); err != nil {
			return err
		}
	}
	c, err := s.peek()
	if err != nil {
		return err
	}
	switch s.step {
	case jsonBegin:
		switch c {
		case '[':
			s.f.pos++
			s.step = jsonFirst
			return nil
		case '{':
			s.step = jsonEnd
			return s.row()
		}
		return s.fail(c, "an array of objects or an object")
	case jsonFirst, jsonMore:
		if c == ']' {
			s.f.pos++
			s.step = jsonEnd
			return nil
		}
		if s.step == jsonMore {
			if c != ',' {
				return s.fail(c, "',' or ']'")
			}
			s.f.pos++
			if c, err = s.peek(); err != nil {
				return err
			}
			if c == ']' {
				return s.fail(c, "a row")
			}
		}
		s.step = jsonMore
		return s.row()
	}
	if c == 0 && s.f.pos == s.f.end {
		return io.EOF
	}
	return s.fail(c, "the end of the body")
}

// peek gives the next byte that is not space, 0 at the end of the body.
func (s *jsonSource) peek() (byte, error) {
	for {
		for s.f.pos < s.f.end {
			if c := s.f.buf[s.f.pos]; !isSpace(c) {
				return c, nil
			}
			s.f.pos++
		}
		if more, err := s.f.fill(); err != nil || !more {
			return 0, err
		}
	}
}

// fail is the error of the byte c at the window's start.
func (s *jsonSource) fail(c byte, want string) error {
	p := parser{b: s.f.window()}
	if len(p.b) > 4 {
		p.b = p.b[:4] // one character
	}
	return parseError(s.tb.tally.rows+1, s.f.place(0), p.unexpected(want))
}

// row reads the value at the window's start as a row.
func (s *jsonSource) row() error {
	var x extent
	scanned, long := 0, false
	for done := false; !done; {
		var n int
		n, done = x.scan(s.f.window()[scanned:])
		scanned += n
		if scanned > s.o.MaxRowBytes {
			long = true
			s.f.pos += scanned
			scanned = 0
		}
		if done {
			break
		}
		more, err := s.f.fill()
		if err != nil {
			return err
		}
		if !more {
			if long {
				return syntaxAt(s.tb.tally.rows+1, s.f.place(0), "the body ends in the middle of a row")
			}
			break // the parser says what is missing
		}
	}
	if long {
		s.tb.tooLong(s.o.MaxRowBytes)
		return nil
	}
	s.p.b, s.p.i = s.f.window()[:scanned], 0
	place := s.f.place(0)
	s.f.pos += scanned
	s.tb.begin(scanned)
	return parseError(s.tb.tally.rows, place, s.tb.value(&s.p, s.tb.reader()))
}

// extent finds the end of a JSON value that comes in pieces, by its brackets
// and strings alone; whether it is JSON is the parser's to say.
type extent struct {
	depth  int
	string bool
	escape bool
}

// scan reads on and gives the number of bytes of b that belong to the value;
// done when it has ended.
func (x *extent) scan(b []byte) (n int, done bool) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if x.string {
			switch {
			case x.escape:
				x.escape = false
			case c == '\\':
				x.escape = true
			case c == '"':
				if x.string = false; x.depth == 0 {
					return i + 1, true
				}
			}
			continue
		}
		switch c {
		case '"':
			x.string = true
		case '{', '[':
			x.depth++
		case '}', ']':
			if x.depth == 0 {
				return i, true
			}
			if x.depth--; x.depth == 0 {
				return i + 1, true
			}
		case ',', ' ', '\t', '\r', '\n':
			if x.depth == 0 {
				return i, true
			}
		}
	}
	return len(b), false
}

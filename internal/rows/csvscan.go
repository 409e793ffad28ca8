package rows

import (
	"bytes"
	"io"

	"tarn/internal/lake"
)

// csvField is a field of a record, as it stands in the record's bytes.
type csvField struct {
	start, end int  // without its quotes
	quoted     bool // "" is an empty string, nothing at all is null
	escaped    bool // holds doubled quotes
}

// csvRecord is one record; it is valid until the next.
type csvRecord struct {
	b      []byte
	fields []csvField
	place  int64
	long   bool // over the limit, and without fields
}

// field gives the value of field i.
func (r *csvRecord) field(i int) []byte {
	f := &r.fields[i]
	if f.escaped {
		// Undouble in place: the record is ours until the next one.
		b := r.b[f.start:f.end]
		n := 0
		for j := 0; j < len(b); j++ {
			b[n] = b[j]
			n++
			if b[j] == '"' {
				j++
			}
		}
		f.end, f.escaped = f.start+n, false
	}
	return r.b[f.start:f.end]
}

// csvScanner cuts a body into records by RFC 4180: fields separated by commas (or another byte),
// quoted ones may hold those, line ends and doubled quotes; records end with
// LF or CRLF. Unlike encoding/csv it keeps whether a field was quoted.
type csvScanner struct {
	f     *feed
	comma byte
	rec   csvRecord
}

type csvState int

const (
	csvStart  csvState = iota // of a field
	csvBare                   // in a field without quotes
	csvQuoted                 // in quotes
	csvQuote                  // after a quote within quotes: the end, or a doubled one
	csvCR                     // after a CR outside quotes
)

// next reads a record of at most max bytes; row is its number for messages.
// io.EOF ends.
func (s *csvScanner) next(row int64, max int) (*csvRecord, error) {
	f, rec := s.f, &s.rec
	*rec = csvRecord{fields: rec.fields[:0], place: f.place(0)}
	state := csvStart
	var cur csvField
	fault := func(i int, what string) error {
		return syntaxAt(row, f.place(i), what)
	}
	i := 0
	field := func(end int) {
		cur.end = end
		if !rec.long {
			rec.fields = append(rec.fields, cur)
		}
		cur = csvField{start: i + 1}
	}
	finish := func(end, used int) (*csvRecord, error) {
		rec.b = f.window()[:end]
		f.pos += used
		return rec, nil
	}
	for {
		w := f.window()
		for ; i < len(w); i++ {
			c := w[i]
			switch state {
			case csvStart, csvBare:
				switch c {
				case s.comma:
					field(i)
					state = csvStart
				case '\n':
					field(i)
					return finish(i, i+1)
				case '\r':
					field(i)
					state = csvCR
				case '"':
					if state == csvBare {
						return nil, fault(i, "a quote within a field that does not begin with one")
					}
					cur.start, cur.quoted = i+1, true
					state = csvQuoted
				default:
					state = csvBare
				}
			case csvQuoted:
				if c == '"' {
					state = csvQuote
				} else if n := bytes.IndexByte(w[i:], '"'); n < 0 {
					i = len(w) - 1
				} else {
					i += n - 1
				}
			case csvQuote:
				switch c {
				case '"':
					cur.escaped = true
					state = csvQuoted
				case s.comma:
					field(i - 1)
					state = csvStart
				case '\n':
					field(i - 1)
					return finish(i, i+1)
				case '\r':
					field(i - 1)
					state = csvCR
				default:
					return nil, fault(i, "text after the quote that ends a field")
				}
			case csvCR:
				if c != '\n' {
					return nil, fault(i, "a carriage return without a line feed outside quotes")
				}
				return finish(i, i+1)
			}
		}
		if i > max {
			rec.long, rec.fields = true, rec.fields[:0]
			f.pos += i
			i = 0
		}
		more, err := f.fill()
		if err != nil {
			return nil, err
		}
		if more {
			continue
		}
		switch state {
		case csvStart:
			if i == 0 && len(rec.fields) == 0 && !rec.long {
				return nil, io.EOF
			}
			field(i)
		case csvBare:
			field(i)
		case csvQuote:
			field(i - 1)
		case csvQuoted:
			return nil, fault(i, "the body ends within quotes")
		}
		return finish(i, i)
	}
}

// header reads the first record as column names.
func (s *csvScanner) header(max int) ([]string, error) {
	if err := s.f.skipBOM(); err != nil {
		return nil, err
	}
	rec, err := s.next(0, max)
	if err == io.EOF {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the body is empty").
			WithHint("the first line of CSV names the columns")
	}
	if err != nil {
		return nil, err
	}
	if rec.long {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the header is longer than %d bytes", max)
	}
	out := make([]string, len(rec.fields))
	for i := range out {
		out[i] = string(rec.field(i))
	}
	return out, nil
}

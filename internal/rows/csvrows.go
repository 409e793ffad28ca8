package rows

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
)

// csvSource reads the records of a CSV body. An empty field without quotes is
// null, "" is an empty string, and a nested value is JSON in a field. An empty
// line is no row, except where there is one column only: then it is a null.
type csvSource struct {
	scan csvScanner
	o    DecodeOptions
	tb   *table
	look *lookedAt // set: fields are looked at, not taken
	err  error

	begun  bool
	fields int   // of the header
	from   []int // field of each column, -1: missing
}

func newCSVSource(f *feed, o DecodeOptions, t *tally) *csvSource {
	s := &csvSource{scan: csvScanner{f: f, comma: o.Comma}, o: o}
	s.tb, s.err = newTable(o.Schema.Columns, o.Schema.Arrow(), o, t)
	return s
}

func (s *csvSource) close() { s.tb.release() }

func (s *csvSource) next() (arrow.RecordBatch, error) {
	for s.err == nil && !s.tb.full(&s.o) {
		s.err = s.one()
	}
	if s.err != nil && s.err != io.EOF {
		return nil, s.err
	}
	if s.tb.rows == 0 {
		return nil, s.err
	}
	return s.tb.batch()
}

// one reads the header, or one record.
func (s *csvSource) one() error {
	if !s.begun {
		s.begun = true
		header, err := s.scan.header(s.o.MaxRowBytes)
		if err != nil {
			return err
		}
		s.fields = len(header)
		if s.look != nil {
			return s.look.header(header)
		}
		s.from, err = assign(header, s.o.Schema.Columns, s.o.Missing, keyColumns(s.o.Schema))
		return err
	}
	rec, err := s.scan.next(s.tb.tally.rows+1, s.o.MaxRowBytes)
	if err != nil {
		return err
	}
	if rec.long || len(rec.b) > s.o.MaxRowBytes {
		s.tb.tooLong(s.o.MaxRowBytes)
		return nil
	}
	if s.fields > 1 && len(rec.fields) == 1 && len(rec.b) <= 1 && !rec.fields[0].quoted && rec.fields[0].end == 0 {
		return nil // an empty line (a CR may be left of it)
	}
	s.tb.begin(len(rec.b))
	if err := s.record(rec); err != nil {
		s.tb.misfit(err)
	} else if s.tb.given != nil {
		s.tb.given.add(func(i int) bool { return s.from[i] >= 0 })
	}
	return nil
}

// record appends a record; every error is a misfit.
func (s *csvSource) record(rec *csvRecord) error {
	if len(rec.fields) != s.fields {
		return misfitf("", "it has %d fields, the header has %d", len(rec.fields), s.fields)
	}
	if s.look != nil {
		s.look.record(rec)
		return nil
	}
	for i, at := range s.from {
		c := s.tb.cells[i]
		var err error
		switch {
		case at < 0:
			c.b.AppendNull()
		case rec.fields[at].start == rec.fields[at].end && !rec.fields[at].quoted:
			err = c.null()
		default:
			err = c.text(rec.field(at))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

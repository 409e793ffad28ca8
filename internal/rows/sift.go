package rows

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Sifting says what Sift takes off the end of each batch: columns that are returned, and
// behind them a column of flags.
type Sifting struct {
	// Returned is the number of columns that go to Take and not on. Schema is told their
	// schema before.
	Returned int
	Schema   func(schema *arrow.Schema) error
	// Take is told each batch, whole, and of it the columns that are returned; nil:
	// nobody is told.
	Take func(whole, returned arrow.RecordBatch) error
	End  func() error // after the last; nil: nobody is told
	// Flag is the name of the last column, which holds an INTEGER a row: Look is told
	// each that is not 0, with its row. "": there is none.
	Flag string
	Look func(rec arrow.RecordBatch, row int, flag int32) error
}

// Sift passes an Arrow stream on without the columns at the end that a Sifting names.
// The errors of its functions end the stream. A batch is in memory at a time.
func Sift(ctx context.Context, r io.Reader, what Sifting) io.Reader {
	return newRestream(ctx, r, &sifter{Sifting: what})
}

type sifter struct {
	Sifting
	kept int // columns
}

func (s *sifter) begin(in *arrow.Schema) (*arrow.Schema, error) {
	fields := in.Fields()
	s.kept = len(fields) - s.Returned
	if s.Flag != "" {
		s.kept--
		if len(fields) == 0 || fields[len(fields)-1].Name != s.Flag {
			return nil, fmt.Errorf("its last column is not %s", s.Flag)
		}
	}
	if s.kept < 0 {
		return nil, fmt.Errorf("it has %d columns", len(fields))
	}
	if s.Returned > 0 {
		if err := s.Schema(arrow.NewSchema(fields[s.kept:s.kept+s.Returned], nil)); err != nil {
			return nil, err
		}
	}
	return arrow.NewSchema(fields[:s.kept], nil), nil
}

func (s *sifter) pass(rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	if s.Flag != "" {
		if err := s.looks(rec); err != nil {
			return nil, err
		}
	}
	if s.Take != nil {
		returned := columnsOf(rec, s.kept, s.kept+s.Returned)
		defer returned.Release()
		if err := s.Take(rec, returned); err != nil {
			return nil, err
		}
	}
	return columnsOf(rec, 0, s.kept), nil
}

func (s *sifter) end() error {
	if s.End == nil {
		return nil
	}
	return s.End()
}

// looks tells the flags of a batch.
func (s *sifter) looks(rec arrow.RecordBatch) error {
	last := rec.Column(int(rec.NumCols()) - 1)
	flags, ok := last.(*array.Int32)
	if !ok {
		return fmt.Errorf("the column %s is of type %s", s.Flag, last.DataType())
	}
	for i := range flags.Len() {
		if flags.IsNull(i) || flags.Value(i) != 0 {
			if err := s.Look(rec, i, flags.Value(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// columnsOf is a batch of some columns of another.
func columnsOf(rec arrow.RecordBatch, from, to int) arrow.RecordBatch {
	return array.NewRecordBatch(arrow.NewSchema(rec.Schema().Fields()[from:to], nil), rec.Columns()[from:to], rec.NumRows())
}

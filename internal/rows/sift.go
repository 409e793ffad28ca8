package rows

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// Sift passes an Arrow stream on without its last column, which has the name given and
// holds an INTEGER a row: look is told each that is not 0, with its row, and its error
// ends the stream. A batch is in memory at a time.
func Sift(ctx context.Context, r io.Reader, name string, look func(rec arrow.RecordBatch, row int, flag int32) error) io.Reader {
	return &sifter{src: newBatchSource(ctx, ArrowStream, r, DecodeOptions{}.withDefaults()), name: name, look: look}
}

type sifter struct {
	src  *batchSource
	name string
	look func(rec arrow.RecordBatch, row int, flag int32) error
	in   *ipc.Reader
	out  *ipc.Writer
	buf  bytes.Buffer
	err  error
}

// Read implements io.Reader.
func (s *sifter) Read(p []byte) (int, error) {
	for s.buf.Len() == 0 && s.err == nil {
		s.buf.Reset()
		if s.err = s.src.guard(s.step); s.err != nil {
			s.src.close()
		}
	}
	if s.buf.Len() > 0 {
		return s.buf.Read(p)
	}
	return 0, s.err
}

// step writes the next batch into the buffer; at first, the schema alone; io.EOF at the
// end, behind what ends an Arrow stream.
func (s *sifter) step() error {
	s.src.mem.used = 0
	if s.in == nil {
		return s.begin()
	}
	if !s.in.Next() {
		if err := s.in.Err(); err != nil {
			return err
		}
		if err := s.out.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	rec := s.in.RecordBatch()
	last := int(rec.NumCols()) - 1
	flags, ok := rec.Column(last).(*array.Int32)
	if !ok {
		return fmt.Errorf("the column %s is of type %s", s.name, rec.Column(last).DataType())
	}
	for i := range flags.Len() {
		if flags.IsNull(i) || flags.Value(i) != 0 {
			if err := s.look(rec, i, flags.Value(i)); err != nil {
				return err
			}
		}
	}
	rest := array.NewRecordBatch(arrow.NewSchema(rec.Schema().Fields()[:last], nil), rec.Columns()[:last], rec.NumRows())
	defer rest.Release()
	return s.out.Write(rest)
}

// begin reads the schema.
func (s *sifter) begin() error {
	rd, err := s.src.arrow(DefaultMaxBatchBytes)
	if err != nil {
		return err
	}
	fields := rd.Schema().Fields()
	if len(fields) == 0 || fields[len(fields)-1].Name != s.name {
		return fmt.Errorf("its last column is not %s", s.name)
	}
	s.in = rd
	s.out = ipc.NewWriter(&s.buf, ipc.WithSchema(arrow.NewSchema(fields[:len(fields)-1], nil)))
	return nil
}

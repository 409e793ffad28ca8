package rows

import (
	"bytes"
	"context"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// restreaming makes another Arrow stream of one.
type restreaming interface {
	// begin gives the schema of the other.
	begin(in *arrow.Schema) (out *arrow.Schema, err error)
	// pass gives the batch of the other for one, which is released when it was written.
	pass(rec arrow.RecordBatch) (arrow.RecordBatch, error)
	// end is told that there are no more batches.
	end() error
}

// restream reads an Arrow stream as another one. A batch is in memory at a time.
type restream struct {
	how restreaming
	src *batchSource
	in  *ipc.Reader
	out *ipc.Writer
	buf bytes.Buffer
	err error
}

func newRestream(ctx context.Context, r io.Reader, how restreaming) io.Reader {
	return &restream{how: how, src: newBatchSource(ctx, ArrowStream, r, DecodeOptions{}.withDefaults())}
}

// Read implements io.Reader.
func (s *restream) Read(p []byte) (int, error) {
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
func (s *restream) step() error {
	s.src.mem.used = 0
	if s.out == nil {
		return s.begin()
	}
	if !s.in.Next() {
		if err := s.in.Err(); err != nil {
			return err
		}
		if err := s.out.Close(); err != nil {
			return err
		}
		if err := s.how.end(); err != nil {
			return err
		}
		return io.EOF
	}
	rec, err := s.how.pass(s.in.RecordBatch())
	if err != nil {
		return err
	}
	defer rec.Release()
	return s.out.Write(rec)
}

func (s *restream) begin() (err error) {
	if s.in, err = s.src.arrow(DefaultMaxBatchBytes); err != nil {
		return err
	}
	schema, err := s.how.begin(s.in.Schema())
	if err != nil {
		return err
	}
	s.out = ipc.NewWriter(&s.buf, ipc.WithSchema(schema))
	return nil
}

package rows

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// batchSource reads bodies that come in Arrow batches already.
type batchSource struct {
	format Format
	body   *body
	mem    *cappedAllocator
	read   func() (arrow.RecordBatch, error) // lent until the next call; io.EOF ends
	cols   *columns
	after  []func()
}

func (s *batchSource) next() (rec arrow.RecordBatch, err error) {
	err = s.guard(func() error {
		s.mem.used = 0
		in, err := s.read()
		if err != nil {
			return err
		}
		if in.NumRows() > maxBatchRows {
			return fmt.Errorf("a batch has %d rows, more than %d", in.NumRows(), maxBatchRows)
		}
		rec, err = s.cols.convert(in)
		return err
	})
	if rec != nil && rec.NumRows() == 0 {
		rec.Release()
		return nil, err
	}
	return rec, err
}

func (s *batchSource) close() {
	for i := len(s.after) - 1; i >= 0; i-- {
		s.after[i]()
	}
	s.after = nil
}

// maxBatchRows bounds a batch whose columns take no bytes for their rows (nulls,
// none at all), so that a number alone is no work.
const maxBatchRows = 1 << 26

// guard calls f, which reads bytes that a client made: the libraries panic on
// some that are not what they say, and that must not end the server.
func (s *batchSource) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damaged(s.format, fmt.Errorf("%v", p))
		}
		if s.body.err != nil {
			err = readError(s.body.err)
		}
	}()
	if err = f(); err == nil || err == io.EOF {
		return err
	}
	return damaged(s.format, err)
}

// body is the reader under a library: it ends with the context, and keeps the
// reader's own error, which libraries wrap or lose.
type body struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		b.err = err
		return 0, err
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// cappedAllocator bounds what one batch may take: lengths in a body are a
// client's word, and a short body can claim any.
type cappedAllocator struct {
	memory.Allocator
	used, limit int64
}

func (a *cappedAllocator) take(n int) {
	if a.used += int64(n); n < 0 || a.used > a.limit {
		panic(fmt.Errorf("a batch needs more than %d bytes", a.limit))
	}
}

func (a *cappedAllocator) Allocate(size int) []byte {
	a.take(size)
	return a.Allocator.Allocate(size)
}

func (a *cappedAllocator) Reallocate(size int, b []byte) []byte {
	a.take(size - min(size, len(b)))
	return a.Allocator.Reallocate(size, b)
}

func newBatchSource(ctx context.Context, f Format, r io.Reader, o DecodeOptions) *batchSource {
	return &batchSource{
		format: f,
		body:   &body{ctx: ctx, r: r},
		// A message, what its buffers decompress to, and columns cast.
		mem: &cappedAllocator{Allocator: o.Alloc, limit: 3 * o.MaxBatchBytes},
	}
}

func newArrowSource(ctx context.Context, r io.Reader, o DecodeOptions, t *tally) (source, error) {
	s := newBatchSource(ctx, ArrowStream, r, o)
	err := s.guard(func() error {
		rd, err := s.arrow(o.MaxBatchBytes)
		if err != nil {
			return err
		}
		s.read = func() (arrow.RecordBatch, error) {
			if rd.Next() {
				return rd.RecordBatch(), nil
			}
			if err := rd.Err(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		return s.connect(rd.Schema(), o, t)
	})
	return s.made(err)
}

// arrow begins to read the body as an Arrow stream.
func (s *batchSource) arrow(maxBatchBytes int64) (*ipc.Reader, error) {
	in := &messages{r: s.body, mem: s.mem, maxBody: maxBatchBytes}
	rd, err := ipc.NewReaderFromMessageReader(in, ipc.WithAllocator(s.mem))
	if err != nil {
		in.Release()
		if errors.Is(err, io.EOF) {
			err = errors.New("it ends before its schema")
		}
		return nil, err
	}
	s.after = append(s.after, rd.Release)
	return rd, nil
}

// made ends a constructor.
func (s *batchSource) made(err error) (source, error) {
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// connect prepares for batches of the body's schema.
func (s *batchSource) connect(schema *arrow.Schema, o DecodeOptions, t *tally) (err error) {
	o.Alloc = s.mem
	if s.cols, err = newColumns(schema, o, t); err == nil {
		s.after = append(s.after, s.cols.close)
	}
	return err
}

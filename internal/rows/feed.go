package rows

import (
	"context"
	"errors"
	"io"

	"tarn/internal/lake"
)

// feed is a body with a window of it in memory: buf[pos:end] has been read and
// not yet been used. The window grows as far as a row needs; who looks for a
// row's end bounds it by moving pos.
type feed struct {
	ctx      context.Context
	r        io.Reader
	buf      []byte
	pos, end int
	off      int64 // of buf[0] in the body
	eof      bool
}

// The buffer begins small, as most bodies are a row or two, and is of full
// size once it was full.
const (
	feedFirstBytes = 4 << 10
	feedBytes      = 64 << 10
)

func newFeed(ctx context.Context, r io.Reader) *feed { return &feed{ctx: ctx, r: r} }

// window is what has been read and not been used. It is valid until fill.
func (f *feed) window() []byte { return f.buf[f.pos:f.end] }

// place is the offset in the body of the window's byte i.
func (f *feed) place(i int) int64 { return f.off + int64(f.pos+i) }

// fill adds to the window; more is false at the end of the body.
func (f *feed) fill() (more bool, err error) {
	if f.eof {
		return false, nil
	}
	if err := f.ctx.Err(); err != nil {
		return false, lake.Step("read the body", err)
	}
	if f.end == len(f.buf) {
		f.room()
	}
	for range 100 {
		n, err := f.r.Read(f.buf[f.end:])
		f.end += n
		if err == io.EOF {
			f.eof = true
			return n > 0, nil
		}
		if err != nil {
			return false, readError(err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, readError(io.ErrNoProgress)
}

// room moves the window to the front, and doubles the buffer when the window
// fills it.
func (f *feed) room() {
	n := copy(f.buf, f.buf[f.pos:f.end])
	f.off += int64(f.pos)
	f.pos, f.end = 0, n
	if n > len(f.buf)/2 || len(f.buf) < feedBytes {
		grown := make([]byte, max(feedFirstBytes, 2*len(f.buf)))
		copy(grown, f.buf[:n])
		f.buf = grown
	}
}

// skipBOM drops a byte order mark at the very beginning.
func (f *feed) skipBOM() error {
	for f.end-f.pos < 3 {
		if more, err := f.fill(); err != nil {
			return err
		} else if !more {
			return nil
		}
	}
	if w := f.window(); w[0] == 0xEF && w[1] == 0xBB && w[2] == 0xBF {
		f.pos += 3
	}
	return nil
}

// readError is a body that could not be read: the code is the reader's own
// where it has one (too large, cancelled), else the body ended early.
func readError(err error) error {
	var own *lake.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return lake.Step("read the body", err)
	}
	return lake.Errorf(lake.CodeInvalidRequest, "the body could not be read to its end: %w", err)
}

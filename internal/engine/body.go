package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/uuid"
	"github.com/zeebo/xxh3"
	"golang.org/x/sync/semaphore"

	"tarn/internal/change"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// body is a request's body, read whole: small in memory, large in a scratch file.
type body struct {
	small []byte
	path  string // of a large one
	bytes int64
	hash  string // of its bytes
	pad   *workshop.Scratchpad
	leave func() // the memory of all bodies
}

// freeBodyBytes is what a body may have in memory without asking: nearly all have
// less. A larger one waits until it fits beside the others, of which so many may
// be as large as spool_bytes.
const (
	freeBodyBytes = 64 << 10
	largeBodies   = 16
)

// readBody reads a body to its end. Above spool bytes it goes to scratch; above
// limit it is CodeTooLarge and nothing stays. Remove it in the end.
func (e *Engine) readBody(ctx context.Context, r io.Reader, limit, spool int64) (*body, error) {
	return e.readBodyWithin(ctx, e.bodies, r, limit, spool)
}

// readBodyWithin is readBody with another pool of memory.
func (e *Engine) readBodyWithin(ctx context.Context, pool *semaphore.Weighted, r io.Reader, limit, spool int64) (_ *body, err error) {
	h := xxh3.New128()
	r = io.TeeReader(io.LimitReader(r, limit+1), h)
	b := &body{leave: func() {}}
	defer func() {
		if err != nil {
			b.Remove()
		}
	}()
	var head bytes.Buffer
	b.bytes, err = io.CopyN(&head, r, min(freeBodyBytes, spool)+1)
	if err == nil && b.bytes <= spool {
		if err := pool.Acquire(ctx, spool); err != nil {
			return nil, lake.Step("wait for the memory of other requests", err)
		}
		b.leave = sync.OnceFunc(func() { pool.Release(spool) })
		var more int64
		more, err = io.CopyN(&head, r, spool+1-b.bytes)
		b.bytes += more
	}
	b.small = head.Bytes()
	if err != nil && err != io.EOF { // an error that wraps EOF is a cut body
		return nil, readFailed(err)
	}
	err = nil
	if b.bytes > spool {
		if b.pad, err = e.shop.NewScratchpad("body"); err != nil {
			return nil, err
		}
		b.path = filepath.Join(b.pad.Dir, uuid.NewString())
		n, err := writeFile(b.path, io.MultiReader(&head, r))
		if err != nil {
			b.Remove()
			return nil, err
		}
		b.small, b.bytes = nil, n
		b.leave()
	}
	if b.bytes > limit {
		return nil, lake.Errorf(lake.CodeTooLarge, "the body is larger than its limit of %d bytes", limit).
			WithHint("send it in parts or import it, or raise max_body_bytes (for keys to get: spool_bytes)")
	}
	sum := h.Sum128().Bytes()
	b.hash = fmt.Sprintf("%x", sum)
	return b, nil
}

func readFailed(err error) error {
	var known *lake.Error
	if errors.As(err, &known) {
		return err
	}
	return lake.Errorf(lake.CodeInvalidRequest, "read the body: %w", err)
}

// writeFile writes a scratch file. A full disk is CodeOutOfDisk.
func writeFile(path string, r io.Reader) (int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, scratchFailed(err)
	}
	n, err := io.Copy(onlyWriter{f}, r)
	var pathErr *os.PathError
	switch closeErr := f.Close(); {
	case errors.As(err, &pathErr) && pathErr.Path == path:
		return n, scratchFailed(err)
	case err != nil:
		return n, readFailed(err)
	case closeErr != nil:
		return n, scratchFailed(closeErr)
	}
	return n, nil
}

// onlyWriter hides ReadFrom, so that io.Copy tells errors of reading and of
// writing apart by their types.
type onlyWriter struct{ io.Writer }

// Reader reads the body from its start.
func (b *body) Reader() io.Reader { return bytes.NewReader(b.small) }

// spool moves a body from memory into a scratch file.
func (b *body) spool(e *Engine) (err error) {
	if b.pad, err = e.shop.NewScratchpad("body"); err != nil {
		return err
	}
	b.path = filepath.Join(b.pad.Dir, uuid.NewString())
	_, err = writeFile(b.path, b.Reader())
	b.small = nil
	return err
}

// Remove lets go of the body: of its memory, or of its scratch file.
func (b *body) Remove() {
	b.leave()
	if b.pad != nil {
		b.pad.Remove()
	}
}

// goesWith makes letting go of q let go of the body too, from which q was decoded. Where
// that failed, with err, both go at once.
func (b *body) goesWith(q *change.Request, err error) error {
	made := q.LetGo
	q.LetGo = func() {
		b.Remove()
		if made != nil {
			made()
		}
	}
	if err != nil {
		q.LetGo()
	}
	return err
}

package bucket

import (
	"context"
	"errors"
	"io"
	"sync"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Open implements store.Store. Reading is by ranges: Read asks for some MiB ahead,
// ReadAt for just what is wanted.
func (b *Bucket) Open(ctx context.Context, key string) (store.Object, error) {
	if err := b.begin(ctx, key, "open"); err != nil {
		return nil, err
	}
	info, err := b.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	// Reads go on for as long as whoever opened it lives.
	return &object{b: b, ctx: ctx, info: info}, nil
}

// aheadBytes is what Read asks for at once.
const aheadBytes = 4 << 20

type object struct {
	b    *Bucket
	ctx  context.Context
	info store.Info

	mu  sync.Mutex // of Read and Seek, which have one user; held over a call
	pos int64
	at  int64 // where ahead begins
	buf []byte
}

func (o *object) Size() int64      { return o.info.Size }
func (o *object) Info() store.Info { return o.info }
func (o *object) Close() error     { return nil }

func (o *object) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pos >= o.info.Size {
		return 0, io.EOF
	}
	if o.pos < o.at || o.pos >= o.at+int64(len(o.buf)) {
		buf := make([]byte, min(aheadBytes, o.info.Size-o.pos))
		if _, err := o.ReadAt(buf, o.pos); err != nil && err != io.EOF {
			return 0, err
		}
		o.at, o.buf = o.pos, buf
	}
	n := copy(p, o.buf[o.pos-o.at:])
	o.pos += int64(n)
	return n, nil
}

func (o *object) Seek(offset int64, whence int) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += o.pos
	case io.SeekEnd:
		offset += o.info.Size
	default:
		return 0, errors.New("seek: unknown whence")
	}
	if offset < 0 {
		return 0, errors.New("seek: before the start")
	}
	o.pos = offset
	return offset, nil
}

// ReadAt reads a range, and again where its body was cut.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, lake.Errorf(lake.CodeInvalidRequest, "%s: read at %d", o.info.Key, off)
	}
	want := min(int64(len(p)), o.info.Size-off)
	if want <= 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	err := o.b.repeated(o.ctx, o.info.Key, "read", want, func(ctx context.Context) error {
		r, err := o.b.bucket.NewRangeReader(ctx, o.b.place.key(o.info.Key), off, want, nil)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadFull(r, p[:want])
		return err
	})
	if err != nil {
		return 0, err
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

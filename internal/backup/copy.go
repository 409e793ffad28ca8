package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/uuid"
	"github.com/zeebo/xxh3"

	"tarn/internal/base"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// hashed reads an object whole, writes it to w, and gives its hash. Where the
// object's name has a hash, the bytes must have it: lake.CodeDamaged names the key.
func hashed(ctx context.Context, from store.Store, key string, w io.Writer, read func(bytes int64)) (hash string, size int64, err error) {
	o, err := from.Open(ctx, key)
	if err != nil {
		return "", 0, absent(key, err)
	}
	defer o.Close()
	h := xxh3.New128()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, lake.Step("read "+key, err)
		}
		n, err := o.Read(buf)
		if n > 0 {
			_, _ = h.Write(buf[:n])
			if _, err := w.Write(buf[:n]); err != nil {
				return "", 0, diskError("write "+key, err)
			}
			size += int64(n)
			if read != nil {
				read(int64(n))
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", 0, lake.Errorf(lake.CodeUnavailable, "read %s: %w", key, err)
		}
	}
	sum := h.Sum128().Bytes()
	hash = hex.EncodeToString(sum[:])
	if want, ok := base.HashInName(key); ok && want != hash {
		return "", 0, damaged(key, "the hash of its bytes is %s, not the one in its name", hash)
	}
	return hash, size, nil
}

// copied is a file with the bytes of an object, in scratch.
type copied struct {
	path string
	hash string
	size int64
}

// copyTo copies an object into a new file of the folder, verified by its name's hash.
func copyTo(ctx context.Context, from store.Store, key, folder string, read func(bytes int64)) (c copied, err error) {
	c.path = filepath.Join(folder, uuid.NewString())
	f, err := os.OpenFile(c.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return c, diskError("copy "+key, err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = diskError("copy "+key, closed)
		}
		if err != nil {
			_ = os.Remove(c.path)
		}
	}()
	c.hash, c.size, err = hashed(ctx, from, key, f, read)
	return c, err
}

// takeIn makes an object of a copied file, which is gone then.
func takeIn(ctx context.Context, to store.Store, key string, c copied) error {
	err := store.CreateFromSettled(ctx, to, key, c.path, func(existing store.Object) (bool, error) {
		return existing.Size() == c.size, nil
	})
	return errors.Join(err, os.Remove(c.path))
}

func damaged(key, format string, args ...any) error {
	e := lake.Errorf(lake.CodeDamaged, format, args...)
	e.Step = key
	return e.WithHint("restore the file from an earlier backup; tarn verify says what else is wrong")
}

// diskError is a failed step with a file outside the store.
func diskError(step string, err error) error {
	code := lake.CodeUnavailable
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = lake.CodeOutOfDisk
	}
	e := lake.Errorf(code, "%w", err)
	e.Step = step
	return e.WithHint("look at the folder, its disk and its permissions; backups that were there stay as they are")
}

package store

import (
	"context"
	"encoding/hex"
	"io"
	"os"

	"github.com/zeebo/xxh3"

	"tarn/internal/lake"
)

// HashBytes is the xxh3-128 of b as 32 lower-case hex digits, big-endian.
func HashBytes(b []byte) string { return hashText(xxh3.Hash128(b)) }

// HashFile is HashBytes of the file at path, read as a stream, with its size in
// bytes. An absent file is lake.ErrNotFound.
func HashFile(ctx context.Context, path string) (hash string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, readError(path, "hash", err)
	}
	defer f.Close()
	h := xxh3.New128()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, lake.Step("hash "+path, err)
		}
		n, err := f.Read(buf)
		_, _ = h.Write(buf[:n])
		size += int64(n)
		if err == io.EOF {
			return hashText(h.Sum128()), size, nil
		}
		if err != nil {
			return "", 0, readError(path, "hash", err)
		}
	}
}

func hashText(sum xxh3.Uint128) string {
	b := sum.Bytes()
	return hex.EncodeToString(b[:])
}

package base

import (
	"context"
	"encoding/hex"
	"io"

	"github.com/zeebo/xxh3"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// VerifyFile reads an object of a table whole and holds it against the hash in
// its name: lake.CodeDamaged, naming the key, where it differs or is missing. A
// foreign file is read, and nothing can be said of its bytes.
func VerifyFile(ctx context.Context, s store.Store, key string) error {
	o, err := s.Open(ctx, key)
	if err != nil {
		return missing(key, err)
	}
	defer o.Close()
	h := xxh3.New128()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return lake.Step("verify "+key, err)
		}
		n, err := o.Read(buf)
		_, _ = h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return lake.Errorf(lake.CodeUnavailable, "verify %s: %w", key, err)
		}
	}
	sum := h.Sum128().Bytes()
	return checkHash(key, hex.EncodeToString(sum[:]))
}

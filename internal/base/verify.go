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
// foreign file is read, and nothing can be said of its bytes. A deletion vector must have the
// rows of its positions file, or other programs would see others than tarn.
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
	if err := checkHash(key, hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	if positions, _, ok := positionsOf(key); ok {
		return checkVector(ctx, s, key, positions)
	}
	return nil
}

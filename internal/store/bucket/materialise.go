package bucket

import (
	"context"

	"tarn/internal/lake"
)

// Local implements store.Store by a copy in scratch, one a call.
func (b *Bucket) Local(ctx context.Context, key string) (path string, release func(), err error) {
	src, err := b.Open(ctx, key)
	if err != nil {
		return "", nil, err
	}
	defer src.Close()
	path, release, err = b.copies.Make(b.opts.Scratch, key, src)
	switch {
	case err == nil:
		return path, release, nil
	case lake.CodeOf(err) != lake.CodeInternal: // of reading it
		return "", nil, err
	}
	return "", nil, lake.Errorf(lake.CodeUnavailable, "%s: copy it to this machine: %w", key, err).
		WithHint("look at the disk of the state folder")
}

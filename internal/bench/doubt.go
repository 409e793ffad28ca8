package bench

import (
	"fmt"
	"slices"
)

// The bytes of images are the one figure that the lake says of itself, and that
// no clock of the bench's measures. So they are held against two things that
// must be so.
const (
	// The same rows, loaded again, take the same room.
	mostSpread = 0.05
	// The images are tables that the same DuckDB compressed, of the same rows, and
	// key filters besides: they cannot be much smaller than the peer's.
	leastOfPeer = 0.9
)

// doubtHeld says why the bytes that the cache counts cannot be right, "" where
// nothing speaks against them.
func (r *Report) doubtHeld() string {
	if len(r.ImageBytes) > 0 {
		low, high := slices.Min(r.ImageBytes), slices.Max(r.ImageBytes)
		if float64(high-low) > mostSpread*float64(high) {
			return fmt.Sprintf("one image was counted as %s to %s MB over %d loads", megabytes(low), megabytes(high), len(r.ImageBytes))
		}
	}
	mine, ok := r.heldOf(tarn, clean0)
	if !ok {
		return ""
	}
	if peer, ok := r.heldOf(compressed, clean0); ok && float64(mine.Bytes) < leastOfPeer*float64(peer.Bytes) {
		return fmt.Sprintf("the cache counts %s MB, and compressed DuckDB holds the same rows in %s MB", megabytes(mine.Bytes), megabytes(peer.Bytes))
	}
	return ""
}

func megabytes(n int64) string { return number(float64(n) / 1e6) }

func (r *Report) heldOf(system, data string) (Held, bool) {
	for _, h := range r.Held {
		if h.System == system && h.Data == data {
			return h, true
		}
	}
	return Held{}, false
}

package cache

import (
	"math"
	"time"

	"tarn/internal/worker"
)

// known is what the policy knows of a dataset. Cache.mu guards it.
type known struct {
	pinned   bool
	pinnedAt time.Time

	image  Image  // as the worker last said; the zero value is cold
	reason string // why it is not hot though it should be
	drops  int    // requests under way that make it cold: a look beside them says nothing of it

	hits     int64
	lastUsed time.Time // zero: never
	heat     float64   // uses, each halved for every half-life since, as of heatAt
	heatAt   time.Time

	wanted   bool      // a load is to be tried
	failures int       // loads that failed in a row
	retryAt  time.Time // not before

	// size is the last measure of the image: a load's, or a projection's. 0: none
	size, sizeRows int64
}

// halfLife is how fast uses are forgotten: one counts half after so long.
const halfLife = 10 * time.Minute

func (k *known) use(now time.Time) {
	k.heat = k.heatNow(now) + 1
	k.heatAt, k.lastUsed = now, now
}

// heatNow is how much the dataset is in use: the uses so far, each halved for
// every half-life since.
func (k *known) heatNow(now time.Time) float64 {
	if k.heat == 0 {
		return 0
	}
	return k.heat * math.Exp2(-now.Sub(k.heatAt).Seconds()/halfLife.Seconds())
}

func (k *known) hot() bool { return k.image.State == worker.ImageHot }

// failed puts the next try off: a second, doubled up to five minutes.
func (k *known) failed(now time.Time) {
	k.retryAt = now.Add(min(time.Second<<min(k.failures, 10), 5*time.Minute))
	k.failures++
}

// measured notes what an image of so many rows takes.
func (k *known) measured(bytes, rows int64) {
	if bytes > 0 {
		k.size, k.sizeRows = bytes, rows
	}
}

const (
	// scalingRows is from how many rows on an image's size grows with its rows:
	// two of DuckDB's row groups. Below, blocks that are part full decide.
	scalingRows = 2 * 122_880
	// leastImage is what the smallest image takes.
	leastImage = 512 << 10
)

// need is the bytes that a dataset's image will take, and whether a measure says
// so. Without one the files are a guess: an image takes half of what they do, or
// more where its texts are long.
func (k *known) need(d Dataset) (bytes int64, measured bool) {
	guess := max(leastImage, d.Bytes)
	switch {
	case k.size == 0:
		return guess, false
	case k.sizeRows >= scalingRows:
		return max(leastImage, int64(float64(k.size)*float64(d.Rows)/float64(k.sizeRows))), true
	case d.Rows <= k.sizeRows+k.sizeRows/8:
		return k.size, true
	default: // it grew from small: the files say by how much
		return max(k.size, guess), false
	}
}

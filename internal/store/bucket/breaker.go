package bucket

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"tarn/internal/lake"
)

// breaker counts calls in a row that the store did not answer. Closed, it lets
// every call through; when enough have failed it opens, and refuses all of them at
// once for a while; then it lets one through, whose outcome closes it or opens it
// for longer.
type breaker struct {
	log *slog.Logger
	now func() time.Time

	mu struct {
		sync.Mutex
		failed int       // weight of the failures in a row
		since  time.Time // of the first of them
		reason error     // of the last
		until  time.Time // open until then; zero: closed
		pause  time.Duration
		trying bool // the one call that tries is under way
	}
}

const (
	// breakerLimit is the weight of failures that opens the breaker: two calls that
	// took their whole time, or four that failed at once.
	breakerLimit  = 4
	slowWeight    = 2
	breakerPause  = 500 * time.Millisecond // the first one
	breakerPauses = 10 * time.Second       // the longest one
)

func newBreaker(log *slog.Logger, now func() time.Time) *breaker { return &breaker{log: log, now: now} }

// enter says whether a call may be made: nil, or the error to answer with.
func (b *breaker) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.until.IsZero() {
		return nil
	}
	if !b.mu.trying && !b.now().Before(b.mu.until) {
		b.mu.trying = true
		return nil
	}
	return b.refusal()
}

// refusal is the error while it is open; mu is held.
func (b *breaker) refusal() error {
	return lake.Errorf(lake.CodeUnavailable, "the lake's bucket has not answered since %s (%s); no call was made, nothing was changed",
		b.mu.since.UTC().Format(time.RFC3339), b.mu.reason).
		WithHint("try again in some seconds; it is tried by itself until it answers")
}

// answered notes a call that the store answered, whatever it said.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.mu.until.IsZero() {
		b.log.Info("the bucket answers again", "down_seconds", b.now().Sub(b.mu.since).Seconds())
	}
	b.mu.failed, b.mu.until, b.mu.pause, b.mu.trying, b.mu.reason = 0, time.Time{}, 0, false, nil
}

// left notes a call whose outcome says nothing, as its caller went away.
func (b *breaker) left() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.trying = false
}

// missed notes a call that the store did not answer; slow: it took all its time.
func (b *breaker) missed(err error, slow bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.failed == 0 {
		b.mu.since = b.now()
	}
	b.mu.failed++
	if slow {
		b.mu.failed += slowWeight - 1
	}
	b.mu.reason, b.mu.trying = err, false
	if b.mu.failed < breakerLimit {
		return
	}
	if b.mu.until.IsZero() {
		b.log.Error("the bucket does not answer; calls are refused until it does", "error", err)
	}
	b.mu.pause = min(max(2*b.mu.pause, breakerPause), breakerPauses)
	b.mu.until = b.now().Add(b.mu.pause/2 + rand.N(b.mu.pause/2+1))
}

// Health is whether the bucket answers.
type Health struct {
	Down   bool
	Since  time.Time // of the first call that was not answered
	Reason string
}

// Health says how the last calls went.
func (b *Bucket) Health() Health {
	b.breaker.mu.Lock()
	defer b.breaker.mu.Unlock()
	if b.breaker.mu.until.IsZero() {
		return Health{}
	}
	return Health{Down: true, Since: b.breaker.mu.since, Reason: b.breaker.mu.reason.Error()}
}

// Refusal is nil where the bucket answers, else the error that a call would get.
// It makes none.
func (b *Bucket) Refusal() error {
	b.breaker.mu.Lock()
	defer b.breaker.mu.Unlock()
	if b.breaker.mu.until.IsZero() || !b.breaker.mu.trying && !b.breaker.now().Before(b.breaker.mu.until) {
		return nil
	}
	return b.breaker.refusal()
}

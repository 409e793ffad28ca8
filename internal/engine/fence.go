package engine

import (
	"sync/atomic"
	"time"

	"tarn/internal/lake"
)

// fence is what a server of a lake in a bucket knows of being the one that writes
// it. Once it has learned of another it is fenced for good: it acknowledges nothing
// and answers nothing more.
type fence struct {
	err     atomic.Pointer[lake.Error]
	checked atomic.Int64 // when the last look that found no other, or a follower's, began; in Unix nanoseconds
}

// notice learns from an error whether another server took the lake over.
func (e *Engine) notice(err error) {
	if lake.CodeOf(err) != lake.CodeFenced || e.remote == nil || err == nil {
		return
	}
	fenced := lake.Errorf(lake.CodeFenced, "another server took the lake over: %v", err).
		WithHint("ask the other server; this one can be stopped")
	if e.remote.fence.err.CompareAndSwap(nil, fenced) {
		e.log.Error("another server took the lake over; this one answers nothing more", "error", err)
	}
}

// fencedOff is the error of a server that was taken over from, else nil.
func (e *Engine) fencedOff() error {
	if e.remote != nil {
		if err := e.remote.fence.err.Load(); err != nil {
			return err
		}
	}
	return nil
}

// mayWrite is nil where a change can be tried; else why not, with nothing changed.
func (e *Engine) mayWrite() error {
	if err := e.writable(); err != nil {
		return err
	}
	if err := e.fencedOff(); err != nil || e.remote == nil {
		return err
	}
	return e.remote.refusal()
}

// mayRead is nil where a question may be answered.
func (e *Engine) mayRead() error {
	if err := e.fresh(); err != nil {
		return err
	}
	if err := e.fencedOff(); err != nil || e.remote == nil {
		return err
	}
	if age := e.unchecked(); age > max(e.set.OutageReadLimit, 2*e.lookInterval()) {
		return lake.Errorf(lake.CodeUnavailable, "the lake's bucket has not answered for %s, longer than outage_read_limit (%s)", age.Round(time.Second), e.set.OutageReadLimit).
			WithHint("try again when it does")
	}
	return nil
}

// Outage says whether an answer may be staler than usual, as the bucket does not
// answer: than fence_check_interval, as nobody can say whether another server took the
// lake over; of a follower, than the time between two looks.
func (e *Engine) Outage() bool {
	return e.remote != nil && (e.remote.down() || e.unchecked() > e.lookInterval())
}

// lookInterval is the longest time without a look at a bucket that answers.
func (e *Engine) lookInterval() time.Duration {
	if e.follower == nil {
		return e.set.FenceCheckInterval
	}
	return max(e.set.FenceCheckInterval, 2*e.set.FollowInterval)
}

// looked notes a look at the bucket that went well.
func (e *Engine) looked(began time.Time) {
	if e.remote != nil {
		e.remote.fence.checked.Store(began.UnixNano())
	}
}

// unchecked is how long ago the last look that went well began.
func (e *Engine) unchecked() time.Duration {
	return time.Since(time.Unix(0, e.remote.fence.checked.Load()))
}

// watchEpoch looks for another server twice in fence_check_interval until the engine
// closes or is fenced.
func (e *Engine) watchEpoch() {
	tick := time.NewTicker(max(time.Millisecond, e.set.FenceCheckInterval/2))
	defer tick.Stop()
	for e.fencedOff() == nil {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		err := e.shop.Catalog.Overtaken(e.ctx)
		if err == nil {
			e.looked(began)
		}
		e.notice(err)
	}
}

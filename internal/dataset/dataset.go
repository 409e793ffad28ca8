package dataset

import (
	"context"
	"sync/atomic"

	"tarn/internal/delta"
	"tarn/internal/lake"
)

// Dataset holds the newest State of one dataset and its delta log.
type Dataset struct {
	Log *delta.Log

	state    atomic.Pointer[State]
	requests requests
	changed  signal

	// jobs holds a token while an import or compaction runs on the dataset.
	jobs chan struct{}
}

// New makes a Dataset at a state that was just opened or created, with the deltas
// that its log still keeps.
func New(s *State, log *delta.Log, kept []lake.Delta) *Dataset {
	d := &Dataset{Log: log, jobs: make(chan struct{}, 1)}
	d.requests.init()
	for _, dl := range kept {
		s.add(dl)
		d.requests.add(s.UUID, dl)
	}
	s.Sequence = max(s.Sequence, s.TrimmedThrough)
	d.state.Store(s)
	return d
}

// State is the newest state.
func (d *Dataset) State() *State { return d.state.Load() }

// Update replaces the state by what change makes of a copy. It must be called
// from within worker.Stream.Do, which serialises all updates.
func (d *Dataset) Update(change func(next *State)) *State {
	next := *d.state.Load()
	change(&next)
	d.state.Store(&next)
	d.changed.fire()
	return &next
}

// Changed is closed by the next Update, Append or Trim. Take it before State, so that
// none is missed.
func (d *Dataset) Changed() <-chan struct{} { return d.changed.next() }

// Append adds a delta that was just committed; as Update, within Stream.Do.
func (d *Dataset) Append(dl lake.Delta) *State {
	d.requests.add(d.State().UUID, dl)
	return d.Update(func(s *State) { s.add(dl) })
}

// Avoid makes deltas of aborted transactions void, by their sequences. It is for a
// dataset that was just opened and is not used yet.
func (d *Dataset) Avoid(sequences map[int64]bool) {
	before := d.State()
	next := *before
	next.Deltas, next.sums = nil, nil
	for _, dl := range before.Deltas {
		if sequences[dl.Sequence] {
			d.requests.remove(dl)
			dl = dl.Avoid()
		}
		next.add(dl)
	}
	next.Sequence = before.Sequence
	d.state.Store(&next)
}

// Trim forgets the deltas up to a sequence, and their idempotency keys; as
// Update, within Stream.Do.
func (d *Dataset) Trim(through int64) *State {
	return d.Update(func(s *State) {
		for len(s.Deltas) > 0 && s.Deltas[0].Sequence <= through {
			d.requests.remove(s.Deltas[0])
			s.Deltas, s.sums = s.Deltas[1:], s.sums[1:]
		}
		s.TrimmedThrough = max(s.TrimmedThrough, through)
	})
}

// Find looks a request up by its Idempotency-Key among the kept deltas.
func (d *Dataset) Find(key string) (Outcome, bool) { return d.requests.find(key) }

// LockJobs waits for the dataset's running import or compaction to end and
// takes its place; call the function it gives to leave.
func (d *Dataset) LockJobs(ctx context.Context) (unlock func(), err error) {
	select {
	case d.jobs <- struct{}{}:
		return d.unlockJobs, nil
	case <-ctx.Done():
		return nil, lake.Step("wait for the dataset's running job", ctx.Err())
	}
}

// TryLockJobs is LockJobs without the wait.
func (d *Dataset) TryLockJobs() (unlock func(), ok bool) {
	select {
	case d.jobs <- struct{}{}:
		return d.unlockJobs, true
	default:
		return nil, false
	}
}

func (d *Dataset) unlockJobs() { <-d.jobs }

package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"tarn/internal/dataset"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// What IcebergFold can be.
const (
	FoldOff     = "off"
	FoldBounded = "bounded"
	FoldAlways  = "always"
)

// folds are the folds under way that loads of tables wait for, by table. The zero value
// has none.
type folds struct {
	mu struct {
		sync.Mutex
		running map[string]*Job
	}
}

// foldTries is how many folds a load waits for: the first may have begun before what the
// load is to have.
const foldTries = 2

// foldAsked folds what is pending of a dataset that is asked for by a name, as far as
// foldFor does. It gives the state then, and the newest sequence before.
func (e *Engine) foldAsked(ctx context.Context, m *member, name lake.Name) (s *dataset.State, asked int64, err error) {
	asked = m.ds.State().Sequence
	e.foldFor(ctx, m, asked)
	if ctx.Err() != nil {
		return nil, asked, lake.Step("fold "+name.String(), ctx.Err())
	}
	s, err = m.called(name)
	return s, asked, err
}

// foldFor folds what a dataset's base lacks up to a sequence, within the bounds of the
// settings. What it cannot do is no failure of who asks: he is told how far the base goes.
func (e *Engine) foldFor(ctx context.Context, m *member, sequence int64) {
	if e.set.IcebergFold == FoldOff || e.mayWrite() != nil {
		return
	}
	if e.set.IcebergFold == FoldBounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.set.IcebergFoldWait)
		defer cancel()
	}
	for range foldTries {
		s := m.ds.State()
		if s.Dropped || wholeThrough(s) >= sequence {
			return
		}
		if e.set.IcebergFold == FoldBounded {
			plan, err := m.compactor.Plan(ctx)
			if err != nil || plan.PendingBytes+plan.RewriteBytes+plan.MarkBytes > e.set.IcebergFoldBytes {
				return
			}
		}
		j, err := e.foldOnce(m)
		if err != nil {
			return
		}
		select {
		case <-j.Done(): // startJob logs a failure
		case <-ctx.Done():
			return
		}
		if j.Info().State != JobDone {
			return
		}
	}
}

// foldOnce starts a fold of a dataset, or gives the one that runs.
func (e *Engine) foldOnce(m *member) (*Job, error) {
	e.folds.mu.Lock()
	defer e.folds.mu.Unlock()
	s := m.ds.State()
	if j := e.folds.mu.running[s.UUID]; j != nil {
		return j, nil
	}
	j, err := e.startJob("compact", s.Name.String(), func(ctx context.Context, progress func(job.Progress)) (any, error) {
		defer e.folded(s.UUID)
		return result(e.compact(ctx, m, nil, false, progress))
	})
	if err != nil {
		return nil, err
	}
	if e.folds.mu.running == nil {
		e.folds.mu.running = map[string]*Job{}
	}
	e.folds.mu.running[s.UUID] = j
	return j, nil
}

// foldRefused begins a fold of a table whose commit was refused with
// CodePreconditionFailed: its client loads again, and is to see what was in its way.
func (e *Engine) foldRefused(m *member, err error) {
	if lake.CodeOf(err) != lake.CodePreconditionFailed {
		return
	}
	if _, err := e.foldOnce(m); err != nil {
		e.log.Debug("no fold was begun", "err", err)
	}
}

func (e *Engine) folded(tableUUID string) {
	e.folds.mu.Lock()
	defer e.folds.mu.Unlock()
	delete(e.folds.mu.running, tableUUID)
}

// slotWait is how long a commit of another program waits for jobs that run: its client
// waits as long for an answer, and can try again.
const slotWait = 60 * time.Second

// enterTables waits for the lake's slot of imports and compactions and then for those of
// the datasets, in the order of their uuids. Until leave, no job changes their tables, and
// none that tidies up takes files away.
func (e *Engine) enterTables(ctx context.Context, members ...*member) (leave func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	var leaves []func()
	leave = func() {
		for _, l := range slices.Backward(leaves) {
			l()
		}
	}
	enter := func(slot func(context.Context) (func(), error)) error {
		left, err := slot(waiting)
		if err == nil {
			leaves = append(leaves, left)
			return nil
		}
		leave()
		if ctx.Err() != nil {
			return err
		}
		return lake.Errorf(lake.CodeNotReady, "an import or compaction has run for longer than %s; nothing was changed", slotWait).WithHint("try again")
	}
	if err := enter(e.shop.EnterBulk); err != nil {
		return nil, err
	}
	sorted := slices.SortedFunc(slices.Values(members), func(a, b *member) int {
		return strings.Compare(a.ds.State().UUID, b.ds.State().UUID)
	})
	for _, m := range sorted {
		if err := enter(m.ds.LockJobs); err != nil {
			return nil, err
		}
		leaves = append(leaves, e.shop.InUse(m.ds.State().UUID))
	}
	e.named.RLock()
	leaves = append(leaves, e.named.RUnlock)
	return leave, nil
}

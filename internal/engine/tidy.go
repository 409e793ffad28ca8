package engine

import (
	"context"
	"time"

	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/upkeep"
)

// runUpkeep trims, retires and collects at intervals until the engine closes.
func (e *Engine) runUpkeep() {
	tick := time.NewTicker(e.set.UpkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
		if e.mayWrite() != nil {
			continue // fenced for good, or the bucket does not answer
		}
		if err := e.Tidy(e.ctx); err != nil && e.ctx.Err() == nil {
			e.notice(err)
			e.log.Warn("upkeep failed; it is tried again", "err", err)
		}
	}
}

// Tidy is one round of upkeep.
func (e *Engine) Tidy(ctx context.Context) error {
	e.tidying.Lock() // one round at a time, and none beside a verify
	defer e.tidying.Unlock()
	if err := e.clearScratch(); err != nil { // of a job that outlived its killed server
		return err
	}
	now := e.opts.Now()
	e.jobs.forget(now.Add(-e.set.JobRetention))
	deltas := max(e.set.DeltaRetention, e.set.IdempotencyRetention)
	versions := max(e.set.SnapshotRetention, e.set.DeltaRetention)
	retired, err := e.collector.Retire(ctx, now.Add(-versions))
	if err != nil {
		return err
	}
	trimmed, err := e.trim(ctx, now.Add(-deltas))
	if err != nil {
		return err
	}
	if err := e.expire(ctx, now.Add(-e.set.SnapshotRetention)); err != nil {
		return err
	}
	got, err := e.collector.Collect(ctx)
	if err != nil {
		return err
	}
	if err := e.leaveFolded(ctx); err != nil {
		return err
	}
	if retired > 0 || trimmed > 0 || got.Objects > 0 {
		e.log.Info("tidied up", "catalog_versions", retired, "datasets_trimmed", trimmed, "objects", got.Objects, "bytes", got.Bytes)
	}
	return nil
}

// trim records a new trimmed-through for every dataset that has one, in one
// catalog version, and deletes their deltas once nobody reads them.
func (e *Engine) trim(ctx context.Context, before time.Time) (int, error) {
	folded, err := e.collector.Folded(ctx)
	if err != nil {
		return 0, err
	}
	through := map[string]int64{}
	for _, m := range e.members() {
		s := m.ds.State()
		if low, ok := folded[s.UUID]; ok && !s.Dropped {
			// Until the states say so, no feed begins to read what is trimmed.
			n := e.holds.Bar(s.UUID, upkeep.TrimThrough(s, min(low, s.FoldedThrough), before))
			defer e.holds.Unbar(s.UUID)
			if n > s.TrimmedThrough {
				through[s.UUID] = n
			}
		}
	}
	if len(through) == 0 {
		return 0, nil
	}
	err = e.shop.CommitCatalog(ctx, func(next *format.Version) error {
		for id, n := range through {
			if entry := next.Find(id); entry != nil {
				entry.TrimmedThrough = max(entry.TrimmedThrough, n)
			}
		}
		e.listTransactions(next)
		return nil
	}, func(v *format.Version) bool {
		for id, n := range through {
			if entry := v.Find(id); entry != nil && entry.TrimmedThrough < n {
				return false
			}
		}
		return true
	})
	if err != nil {
		return 0, lake.Step("trim", err)
	}
	failpoint.Hit("trim.recorded")
	e.stream.Do(func() []lake.Entry {
		for _, m := range e.members() {
			if n, ok := through[m.ds.State().UUID]; ok {
				m.ds.Trim(n)
			}
		}
		return nil
	})
	if err := e.readersGone(ctx); err != nil {
		return 0, err
	}
	failpoint.Hit("trim.streamed")
	for _, m := range e.members() {
		if n, ok := through[m.ds.State().UUID]; ok {
			if err := m.ds.Log.Trim(ctx, n); err != nil {
				return 0, err
			}
		}
	}
	return len(through), nil
}

// expire takes old snapshots out of the metadata of datasets that nobody commits
// to any more; a commit does that itself.
func (e *Engine) expire(ctx context.Context, before time.Time) error {
	for _, m := range e.members() {
		s := m.ds.State()
		if s.Dropped || s.Table.OldSnapshots(before) == 0 {
			continue
		}
		unlock, ok := m.ds.TryLockJobs()
		if !ok {
			continue // its commit will
		}
		err := m.compactor.Expire(ctx)
		unlock()
		failpoint.Hit("expire.committed")
		if err != nil && lake.CodeOf(err) != lake.CodeDatasetNotFound {
			return err
		}
	}
	return nil
}

// readersGone waits until no query is left that began before now, and the worker
// has taken in everything so far: then nobody reads what is not reachable.
func (e *Engine) readersGone(ctx context.Context) error {
	end := e.stream.End()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if e.worker == nil || e.worker.Released(ctx) >= end {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

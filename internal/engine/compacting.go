package engine

import (
	"context"
	"slices"
	"time"

	"tarn/internal/compaction"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// Compact starts a job that folds what is pending: of one dataset, or of all.
func (e *Engine) Compact(_ context.Context, r CompactRequest) (*Job, error) {
	if err := e.mayWrite(); err != nil {
		return nil, err
	}
	if r.Dataset == nil {
		if len(r.PrimaryKey) > 0 {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "primary_key needs a dataset").WithHint("name the dataset whose duplicates are to go")
		}
		return e.startJob("compact", "", func(ctx context.Context, progress func(job.Progress)) (any, error) {
			return e.compactAll(ctx, r.DryRun, progress)
		})
	}
	m, err := e.member(*r.Dataset)
	if err != nil {
		return nil, err
	}
	if len(r.PrimaryKey) > 0 {
		if err := notAttached(m.ds.State(), "the removal of duplicates"); err != nil {
			return nil, err
		}
	}
	if len(r.PrimaryKey) > 0 && m.ds.State().Schema.Keyed() {
		return nil, lake.Errorf(lake.CodeHasPrimaryKey, "%s has the primary key %v: it holds no duplicates", r.Dataset, m.ds.State().Schema.Key).
			WithHint("compact it without primary_key")
	}
	return e.startJob("compact", r.Dataset.String(), func(ctx context.Context, progress func(job.Progress)) (any, error) {
		return result(e.compact(ctx, m, r.PrimaryKey, r.DryRun, progress))
	})
}

// result makes a typed answer an untyped one, without a value beside an error.
func result[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (e *Engine) compactAll(ctx context.Context, dryRun bool, progress func(job.Progress)) (any, error) {
	out := CompactResults{Results: []CompactResult{}}
	for _, m := range e.members() {
		r, err := e.compact(ctx, m, nil, dryRun, progress)
		switch {
		case lake.CodeOf(err) == lake.CodeDatasetNotFound: // dropped meanwhile
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil: // one dataset's trouble is not the others'
			out.Results = append(out.Results, CompactResult{Dataset: m.ds.State().Name.String(), FinalRows: -1, Problem: err.Error()})
		default:
			out.Results = append(out.Results, r)
		}
	}
	return out, nil
}

func (e *Engine) compact(ctx context.Context, m *member, dedupe []string, dryRun bool, progress func(job.Progress)) (CompactResult, error) {
	if dryRun {
		return e.planCompaction(ctx, m, dedupe)
	}
	leave, err := e.shop.EnterBulk(ctx)
	if err != nil {
		return CompactResult{}, err
	}
	defer leave()
	unlock, err := m.ds.LockJobs(ctx)
	if err != nil {
		return CompactResult{}, err
	}
	defer unlock()
	if m.ds.State().Dropped {
		return CompactResult{}, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped", m.ds.State().Name)
	}
	began := time.Now()
	out, err := whole(ctx, e, m, func() (compaction.Outcome, error) {
		if len(dedupe) > 0 {
			return m.compactor.Dedupe(ctx, dedupe, progress)
		}
		return m.compactor.Fold(ctx, progress)
	})
	if err != nil {
		return CompactResult{}, err
	}
	r := planResult(out.Plan)
	r.BaseRows, r.FinalRows = out.BaseRows, out.FinalRows
	r.Inserted, r.Updated, r.Deleted, r.FilesAdded, r.DeleteFiles = out.Inserted, out.Updated, out.Deleted, out.Added, out.Deletes
	s := out.State
	r.FoldedThrough, r.Snapshot, r.ReadPoint = s.FoldedThrough, s.Table.SnapshotID(), s.ReadPoint()
	r.ElapsedMS = float64(time.Since(began).Microseconds()) / 1000
	e.metrics.compacted(out)
	if r.DeltasMerged > 0 || len(dedupe) > 0 {
		e.log.Info("compacted", "dataset", r.Dataset, "deltas", r.DeltasMerged, "changes", r.DeltaRows,
			"base_rows", r.BaseRows, "final_rows", r.FinalRows, "files_rewritten", r.FilesRewritten, "files_kept", r.FilesKept, "elapsed_ms", r.ElapsedMS)
	}
	return r, nil
}

// planCompaction is a dry run: the plan, and whether the policy would do it by
// itself.
func (e *Engine) planCompaction(ctx context.Context, m *member, dedupe []string) (CompactResult, error) {
	p, err := m.compactor.Plan(ctx)
	if err != nil {
		return CompactResult{}, err
	}
	s := m.ds.State()
	r := planResult(p)
	r.DryRun, r.FinalRows = true, -1
	r.BaseRows, _ = s.BaseSize()
	r.FoldedThrough, r.Snapshot, r.ReadPoint = s.FoldedThrough, s.Table.SnapshotID(), s.ReadPoint()
	if len(dedupe) > 0 {
		r.FilesRewritten, r.FilesKept = len(s.Files), 0
		_, r.BytesRewritten = s.BaseSize()
		r.Reason = "all files are read, and rewritten if there are duplicates"
		return r, nil
	}
	due, why := e.set.policy().Due(p)
	if due {
		r.Reason += "; the policy does this by itself: " + why
	} else {
		r.Reason += "; the policy would wait: " + why
	}
	return r, nil
}

func planResult(p compaction.Plan) CompactResult {
	return CompactResult{
		Dataset: p.Name.String(), DeltasMerged: p.DeltasWithChanges, DeltaRows: p.DeltaRows, BytesPending: p.PendingBytes,
		FilesRewritten: len(p.Rewrite), FilesKept: len(p.Keep) + len(p.Mark), BytesRewritten: p.RewriteBytes, Reason: p.Reason,
	}
}

// runPolicy compacts by itself what the policy finds due, one dataset after the
// other, until the engine closes.
func (e *Engine) runPolicy() {
	if e.set.CompactAuto {
		e.lookAfter(e.set.CompactInterval, e.compactIfDue)
	}
}

// lookAfter looks at every dataset in turn, each time that an interval is over, until the
// engine closes.
func (e *Engine) lookAfter(interval time.Duration, look func(m *member)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
		for _, m := range e.members() {
			if e.ctx.Err() != nil || e.draining.Load() {
				return
			}
			look(m)
		}
	}
}

func (e *Engine) compactIfDue(m *member) {
	if e.mayWrite() != nil {
		return
	}
	s := m.ds.State()
	if s.Dropped || time.Now().Before(m.policy.next) {
		return
	}
	if len(s.Pending()) == 0 && !slices.ContainsFunc(s.Files, func(f lake.BaseFile) bool { return len(f.Deletes) > 0 }) {
		return
	}
	unlock, ok := m.ds.TryLockJobs()
	if !ok {
		return // an import or a compaction is at it
	}
	plan, err := m.compactor.Plan(e.ctx)
	unlock()
	if err != nil {
		e.log.Warn("planning a compaction failed", "dataset", s.Name.String(), "err", err)
		return
	}
	due, why := e.set.policy().Due(plan)
	if !due {
		return
	}
	e.log.Debug("compaction is due", "dataset", s.Name.String(), "why", why)
	j, err := e.startJob("compact", s.Name.String(), func(ctx context.Context, progress func(job.Progress)) (any, error) {
		return result(e.compact(ctx, m, nil, false, progress))
	})
	if err != nil {
		return
	}
	<-j.Done() // one at a time; startJob logs a failure
	m.policy.ended(j.Info().State == JobDone, e.set.CompactInterval)
}

// backOff keeps the policy from trying what fails again and again. It belongs to
// the policy's goroutine.
type backOff struct {
	next  time.Time
	pause time.Duration
}

func (b *backOff) ended(well bool, least time.Duration) {
	if well {
		*b = backOff{}
		return
	}
	const most = 5 * time.Minute
	b.pause = min(max(2*b.pause, least), most)
	b.next = time.Now().Add(b.pause)
}

package engine

import (
	"context"
	"slices"
	"time"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/foreign"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// sync makes the owner's newest snapshot the base. What tarn put on top of the one before
// and folded is made a delta before, which changes nothing; then it lies on top of the new one
// as all that is pending does.
func (e *Engine) sync(ctx context.Context, m *member, progress func(job.Progress)) (AttachResult, error) {
	leave, err := e.shop.EnterBulk(ctx)
	if err != nil {
		return AttachResult{}, err
	}
	defer leave()
	unlock, err := m.ds.LockJobs(ctx)
	if err != nil {
		return AttachResult{}, err
	}
	defer unlock()
	source, err := m.follows()
	if err != nil {
		return AttachResult{}, err
	}
	s := m.ds.State()
	defer e.shop.InUse(s.UUID)()
	// Read with the locks held: another sync may have taken what was the newest before.
	progress(job.Progress{Step: "read the owner's metadata"})
	theirs, err := e.opts.Foreign.Load(ctx, source)
	if err != nil {
		return AttachResult{}, err
	}
	switch a := s.Table.Attached(); {
	case a.UUID != theirs.UUID && a.UUID != "": // which tables of format version 1 need not have
		return AttachResult{}, lake.Errorf(lake.CodeUnsupported, "%s is another table now: its uuid is %s, and the dataset stands on %s", source, theirs.UUID, a.UUID).
			WithHint("detach the dataset, and attach the new table under another name")
	case a.Metadata == theirs.Metadata:
		return AttachResult{Dataset: s.Name.String(), Attached: *attachmentOf(s.Table), Sequence: s.Sequence, ReadPoint: s.ReadPoint()}, nil
	}
	if err := e.followSchema(ctx, m, theirs); err != nil {
		return AttachResult{}, err
	}
	// What stays on top must not depend on whether it was compacted: of a delete of a key that
	// the owner does not have nothing is left after a fold.
	if _, err := whole(ctx, e, m, func() (compaction.Outcome, error) { return m.compactor.Fold(ctx, progress) }); err != nil {
		return AttachResult{}, err
	}
	return e.take(ctx, m, source, theirs, progress)
}

// follows is the source that the dataset follows.
func (m *member) follows() (foreign.Source, error) {
	s := m.ds.State()
	switch {
	case s.Dropped:
		return foreign.Source{}, NoDataset(s.Name)
	case s.Table.Attached() == nil:
		return foreign.Source{}, lake.Errorf(lake.CodeUnsupported, "%s was detached meanwhile", s.Name)
	}
	return sourceOf(s.Table.Attached()), nil
}

// followSchema changes the dataset's columns as the owner did.
func (e *Engine) followSchema(ctx context.Context, m *member, theirs *foreign.Table) error {
	s := m.ds.State()
	operations, err := s.Table.Follow(theirs.Schema)
	if err != nil || len(operations) == 0 {
		return err
	}
	a := &alteration{e: e, m: m, r: AlterRequest{Dataset: s.Name, Operations: operations}, checked: -1}
	_, err = a.locked(ctx)
	return lake.Step("follow the owner's columns", err)
}

// raiseOverlay commits what is folded on top of the owner's snapshot once more, as one
// delta, while other changes wait. It gives the number of its keys.
func (e *Engine) raiseOverlay(ctx context.Context, m *member) (int64, error) {
	s := m.ds.State()
	if !s.Schema.Keyed() {
		return 0, nil // tarn's own files stay as they are
	}
	over, err := s.Table.Overlay(ctx)
	if err != nil || len(over.Own)+len(over.Now) == 0 {
		return 0, err
	}
	q := change.Request{Name: s.Name, UUID: s.UUID, Folds: true} // what would make room waits for us
	ack, err := m.committer.SubmitPrepared(ctx, ctx, q, func(ctx context.Context, s *dataset.State) (change.Request, error) {
		q.SchemaID = s.Schema.ID
		err := e.overlayByJob(ctx, s, &q)
		return q, err
	})
	return ack.Rows, lake.Step("raise what is on top", err)
}

// overlayByJob makes the delta of raiseOverlay.
func (e *Engine) overlayByJob(ctx context.Context, s *dataset.State, q *change.Request) (err error) {
	over, err := s.Table.Overlay(ctx)
	if err != nil {
		return err
	}
	pad, err := e.shop.NewScratchpad("overlay")
	if err != nil {
		return err
	}
	b := brought{e: e}
	defer func() {
		if b.close(); err != nil || q.File == "" {
			pad.Remove()
		}
	}()
	o := &job.Overlay{Schema: s.Schema, Deltas: s.Pending()}
	if o.Own, err = b.bring(ctx, over.Own); err != nil {
		return err
	}
	if o.Now, err = b.bring(ctx, over.Now); err != nil {
		return err
	}
	if o.Before, err = b.bring(ctx, over.Before); err != nil {
		return err
	}
	res, err := e.shop.Run(ctx, pad, job.Spec{Kind: job.KindOverlay, Overlay: o}, nil)
	if err != nil {
		return err
	}
	if q.Rows = res.Rows; q.Rows == 0 {
		return nil
	}
	out := res.Outputs[0]
	q.File, q.FileRows, q.Bytes, q.LetGo = out.Path, out.Rows, out.Bytes, pad.Remove
	return nil
}

// take commits the owner's snapshot as the base. Nobody else changes the base meanwhile, as
// the dataset's job lock is held; rows go on being changed.
func (e *Engine) take(ctx context.Context, m *member, source foreign.Source, theirs *foreign.Table, progress func(job.Progress)) (_ AttachResult, err error) {
	s := m.ds.State()
	k := taking{brought: brought{e: e}, theirs: theirs, source: source, table: s.Table, progress: progress}
	defer k.close()
	if !s.Schema.Keyed() {
		k.own = own(s.Files)
	}
	if err := k.ready(ctx, s.Files); err != nil {
		return AttachResult{}, err
	}
	failpoint.Hit("sync.ready")
	if !k.changes {
		t, err := s.Table.Take(e.ctx, k.taken(s.FoldedThrough, 0), e.shop.MakeCurrent(s.Table, nil))
		if err != nil {
			return AttachResult{}, lake.Step("commit", err)
		}
		next, err := e.showBase(m, s, t)
		if err != nil {
			return AttachResult{}, err
		}
		return k.done(next), nil
	}
	if k.result.RowsOnTop, err = e.raiseOverlay(ctx, m); err != nil {
		return AttachResult{}, err
	}
	failpoint.Hit("sync.raised")
	var next *dataset.State
	err = m.committer.Exclusive(ctx, func(held context.Context, h *change.Held) (err error) {
		if h.State().Dropped {
			return NoDataset(h.State().Name)
		}
		next, err = k.commit(held, h)
		return err
	})
	if err != nil {
		return AttachResult{}, lake.Step("commit", err)
	}
	out := k.done(next)
	e.log.Info("took the owner's commit", "dataset", out.Dataset, "snapshot", out.Attached.Snapshot, "files", out.Files, "linked", out.FilesLinked, "copied", out.FilesCopied, "on_top", out.RowsOnTop)
	return out, nil
}

// commit runs with the committer held.
func (k *taking) commit(ctx context.Context, h *change.Held) (*dataset.State, error) {
	s := h.State()
	return h.ContentCommit(ctx, func(ctx context.Context, n int64) (change.NewBase, error) {
		folded := foldedAt(s, n)
		t, err := s.Table.Take(ctx, k.taken(folded, n), k.e.shop.MakeCurrent(s.Table, nil))
		if err != nil {
			return change.NewBase{}, err
		}
		failpoint.Hit("sync.committed")
		files, err := k.e.shop.ReadableAfterCommit(ctx, t, s.Files)
		return change.NewBase{Table: t, Files: files, FoldedThrough: folded}, err
	})
}

// own are the files that are not an owner's.
func own(files []lake.BaseFile) []lake.BaseFile {
	return slices.DeleteFunc(slices.Clone(files), func(f lake.BaseFile) bool {
		_, theirs := base.FromOwner(f.Key)
		return theirs
	})
}

// runSync takes the commits of owners by itself, one dataset after the other, until the
// engine closes.
func (e *Engine) runSync() {
	if e.opts.Foreign != nil && e.set.AttachInterval > 0 {
		e.lookAfter(e.set.AttachInterval, e.syncIfDue)
	}
}

func (e *Engine) syncIfDue(m *member) {
	s := m.ds.State()
	a := s.Table.Attached()
	if a == nil || s.Dropped || e.mayWrite() != nil || time.Now().Before(m.syncing.next) {
		return
	}
	newest, err := e.opts.Foreign.Newest(e.ctx, sourceOf(a))
	if err != nil && e.ctx.Err() == nil {
		e.log.Warn("the owner's table cannot be looked at", "dataset", s.Name.String(), "err", err)
	}
	if err == nil && newest == a.Metadata {
		return
	}
	well := false
	if err == nil {
		j, err := e.startSync(m)
		if err != nil {
			return
		}
		<-j.Done() // one at a time; startJob logs a failure
		well = j.Info().State == JobDone
	}
	m.syncing.ended(well, e.set.AttachInterval)
}

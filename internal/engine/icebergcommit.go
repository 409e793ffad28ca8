package engine

import (
	"bytes"
	"context"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// IcebergCommit takes a commit of another program in, whole or not at all: a content
// commit. docs/design/iceberg-rest.md says what it must be, and what becomes of changes
// that are pending.
//
// Errors besides those of base.Propose and of the check job: CodeNotReady where other jobs
// run too long, CodeUnknownOutcome where whether it went in is not known.
func (e *Engine) IcebergCommit(ctx context.Context, r IcebergCommitRequest) (IcebergTable, error) {
	if err := e.mayWrite(); err != nil {
		return IcebergTable{}, err
	}
	work := e.commitOutside
	if r.Creates() {
		work = e.createOutside
	}
	s, err := work(ctx, r)
	if err != nil {
		e.notice(err)
		return IcebergTable{}, lake.Step("commit to "+r.Dataset.String(), err)
	}
	e.log.Info("took in a commit of another program", "dataset", s.Name.String(), "sequence", s.Sequence, "snapshot", s.Table.SnapshotID(), "files", len(s.Files))
	return icebergTable(ctx, s, false)
}

func (e *Engine) commitOutside(ctx context.Context, r IcebergCommitRequest) (*dataset.State, error) {
	m, err := e.member(r.Dataset)
	if err != nil {
		return nil, err
	}
	leave, err := e.enterTable(ctx, m)
	if err != nil {
		return nil, err
	}
	defer leave()
	s := m.ds.State()
	if s.Dropped || s.Name.Key() != r.Dataset.Key() {
		return nil, NoDataset(r.Dataset)
	}
	release := e.shop.InUse(s.UUID)
	defer release()
	e.named.RLock()
	defer e.named.RUnlock()
	p, err := s.Table.Propose(ctx, r.Requirements, r.Updates)
	if err != nil || p.Nothing {
		return s, err
	}
	o := outside{e: e, proposal: p}
	defer o.close()
	if err := o.open(ctx); err != nil {
		return nil, err
	}
	var next *dataset.State
	err = compaction.CatchUp(ctx, m.ds, m.committer, o.check, func(ctx context.Context, h *change.Held) (err error) {
		next, err = o.commit(ctx, h)
		return err
	})
	if lake.CodeOf(err) == lake.CodePreconditionFailed { // it loads again, and is to see what was in its way
		if _, err := e.foldOnce(m); err != nil {
			e.log.Debug("no fold was begun", "err", err)
		}
	}
	return next, err
}

// outside is one commit of another program under way.
type outside struct {
	e        *Engine
	proposal *base.Proposal
	pad      *workshop.Scratchpad
	added    []lake.BaseFile // as they can be read on this machine
	leave    func()
}

// open makes the new files ready to be read.
func (o *outside) open(ctx context.Context) (err error) {
	if o.pad, err = o.e.shop.NewScratchpad("check"); err != nil {
		return err
	}
	files, err := o.e.shop.Verifier.Files(ctx, o.proposal.Added)
	if err != nil {
		return err
	}
	o.added, o.leave, err = o.e.shop.Bring(ctx, files)
	return err
}

func (o *outside) close() {
	if o.leave != nil {
		o.leave()
	}
	if o.pad != nil {
		o.pad.Remove()
	}
}

// check is a round of the commit: it reads the rows at a state.
func (o *outside) check(ctx context.Context, s *dataset.State) error {
	c := &job.Check{Schema: s.Schema, Added: o.added, Deltas: s.Pending()}
	known := map[string]lake.BaseFile{}
	for _, f := range s.Files {
		known[f.Key] = f
	}
	pending, _, _ := s.PendingSize()
	if s.Schema.Keyed() {
		for _, f := range meeting(o.proposal.Kept, o.added) {
			c.Kept = append(c.Kept, known[f.Key])
		}
		if pending > 0 {
			for _, f := range o.proposal.Removed {
				c.Removed = append(c.Removed, known[f.Key])
			}
		}
	}
	if len(c.Added) == 0 && len(c.Removed) == 0 {
		return nil // whole files go, and no key can be changed meanwhile
	}
	var leaves []func()
	defer func() {
		for _, leave := range leaves {
			leave()
		}
	}()
	for _, files := range []*[]lake.BaseFile{&c.Kept, &c.Removed} {
		here, leave, err := o.e.shop.Bring(ctx, *files)
		if err != nil {
			return err
		}
		*files, leaves = here, append(leaves, leave)
	}
	_, err := o.e.shop.Run(ctx, o.pad, job.Spec{Kind: job.KindCheck, Check: c}, nil)
	failpoint.Hit("outside.checked")
	return err
}

// meeting gives the files whose key ranges meet those of others.
func meeting(files, others []lake.BaseFile) []lake.BaseFile {
	var out []lake.BaseFile
	for _, f := range files {
		for _, g := range others {
			above := f.Lower != nil && g.Upper != nil && bytes.Compare(f.Lower, g.Upper) > 0
			below := f.Upper != nil && g.Lower != nil && bytes.Compare(f.Upper, g.Lower) < 0
			if !above && !below {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// commit runs with the committer held. Where changes are pending they stay: the base is
// older than they are, and the sequence says that it is another.
func (o *outside) commit(ctx context.Context, h *change.Held) (*dataset.State, error) {
	s := h.State()
	return h.ContentCommit(ctx, func(ctx context.Context, n int64) (change.NewBase, error) {
		folded := s.FoldedThrough
		if pending, _, _ := s.PendingSize(); pending == 0 {
			folded = n
		}
		t, err := o.proposal.Commit(ctx, folded, n, o.e.shop.MakeCurrent(s.Table, nil))
		if err != nil {
			return change.NewBase{}, err
		}
		failpoint.Hit("outside.committed")
		files, err := o.e.shop.ReadableAfterCommit(ctx, t, s.Files)
		return change.NewBase{Table: t, Files: files, FoldedThrough: folded}, err
	})
}

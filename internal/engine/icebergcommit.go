package engine

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"

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
	leave, err := e.enterTables(ctx, m)
	if err != nil {
		return nil, err
	}
	defer leave()
	s, err := m.called(r.Dataset)
	if err == nil {
		err = notAttached(s, "a commit of another program")
	}
	if err != nil {
		return nil, err
	}
	p, err := s.Table.Propose(ctx, r.Requirements, r.Updates)
	if err != nil || p.Nothing {
		return s, err
	}
	switch {
	case p.Evolves() != nil:
		return e.evolveOutside(ctx, m, p)
	case !p.Content():
		return e.describeOutside(ctx, m, p)
	}
	o := outside{brought: brought{e: e}, proposal: p}
	defer o.close()
	if err := o.ready(ctx); err != nil {
		return nil, err
	}
	var next *dataset.State
	err = compaction.CatchUp(ctx, m.ds, m.committer, o.check, func(ctx context.Context, h *change.Held) (err error) {
		next, err = o.commit(ctx, h)
		return err
	})
	e.foldRefused(m, err)
	return next, err
}

// evolveOutside changes the columns as another program asks: a schema change as tarn's own.
func (e *Engine) evolveOutside(ctx context.Context, m *member, p *base.Proposal) (*dataset.State, error) {
	a := &alteration{e: e, m: m, r: AlterRequest{Dataset: m.ds.State().Name, Operations: p.Evolves()}, checked: -1, made: p.Evolve}
	if _, err := a.locked(ctx); err != nil {
		return nil, err
	}
	return m.ds.State(), nil
}

// describeOutside changes table properties. No reader of the dataset sees them.
func (e *Engine) describeOutside(ctx context.Context, m *member, p *base.Proposal) (*dataset.State, error) {
	s := m.ds.State()
	t, err := p.Describe(e.ctx, e.shop.MakeCurrent(s.Table, nil))
	if err != nil {
		return nil, err
	}
	return e.showBase(m, s, t)
}

// outside is one commit of another program under way.
type outside struct {
	brought
	proposal *base.Proposal
	pad      *workshop.Scratchpad
	added    []lake.BaseFile // as they can be read on this machine
	marked   []lake.BaseFile // files that stay and lose rows, as they are after the commit; likewise
}

// brought keeps files of the store on this machine, to be read by a job.
type brought struct {
	e      *Engine
	leaves []func()
}

// bring makes files ready to be read until close.
func (b *brought) bring(ctx context.Context, files []lake.BaseFile) ([]lake.BaseFile, error) {
	files, err := b.e.shop.Verifier.Files(ctx, files)
	if err != nil {
		return nil, err
	}
	here, leave, err := b.e.shop.Bring(ctx, files)
	if err != nil {
		return nil, err
	}
	b.leaves = append(b.leaves, leave)
	return here, nil
}

func (b *brought) close() {
	for _, leave := range b.leaves {
		leave()
	}
}

func (o *outside) close() {
	o.brought.close()
	if o.pad != nil {
		o.pad.Remove()
	}
}

// ready makes delete files of the table's own of those that the commit brings, and then the
// new files, and those that lose rows, ready to be read.
func (o *outside) ready(ctx context.Context) (err error) {
	if o.pad, err = o.e.shop.NewScratchpad("check"); err != nil {
		return err
	}
	if m := o.proposal.Marks(); m != nil {
		made, err := o.marks(ctx, *m)
		if err != nil {
			return err
		}
		if err := o.proposal.Mark(ctx, made); err != nil {
			return err
		}
		failpoint.Hit("outside.marked")
	}
	if o.added, err = o.bring(ctx, o.proposal.Added); err != nil {
		return err
	}
	o.marked, err = o.bring(ctx, o.proposal.Marked())
	return err
}

// marks has a job read the commit's delete files, and takes in what it writes for them.
func (o *outside) marks(ctx context.Context, m lake.ForeignDeletes) ([]base.Mark, error) {
	m, err := o.readable(ctx, m)
	if err != nil {
		return nil, err
	}
	res, err := o.e.shop.Run(ctx, o.pad, job.Spec{Kind: job.KindMarks, Marks: &job.Marks{ForeignDeletes: m}}, nil)
	if err != nil {
		return nil, err
	}
	var made []base.Mark
	for _, d := range res.Deletes {
		one, err := o.proposal.TakeInMark(ctx, d.Path, d.Base, d.Snapshot, d.Rows)
		if err != nil {
			return nil, err
		}
		made = append(made, one)
	}
	return made, nil
}

// readable gives the paths of delete files. They are brought as files of their own: no
// data file is needed. Deletion vectors are written as position deletes for the job.
func (o *outside) readable(ctx context.Context, m lake.ForeignDeletes) (lake.ForeignDeletes, error) {
	var files []lake.BaseFile
	need := func(d lake.DeleteFile) {
		files = append(files, lake.BaseFile{Key: d.Key, Bytes: d.Bytes})
	}
	for _, d := range m.Theirs {
		if !o.proposal.IsVector(d.Key) {
			need(d.DeleteFile)
		}
	}
	for _, f := range m.Files {
		if f.Concerned() {
			for _, d := range f.Before {
				need(d)
			}
		}
	}
	files, err := o.bring(ctx, files)
	if err != nil {
		return m, err
	}
	paths := map[string]string{}
	for _, f := range files {
		paths[f.Key] = f.Path
	}
	m.Theirs, m.Files = slices.Clone(m.Theirs), slices.Clone(m.Files)
	for i := range m.Theirs {
		d := &m.Theirs[i]
		if d.Path = paths[d.Key]; !o.proposal.IsVector(d.Key) {
			continue
		}
		d.Path = filepath.Join(o.pad.Dir, fmt.Sprintf("vector-%d.parquet", i))
		if err := o.proposal.WriteVector(d.Key, d.Path); err != nil {
			return m, err
		}
	}
	for i := range m.Files {
		before := slices.Clone(m.Files[i].Before)
		for k := range before {
			before[k].Path = paths[before[k].Key]
		}
		m.Files[i].Before = before
	}
	return m, nil
}

// check is a round of the commit: it reads the rows at a state.
func (o *outside) check(ctx context.Context, s *dataset.State) error {
	c := &job.Check{Schema: s.Schema, Added: o.added, Deltas: s.Pending()}
	known := map[string]lake.BaseFile{}
	for _, f := range s.Files {
		known[f.Key] = f
	}
	after := map[string]lake.BaseFile{}
	for _, f := range o.marked {
		after[f.Key] = f
	}
	pending, _, _ := s.PendingSize()
	if s.Schema.Keyed() {
		for _, f := range meeting(o.proposal.Kept, o.added) {
			now, ok := after[f.Key]
			if !ok {
				now = known[f.Key]
			}
			c.Kept = append(c.Kept, now)
		}
		if pending > 0 {
			for _, f := range o.proposal.Removed {
				c.Removed = append(c.Removed, known[f.Key])
			}
			for _, f := range o.marked {
				c.Removed, c.Marked = append(c.Removed, known[f.Key]), append(c.Marked, f)
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

// commit runs with the committer held.
func (o *outside) commit(ctx context.Context, h *change.Held) (*dataset.State, error) {
	s := h.State()
	return h.ContentCommit(ctx, func(ctx context.Context, n int64) (change.NewBase, error) {
		folded := foldedAt(s, n)
		t, err := o.proposal.Commit(ctx, folded, n, o.e.shop.MakeCurrent(s.Table, nil))
		if err != nil {
			return change.NewBase{}, err
		}
		failpoint.Hit("outside.committed")
		files, err := o.e.shop.ReadableAfterCommit(ctx, t, s.Files)
		return change.NewBase{Table: t, Files: files, FoldedThrough: folded}, err
	})
}

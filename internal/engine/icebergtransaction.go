package engine

import (
	"context"
	"slices"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// IcebergTransaction takes the commits of another program to several tables in, all of
// them or none, in one catalog version: every query sees all of them or none. What each
// must be is as with IcebergCommit; a table cannot be made by it, and no column be made
// required, where it is of more than one.
func (e *Engine) IcebergTransaction(ctx context.Context, all []IcebergCommitRequest) error {
	if len(all) == 1 {
		_, err := e.IcebergCommit(ctx, all[0])
		return err
	}
	if err := e.mayWrite(); err != nil {
		return err
	}
	t := &outsideTransaction{e: e}
	states, err := t.run(ctx, all)
	if err != nil {
		e.notice(err)
		return err
	}
	for _, s := range states {
		e.log.Info("took in a commit of another program", "dataset", s.Name.String(), "sequence", s.Sequence, "snapshot", s.Table.SnapshotID(), "files", len(s.Files), "tables", len(states))
	}
	return nil
}

// outsideTransaction is a commit to several tables under way.
type outsideTransaction struct {
	e     *Engine
	parts []*outsidePart // that change something
}

// outsidePart is what it does to one of them.
type outsidePart struct {
	outside
	m       *member
	shown   change.Shown
	checked int64 // the sequence that its rows were held against; -1: none
}

func (t *outsideTransaction) close() {
	for _, p := range t.parts {
		p.outside.close()
	}
}

// run holds the tables against folds and each other's commits, proposes, checks and commits.
func (t *outsideTransaction) run(ctx context.Context, all []IcebergCommitRequest) ([]*dataset.State, error) {
	members, err := t.members(all)
	if err != nil {
		return nil, err
	}
	leave, err := t.e.enterTables(ctx, members...)
	if err != nil {
		return nil, err
	}
	defer leave()
	defer t.close()
	for i, r := range all {
		if err := t.propose(ctx, members[i], r); err != nil {
			return nil, lake.Step("commit to "+r.Dataset.String(), err)
		}
	}
	if len(t.parts) == 0 {
		return nil, nil
	}
	for range checkRounds {
		if again, err := t.check(ctx); err != nil || !again {
			return t.commit(ctx, err)
		}
	}
	return t.commit(ctx, nil)
}

// checkRounds is how often rows are looked at while changes go on, before they wait.
const checkRounds = 3

// members finds the datasets.
func (t *outsideTransaction) members(all []IcebergCommitRequest) ([]*member, error) {
	var out []*member
	for _, r := range all {
		if r.Creates() {
			return nil, lake.Errorf(lake.CodeUnsupported, "a commit to several tables cannot make one of them (%s)", r.Dataset).
				WithHint("make the table first, by a commit of its own")
		}
		m, err := t.e.member(r.Dataset)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, m) {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the transaction has the table %s twice", r.Dataset)
		}
		out = append(out, m)
	}
	return out, nil
}

// propose holds one table's commit against it, and reads its delete files.
func (t *outsideTransaction) propose(ctx context.Context, m *member, r IcebergCommitRequest) error {
	s, err := m.called(r.Dataset)
	if err == nil {
		err = notAttached(s, "a commit of another program")
	}
	if err != nil {
		return err
	}
	p, err := s.Table.Propose(ctx, r.Requirements, r.Updates)
	if err != nil || p.Nothing {
		return err
	}
	part := &outsidePart{outside: outside{brought: brought{e: t.e}, proposal: p}, m: m, checked: -1}
	t.parts = append(t.parts, part)
	switch {
	case p.Evolves() != nil:
		part.shown = change.ShownSchema
		next, err := s.Schema.Evolve(p.Evolves(), s.Table.LastColumnID())
		if err != nil {
			return err
		}
		if columns := required(s.Schema, next.Schema); len(columns) > 0 {
			return lake.Errorf(lake.CodeUnsupported, "a commit to several tables cannot make the column %q required", columns[0].Name).
				WithHint("commit that by itself")
		}
		return nil
	case !p.Content():
		part.shown = change.ShownAlone
		return nil
	}
	return part.ready(ctx)
}

// check reads the rows of the commits whose datasets changed since that was done last;
// again says that some changed meanwhile.
func (t *outsideTransaction) check(ctx context.Context) (again bool, err error) {
	for _, p := range t.parts {
		s := p.m.ds.State()
		if p.shown != change.ShownContent || s.Sequence == p.checked {
			continue
		}
		if err := p.check(ctx, s); err != nil {
			return false, lake.Step("commit to "+s.Name.String(), err)
		}
		p.checked = s.Sequence
	}
	return slices.ContainsFunc(t.parts, func(p *outsidePart) bool {
		return p.shown == change.ShownContent && p.m.ds.State().Sequence != p.checked
	}), nil
}

// commit makes all current while nobody else changes any of the datasets. failed is what
// the rounds before came to.
func (t *outsideTransaction) commit(ctx context.Context, failed error) (states []*dataset.State, err error) {
	if err = failed; err == nil {
		committers := make([]*change.Committer, len(t.parts))
		for i, p := range t.parts {
			committers[i] = p.m.committer
		}
		err = change.HoldAll(ctx, committers, func(held context.Context, all []*change.Held) error {
			states, err = t.commitHeld(ctx, held, all)
			return err
		})
	}
	for _, p := range t.parts {
		t.e.foldRefused(p.m, err)
	}
	return states, err
}

func (t *outsideTransaction) commitHeld(ctx, held context.Context, all []*change.Held) ([]*dataset.State, error) {
	once := make([]change.AtOnce, len(all))
	for i, h := range all {
		if h.State().Dropped {
			return nil, NoDataset(h.State().Name)
		}
		once[i] = change.AtOnce{Held: h, Shown: t.parts[i].shown}
	}
	if _, err := t.check(ctx); err != nil {
		return nil, err
	}
	return change.CommitAtOnce(held, once, t.makeCurrent)
}

// makeCurrent writes the metadata of every table, and then the one catalog version.
func (t *outsideTransaction) makeCurrent(ctx context.Context, n []int64) ([]change.NewBase, error) {
	made, moves := make([]change.NewBase, len(t.parts)), make([]workshop.Move, len(t.parts))
	var write func(i int) error
	write = func(i int) (err error) {
		if i == len(t.parts) {
			return t.e.shop.MoveAll(ctx, moves)
		}
		p := t.parts[i]
		s := p.m.ds.State()
		written := func(_ context.Context, key string) error {
			moves[i] = workshop.Move{Table: s.Table, To: key}
			return write(i + 1)
		}
		made[i].FoldedThrough = s.FoldedThrough
		switch p.shown {
		case change.ShownSchema:
			next, fault := s.Schema.Evolve(p.proposal.Evolves(), s.Table.LastColumnID())
			if fault != nil {
				return fault
			}
			made[i].Table, err = p.proposal.Evolve(ctx, next.Schema, n[i], written)
		case change.ShownAlone:
			made[i].Table, err = p.proposal.Describe(ctx, written)
		default:
			made[i].FoldedThrough = foldedAt(s, n[i])
			made[i].Table, err = p.proposal.Commit(ctx, made[i].FoldedThrough, n[i], written)
		}
		return err
	}
	if err := write(0); err != nil {
		return nil, err
	}
	failpoint.Hit("outside.all-current")
	for i, p := range t.parts {
		files, err := t.e.shop.ReadableAfterCommit(ctx, made[i].Table, p.m.ds.State().Files)
		if err != nil {
			return nil, err
		}
		made[i].Files = files
	}
	return made, nil
}

package change

import (
	"context"

	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// HoldAll holds several committers and runs a step while all of them stand still. held is
// in the order of the committers given.
func HoldAll(ctx context.Context, committers []*Committer, run func(ctx context.Context, held []*Held) error) error {
	return hold(ctx, ctx, inOrder(committers), func(last context.Context) error {
		held := make([]*Held, len(committers))
		for i, c := range committers {
			held[i] = &Held{c: c}
		}
		return run(last, held)
	})
}

// Shown says how a base of several that become current at once is shown.
type Shown int

// The ways, which are those of ContentCommit, SchemaCommit and PublishFold; the last takes
// no sequence.
const (
	ShownContent Shown = iota
	ShownSchema
	ShownAlone
)

// AtOnce is one dataset of a commit to several.
type AtOnce struct {
	*Held
	Shown Shown
}

// CommitAtOnce is ContentCommit for several datasets that are held: each takes its next
// sequence by an empty delta (those that are ShownAlone take none and get their present
// one), commit makes all bases current or none, and all are shown in one step of the stream.
func CommitAtOnce(ctx context.Context, all []AtOnce, commit func(ctx context.Context, n []int64) ([]NewBase, error)) ([]*dataset.State, error) {
	taken, sequences, err := takeSequences(ctx, all)
	var made []NewBase
	if err == nil {
		failpoint.Hit("outside.all-sequences-taken")
		made, err = commit(ctx, sequences)
		failpoint.Hit("outside.all-committed")
	}
	return conclude(ctx, all, taken, made, err, func() { failpoint.Hit("outside.all-published") })
}

// takeSequences creates the empty deltas; those that are there after an error are given,
// too: they have to be shown.
func takeSequences(ctx context.Context, all []AtOnce) (taken []*lake.Delta, sequences []int64, err error) {
	taken, sequences = make([]*lake.Delta, len(all)), make([]int64, len(all))
	committers := make([]*Committer, len(all))
	for i, one := range all {
		committers[i] = one.c
	}
	for i, one := range all {
		s := one.State()
		sequences[i] = s.Sequence
		if one.Shown == ShownAlone {
			continue
		}
		header := one.c.header(s, nil)
		refused := refuseLate(committers, one.c.ds.Log.Key(header.Sequence))
		d, err := one.c.createChanges(ctx, header, s, []format.Changes{})
		d, err = one.c.known(ctx, d, nil, err)
		refused()
		if err != nil {
			return taken, nil, lake.Step("take a sequence of "+s.Name.String(), err)
		}
		taken[i], sequences[i] = &d, d.Sequence
	}
	return taken, sequences, nil
}

// conclude shows what was taken and made of datasets that are held, in one step of the
// stream; published is called after it. failed is what the commit came to: then what was
// taken is shown alone.
func conclude(ctx context.Context, all []AtOnce, taken []*lake.Delta, made []NewBase, failed error, published func()) ([]*dataset.State, error) {
	if isUnknown(failed) && ctx.Err() != nil {
		return nil, failed // the server ends, and who opens the lake next finds out
	}
	if isUnknown(failed) { // of a file that a base would have had
		failed = lake.Errorf(lake.CodeUnavailable, "nothing was changed: %v", failed).WithHint("try again")
	}
	var next []*dataset.State
	all[0].c.shared.Stream.Do(func() []lake.Entry {
		entries, states := showAll(all, taken, made, failed)
		next = states
		return oneGroup(entries)
	})
	published()
	for _, one := range all {
		one.c.Room()
	}
	return next, failed
}

// showAll puts what was taken and made into the datasets, and gives the entries that say so.
func showAll(all []AtOnce, taken []*lake.Delta, made []NewBase, failed error) (entries []lake.Entry, states []*dataset.State) {
	for i, one := range all {
		d := taken[i]
		if d != nil {
			one.c.ds.Append(*d)
		}
		apply := func() {
			if d != nil {
				entries = append(entries, applied(one.State(), *d))
			}
		}
		if failed != nil {
			apply()
			continue
		}
		next := one.c.ds.Update(made[i].apply)
		if one.Shown != ShownContent || next.FoldedThrough < next.Sequence { // else the publish says it: nothing is pending before it
			apply()
		}
		entries = append(entries, next.Publish(one.Shown == ShownContent))
		states = append(states, next)
	}
	return entries, states
}

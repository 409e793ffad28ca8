package base

import (
	"context"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// Instant is what a table keeps of how it was: the newest snapshot that contains changes
// up to a sequence at most.
type Instant struct {
	Files         []lake.BaseFile // as Files gives them
	FoldedThrough int64           // what it contains; the deltas after it come on top
	SnapshotID    *string         // nil: the table was empty
	TimeMS        int64           // of the snapshot, since 1970; 0 for none
}

// At finds the snapshot from which the state at a sequence can be read. ok is false where
// it is not kept any more.
func (t *Table) At(ctx context.Context, sequence int64) (in Instant, ok bool, err error) {
	snapshot, folded, ok := t.snapshotAt(sequence)
	if !ok {
		return in, false, nil
	}
	in.FoldedThrough = folded
	if snapshot == nil {
		return in, true, nil
	}
	id := strconv.FormatInt(snapshot.SnapshotID, 10)
	in.SnapshotID, in.TimeMS = &id, snapshot.TimestampMs
	if current := t.SnapshotID(); current != nil && *current == id {
		in.Files, err = t.Files(ctx)
		return in, true, err
	}
	c, err := t.readContent(ctx, t.fs.view(ctx, t.root), snapshot)
	if err != nil {
		return in, true, err
	}
	in.Files = c.list()
	return in, true, nil
}

// snapshotAt is the newest snapshot with a folded-through of at most sequence; nil is the
// table before its first one.
func (t *Table) snapshotAt(sequence int64) (found *table.Snapshot, folded int64, ok bool) {
	all, from, through := t.history()
	for i := range all {
		if from[i] >= 0 && from[i] <= sequence {
			found, folded, ok = &all[i], through[i], true
		}
	}
	// A fold of changes without an effect moves the property alone.
	if current := t.meta.CurrentSnapshot(); ok && current != nil && current.SnapshotID == found.SnapshotID && t.folded <= sequence {
		folded = t.folded
	}
	return found, folded, ok || t.madeEmpty(all)
}

// Oldest is the lowest sequence whose state can be read, where the deltas after trimmed
// are kept.
func (t *Table) Oldest(trimmed int64) int64 {
	all, from, through := t.history()
	if trimmed == 0 && t.madeEmpty(all) {
		return 0
	}
	oldest := t.Through()
	for i, n := range from {
		if through[i] >= trimmed {
			oldest = min(oldest, n)
		}
	}
	return oldest
}

// history is the snapshots that are kept, oldest first, each with the sequence from which
// on it holds and its folded-through; -1 where that is not known. The two differ where
// another program committed beside changes that stayed pending.
func (t *Table) history() (all []table.Snapshot, from, through []int64) {
	all = slices.Clone(t.meta.Snapshots())
	slices.SortFunc(all, func(a, b table.Snapshot) int { return int(a.SequenceNumber - b.SequenceNumber) })
	from, through = make([]int64, len(all)), make([]int64, len(all))
	at, last := int64(-1), int64(-1) // a snapshot without a summary of ours only rewrote manifests
	for i := range all {
		if s := all[i].Summary; s != nil {
			if n, err := strconv.ParseInt(s.Properties.Get(propertyFolded, ""), 10, 64); err == nil {
				at, last = n, n
			}
			if n, err := strconv.ParseInt(s.Properties.Get(propertyContentAt, ""), 10, 64); err == nil {
				at = max(at, n)
			}
		}
		from[i], through[i] = at, last
	}
	return all, from, through
}

// madeEmpty says whether the table was made empty, and its first snapshot is kept or it
// has none yet.
func (t *Table) madeEmpty(kept []table.Snapshot) bool {
	if len(kept) == 0 {
		return t.meta.LastSequenceNumber() == 0
	}
	return kept[0].SequenceNumber == 1
}

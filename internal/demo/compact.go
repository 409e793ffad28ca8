package demo

import (
	"context"
	"fmt"
)

// compact folds the changes into the base and checks the counts against the
// arithmetic.
func (t *tour) compact(ctx context.Context, want *expected) error {
	p := planChanges(want) // the same plan again: it depends on the set alone
	t.step("Compact: fold the changes into the base")
	r, err := t.lake.compact(ctx, "timesheets")
	if err != nil {
		return err
	}
	t.table([]string{"base_rows", "delta_rows", "updated", "inserted", "deleted", "final_rows", "deltas_merged"},
		[]bool{true, true, true, true, true, true, true},
		[][]string{{count(r.BaseRows), count(r.DeltaRows), count(r.Updated), count(r.Inserted), count(r.Deleted), count(r.FinalRows), fmt.Sprint(r.DeltasMerged)}})
	t.check(r.BaseRows == want.rows && r.DeltaRows == p.rows() && r.FinalRows == want.total(),
		"exact: %s + %s - %s = %s rows", count(want.rows), count(int64(len(p.inserts))), count(int64(len(p.deletes))), count(want.total()))
	t.check(r.Updated == int64(len(p.updates)) && r.Inserted == int64(len(p.inserts)) && r.Deleted == int64(len(p.deletes)) && r.DeltasMerged == 3,
		"exact: %s updated, %s inserted, %s deleted, of 3 deltas", count(r.Updated), count(r.Inserted), count(r.Deleted))
	d, err := t.lake.describe(ctx, "timesheets")
	if err != nil {
		return err
	}
	t.check(d.PendingDeltas == 0 && d.BaseRows == want.total(), "nothing is pending; the base holds %s rows in %d files", count(d.BaseRows), d.Files)
	return t.askJoin(ctx, want)
}

package base

import "github.com/apache/iceberg-go/table"

// OnlyFolded says whether the content of the table, as far as its base goes, is that
// of an earlier state of it with deltas folded in: every snapshot since then is a
// fold, or keeps the content. False where the way between the two is not known.
func (t *Table) OnlyFolded(since *Table) bool {
	before, s := since.meta.CurrentSnapshot(), t.meta.CurrentSnapshot()
	for {
		switch {
		case s == nil:
			return before == nil
		case before != nil && s.SnapshotID == before.SnapshotID:
			return true
		case s.Summary == nil:
			return false
		}
		kind := s.Summary.Properties[summaryKind]
		if kind != string(KindFold) && (kind != "" || s.Summary.Operation != table.OpReplace) {
			return false
		}
		if s.ParentSnapshotID == nil {
			return before == nil
		}
		if s = t.meta.SnapshotByID(*s.ParentSnapshotID); s == nil {
			return false
		}
	}
}

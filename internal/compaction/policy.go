package compaction

import (
	"fmt"
	"slices"

	"tarn/internal/lake"
)

// Policy says when a fold is due by itself.
type Policy struct {
	Deltas int     // pending deltas that make it due
	Bytes  int64   // pending bytes that make it due
	Ratio  float64 // pending bytes over bytes to rewrite that makes it due
	Large  int64   // bytes of one delta that make it due, as the tail does not hold it
}

// Due weighs a plan: bytes pending against bytes to rewrite, and both bounds.
// The reason is for logs and dry runs.
func (p Policy) Due(plan Plan) (bool, string) {
	switch {
	case len(plan.Deltas) >= emptyDeltas:
		return true, fmt.Sprintf("%d deltas are pending, with and without changes", len(plan.Deltas))
	case plan.DeltasWithChanges == 0 && len(plan.Rewrite) > 0:
		return true, fmt.Sprintf("%d files are worn: many of their rows are dead", len(plan.Rewrite))
	case plan.DeltasWithChanges == 0:
		return false, "nothing is pending"
	case plan.DeltasWithChanges >= p.Deltas:
		return true, fmt.Sprintf("%d pending deltas reach compact_deltas (%d)", plan.DeltasWithChanges, p.Deltas)
	case plan.PendingBytes >= p.Bytes:
		return true, fmt.Sprintf("%d pending bytes reach compact_bytes (%d)", plan.PendingBytes, p.Bytes)
	case slices.ContainsFunc(plan.Deltas, func(d lake.Delta) bool { return d.Bytes > p.Large }):
		return true, fmt.Sprintf("a delta is larger than large_delta_bytes (%d)", p.Large)
	case plan.DeltasWithChanges >= minDeltas && float64(plan.PendingBytes) >= p.Ratio*float64(plan.workBytes()):
		return true, fmt.Sprintf("%d pending bytes are at least compact_ratio (%g) of the %d to rewrite", plan.PendingBytes, p.Ratio, plan.workBytes())
	default:
		return false, fmt.Sprintf("%d pending deltas with %d bytes do not yet pay for rewriting %d", plan.DeltasWithChanges, plan.PendingBytes, plan.workBytes())
	}
}

// workBytes is what the fold costs in bytes to rewrite: of files whose rows are
// marked the keys are read, and delete files are left to every reader.
func (p Plan) workBytes() int64 { return p.RewriteBytes + p.MarkBytes/4 }

// minDeltas keeps the ratio from folding each delta of a small dataset alone.
const minDeltas = 64

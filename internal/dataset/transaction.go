package dataset

import (
	"slices"

	"tarn/internal/lake"
)

// Fate is what became of a transaction.
type Fate int

// Fates. Undecided is one of which a delta is not there, and may still come.
const (
	Undecided Fate = iota
	Committed
	Aborted
)

// Judge says what became of transactions (docs/design/transactions.md).
type Judge struct {
	// Log gives a table's trimmed-through, and its newest sequence; ok is false for a
	// table that is gone.
	Log func(tableUUID string) (trimmed, newest int64, ok bool)
	// Delta gives the transaction of a delta that is kept, nil where it has none.
	Delta func(tableUUID string, sequence int64) *lake.Transaction
	// Known are the committed ones of which a delta is not kept.
	Known []string
}

// Fate says what became of a transaction; missing are its deltas that are not there yet.
func (j Judge) Fate(t *lake.Transaction) (fate Fate, missing []lake.TransactionDelta) {
	for _, d := range t.Deltas {
		trimmed, newest, ok := j.Log(d.TableUUID)
		switch {
		case !ok || d.Sequence <= trimmed:
			if slices.Contains(j.Known, t.UUID) {
				return Committed, nil
			}
			return Aborted, nil
		case d.Sequence > newest:
			missing = append(missing, d)
		default:
			if there := j.Delta(d.TableUUID, d.Sequence); there == nil || there.UUID != t.UUID {
				return Aborted, nil
			}
		}
	}
	if len(missing) > 0 {
		return Undecided, missing
	}
	return Committed, nil
}

// FindDelta gives a delta among those in order of sequence, nil where it is not there.
func FindDelta(deltas []lake.Delta, sequence int64) *lake.Delta {
	i, ok := slices.BinarySearchFunc(deltas, sequence, func(d lake.Delta, s int64) int { return int(d.Sequence - s) })
	if !ok {
		return nil
	}
	return &deltas[i]
}

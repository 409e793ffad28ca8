package dataset

import (
	"fmt"
	"testing"

	"tarn/internal/lake"
)

// TestFate: a transaction over three tables, of which any delta is there, is another's, is
// still to come, or is trimmed or of a table that is gone; known to the catalog or not.
func TestFate(t *testing.T) {
	const (
		there = iota
		others
		absent
		trimmed
		gone
		kinds
	)
	tables := []string{"a", "b", "c"}
	tx := &lake.Transaction{UUID: "tx"}
	for i, id := range tables {
		tx.Deltas = append(tx.Deltas, lake.TransactionDelta{TableUUID: id, Sequence: int64(5 + i)})
	}
	seen := map[Fate]int{}
	for n := range kinds * kinds * kinds * 2 {
		is := map[string]int{"a": n / 2 % kinds, "b": n / 2 / kinds % kinds, "c": n / 2 / kinds / kinds}
		count := map[int]int{}
		for _, k := range is {
			count[k]++
		}
		j := Judge{
			Log: func(id string) (trimmedThrough, newest int64, ok bool) {
				at := map[string]int64{"a": 5, "b": 6, "c": 7}[id]
				switch is[id] {
				case absent:
					return 1, at - 1, true
				case trimmed:
					return at, at + 3, true
				case gone:
					return 0, 0, false
				}
				return 1, at + 1, true
			},
			Delta: func(id string, _ int64) *lake.Transaction {
				switch is[id] {
				case there:
					return tx
				case others:
					if id == "b" {
						return &lake.Transaction{UUID: "another"}
					}
					return nil
				}
				t.Fatalf("it asks for a delta of %s, which is not kept", id)
				return nil
			},
		}
		known := n%2 == 1
		if known {
			j.Known = []string{"tx"}
		}
		if known && (count[others] > 0 || count[absent] > 0) {
			continue // only a committed one is listed
		}
		want := Committed
		switch {
		case count[others] > 0, !known && count[trimmed]+count[gone] > 0:
			want = Aborted
		case count[absent] > 0:
			want = Undecided
		}
		fate, missing := j.Fate(tx)
		seen[fate]++
		// Where one is gone and another absent, either is found first; both are no commit.
		if fate != want {
			t.Errorf("%v, known %v: fate %d, want %d", is, known, fate, want)
		}
		if fate == Undecided && len(missing) != count[absent] {
			t.Errorf("%v: missing are %v", is, missing)
		}
	}
	if len(seen) != 3 {
		t.Fatal(fmt.Sprint(seen))
	}
}

// TestAvoid: what was aborted has no rows and no requests any more, and its sequence.
func TestAvoid(t *testing.T) {
	tx := &lake.Transaction{UUID: "tx"}
	s := &State{UUID: "u", FoldedThrough: 0}
	d := New(s, nil, []lake.Delta{
		{First: 1, Sequence: 1, Rows: 2, Bytes: 10, Requests: []lake.Request{{Place: 1, Rows: 2, Key: "one"}}},
		{First: 2, Sequence: 2, Rows: 3, Bytes: 20, Requests: []lake.Request{{Place: 1, Rows: 3, Key: "two"}}, Transaction: tx},
		{First: 3, Sequence: 3, Rows: 4, Bytes: 30, Requests: []lake.Request{{Place: 1, Rows: 4, Key: "three"}}},
	})
	d.Avoid(map[int64]bool{2: true})
	now := d.State()
	if deltas, rows, bytes := now.PendingSize(); deltas != 2 || rows != 6 || bytes != 40 || now.Sequence != 3 || len(now.Deltas) != 3 {
		t.Errorf("%d deltas with %d rows and %d bytes are pending, to %d of %d", deltas, rows, bytes, now.Sequence, len(now.Deltas))
	}
	for key, want := range map[string]bool{"one": true, "two": false, "three": true} {
		if _, ok := d.Find(key); ok != want {
			t.Errorf("the key %s is known: %v", key, ok)
		}
	}
	if v := now.Deltas[1]; !v.Void || v.Transaction != tx || !v.Empty() {
		t.Errorf("it is %+v", v)
	}
	if len(s.Deltas) > 0 && s.Deltas[1].Void {
		t.Error("a state that was given out changed")
	}
}

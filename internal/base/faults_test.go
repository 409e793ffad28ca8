package base_test

import (
	"context"
	"errors"
	"testing"

	"tarn/internal/base"
	"tarn/internal/lake"
	"tarn/internal/store/storetest"
)

// TestCommitWithFaults: I8, whatever one call of the store answers during a
// commit, either the commit is current or nothing changed, and the same commit
// goes in afterwards.
func TestCommitWithFaults(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.Refused, storetest.LostRequest, storetest.LostAnswer, storetest.LateRequest} {
		for at := 1; ; at++ {
			l := newLab(t)
			table := l.create(keyed(t))
			l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 1, 10)}})
			calls, hit := 0, ""
			faulty := storetest.NewFaulty(l.store, func(c storetest.Call) storetest.Fault {
				if calls++; calls == at {
					hit = c.Op
					return fault
				}
				return storetest.NoFault
			})
			lone := *l
			lone.fs = base.NewFS(faulty, nil)
			err := func() error {
				t2, err := base.Load(t.Context(), lone.fs, l.current)
				if err != nil {
					return err
				}
				files, err := t2.Files(t.Context())
				if err != nil {
					return err
				}
				add, err := t2.TakeIn(t.Context(), intsFile(t, t2, 1, 12), 0)
				if err != nil {
					return err
				}
				_, err = t2.Commit(t.Context(), base.Change{Kind: base.KindFold, FoldedThrough: 1, Remove: files, Add: []base.NewFile{add}}, l.makeCurrent)
				return err
			}()
			now := l.reload()
			rows := l.files(now)[0].Rows
			switch {
			case err == nil && (rows != 12 || now.FoldedThrough() != 1):
				t.Fatalf("fault %d at call %d: acknowledged, and %d rows are there", fault, at, rows)
			case err != nil && rows != 10:
				t.Fatalf("fault %d at call %d: %v, and %d rows are there", fault, at, err, rows)
			case err != nil && lake.CodeOf(err) != lake.CodeUnavailable:
				t.Fatalf("fault %d at call %d: %v", fault, at, err)
			case err != nil && fault != storetest.Refused && hit == storetest.OpCreate:
				t.Fatalf("fault %d at call %d: one lost answer is settled by itself: %v", fault, at, err)
			}
			if err := readAll(t.Context(), l, l.current); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				l.commit(now, base.Change{Kind: base.KindFold, FoldedThrough: 1, Remove: l.files(now), Add: []base.NewFile{l.ints(now, 0, 1, 12)}})
			}
			if hit == "" {
				if at < 8 {
					t.Errorf("only %d calls", at)
				}
				break
			}
		}
	}
}

// TestUnknownOutcomeOfMakeCurrent: what the catalog does not know, Commit says.
func TestUnknownOutcomeOfMakeCurrent(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	unknown := lake.Errorf(lake.CodeUnknownOutcome, "lost")
	_, err := table.Commit(t.Context(), base.Change{FoldedThrough: 1}, func(_ context.Context, key string) error {
		l.current = key
		return unknown
	})
	if !errors.Is(err, lake.ErrUnknownOutcome) || err != error(unknown) {
		t.Fatalf("%v", err)
	}
	if now := l.reload(); now.FoldedThrough() != 1 { // it was written before it was to be current
		t.Errorf("folded through %d", now.FoldedThrough())
	}
}

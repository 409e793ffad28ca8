package serving

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"tarn/internal/lake"
)

// The books say of an image what its DROP gives back, also where a cold dataset was
// written while it was loaded.
func TestTheBooksAreRightBesideWrites(t *testing.T) {
	for _, writes := range []bool{false, true} {
		l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
		s := simple(t)
		l.many("big", 600_000, 64)
		l.publish("small", "small")
		loaded := make(chan error, 1)
		go func() {
			_, err := l.s.LoadImage(l.context(), "big", 0)
			loaded <- err
		}()
		seq := int64(0)
		for done := false; !done; {
			select {
			case err := <-loaded:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			case <-time.After(5 * time.Millisecond):
				if writes {
					seq++
					l.tell(applyEntry("small", l.delta("small", s, seq, []change{{row: row(int(seq), "x")}})))
					l.ask("SELECT count(*) FROM small")
				}
			}
		}
		before := l.settled()
		booked := int64(0)
		for _, m := range l.s.Images().Images {
			booked += m.Bytes - m.FilterBytes
		}
		if _, err := l.s.DropImage(l.context(), "big", l.number); err != nil {
			t.Fatal(err)
		}
		gave := before - l.settled()
		if off := float64(booked) / float64(gave); off < 0.9 || off > 1.1 {
			t.Errorf("with writes %v (%d): %d bytes by the books, and DROP gave back %d", writes, seq, booked, gave)
		}
	}
}

// An old reader keeps a slice from being compressed: it is not taken where it would
// exceed the budget as it is. Nor are pending changes that a load brings.
func TestTheBudgetHoldsBesideAnOldReader(t *testing.T) {
	const budget = 6 << 20
	l := newTestLake(t, Options{ImageBudgetBytes: budget}).begin()
	s := simple(t)
	l.many("read", 200_000, 64)
	l.many("big", 240_000, 1)
	l.publish("small", "small")
	l.publish("pending", "pending")
	var changes []change
	for i := range 60_000 {
		changes = append(changes, change{row: row(i, fmt.Sprint("v", i%10))})
	}
	l.tell(applyEntry("pending", l.delta("pending", s, 1, changes)))
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
			if m := l.s.Images(); m.UsedBytes > m.BudgetBytes {
				t.Errorf("%d of %d bytes are used", m.UsedBytes, m.BudgetBytes)
				return
			}
		}
	})
	a, err := l.s.Query(l.context(), Request{SQL: "SELECT id FROM read", See: l.number})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := a.Next(l.context())
	if err != nil {
		t.Fatal(err)
	}
	rec.Release()
	for seq := range int64(5) { // what the reader does not see
		l.tell(applyEntry("small", l.delta("small", s, seq+1, []change{{row: row(int(seq), "x")}})))
	}
	for _, uuid := range []string{"big", "pending"} {
		if _, err := l.s.LoadImage(l.context(), uuid, l.number); err != nil && lake.CodeOf(err) != lake.CodeOutOfMemory && lake.CodeOf(err) != lake.CodeDeadline {
			t.Errorf("%s: %v", uuid, err)
		}
		if _, err := l.s.DropImage(l.context(), uuid, l.number); err != nil {
			t.Error(err)
		}
	}
	a.Close()
	l.load("big") // as soon as nobody is in the way
	close(stop)
	watch.Wait()
}

package serving

import (
	"testing"
	"time"

	"tarn/internal/lake"
)

// Who waits for what the publisher has taken already does not have what came since applied
// at once: that would be an apply more for each query, beside it.
func TestWhatIsTakenHastensNothing(t *testing.T) {
	e := newEar()
	none := make(chan struct{})
	hear := func(number int64) {
		t.Helper()
		if err := e.hear([]lake.Entry{{Number: number, Apply: &lake.Apply{TableUUID: "a"}}}); err != nil {
			t.Fatal(err)
		}
	}
	take := func(want int64) {
		t.Helper()
		if _, end, ok := e.take(entriesAtOnce, func([]lake.Entry) {}, none, none); !ok || end != want {
			t.Fatalf("took up to %d, %t; not %d", end, ok, want)
		}
	}
	ripe := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		now, _ := e.ripe(entriesAtOnce)
		return now
	}
	if err := e.replay(nil, 0); err != nil {
		t.Fatal(err)
	}
	take(0)
	e.advance(0)

	hear(1)
	if ripe() {
		t.Error("nobody waits, and it is not gathered")
	}
	waited := make(chan error, 2)
	wait := func(number int64) {
		go func() { waited <- e.waitApplied(t.Context(), number) }()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			e.mu.Lock()
			wanted := e.mu.wanted
			e.mu.Unlock()
			if wanted == number {
				return
			}
		}
		t.Fatal("the wait is not known")
	}
	wait(1)
	if !ripe() {
		t.Error("somebody waits for it, and it is gathered")
	}
	take(1)
	hear(2)
	if ripe() {
		t.Error("who waits for 1 has 2 applied at once")
	}
	wait(2)
	if !ripe() {
		t.Error("somebody waits for 2, and it is gathered")
	}
	e.advance(1)
	take(2)
	e.advance(2)
	for range 2 {
		if err := <-waited; err != nil {
			t.Error(err)
		}
	}
}

// A query that begins anew, as something was committed meanwhile, does not wait for what
// came after it was asked.
func TestWhatAReadingWaitsFor(t *testing.T) {
	for _, c := range []struct {
		what        string
		d           heardDataset
		heard, want int64
	}{
		{"its last entry", heardDataset{last: 3, named: 1}, 5, 3},
		{"what was heard, as more came since", heardDataset{last: 9, named: 1}, 5, 5},
		{"its name, which it has since then", heardDataset{last: 9, named: 8}, 5, 8},
	} {
		if got := c.d.awaited(c.heard); got != c.want {
			t.Errorf("%s: it waits for %d, not %d", c.what, got, c.want)
		}
	}
}

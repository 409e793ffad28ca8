package serving

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tarn/internal/lake"
)

// Who waits for what the publisher has taken already does not have what came since applied
// at once: that would be an apply more for each query, beside it.
func TestWhatIsTakenHastensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEar()
		if err := e.replay(nil, 0); err != nil {
			t.Fatal(err)
		}
		var shown []int64
		took := make(chan int64)
		apply := make(chan struct{})
		go func() {
			defer close(took)
			show := func(entries []lake.Entry) {
				for _, entry := range entries {
					shown = append(shown, entry.Number)
				}
			}
			for {
				_, end, ok := e.take(entriesAtOnce, show, nil, nil)
				if !ok {
					return
				}
				took <- end
				<-apply
				e.advance(end)
			}
		}()
		next := func() int64 {
			synctest.Wait()
			select {
			case end := <-took:
				return end
			default:
				return -1
			}
		}
		is := func(what string, got, want int64) {
			t.Helper()
			if got != want {
				t.Fatalf("%s: took %d, not %d", what, got, want)
			}
		}
		hear := func(number int64) {
			if err := e.hear([]lake.Entry{{Number: number, Apply: &lake.Apply{TableUUID: "a"}}}); err != nil {
				t.Error(err)
			}
		}
		waited := make(chan error, 2)
		wait := func(number int64) { go func() { waited <- e.waitApplied(t.Context(), number) }() }

		is("the replay", next(), 0)
		apply <- struct{}{}
		hear(1)
		is("nobody waits", next(), -1)
		wait(1)
		is("somebody waits", next(), 1)
		hear(2)
		hear(3)
		apply <- struct{}{}
		is("who waited for 1 has it", next(), -1)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		wait(2)
		is("somebody waits for 2", next(), 3)
		apply <- struct{}{}
		if err := <-waited; err != nil {
			t.Error(err)
		}
		hear(4)
		is("nobody waits for 4", next(), -1)
		time.Sleep(gatherTime)
		is("it was gathered for long enough", next(), 4)
		apply <- struct{}{}
		synctest.Wait()
		if !slices.Equal(shown, []int64{1, 2, 3, 4}) {
			t.Errorf("shown while it was gathered: %v", shown)
		}
		e.close()
		is("closed", next(), 0)
	})
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

// A query that begins anew does not have applied what came after it was asked.
func TestAReadingAnewHastensNothing(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	l.publish("a", "a", row(1, "one"))
	ctx := l.context()
	if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
		t.Fatal(err)
	}
	sess, err := l.s.pool.get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer l.s.pool.put(sess, true)
	heard := l.number
	l.tell(applyEntry("a", l.delta("a", simple(t), 1, []change{{row: row(2, "two")}})))
	for _, p := range []plan{{datasets: []lake.Name{name("a")}}, {whole: true}} {
		r, _, err := l.s.enter(ctx, sess, p, heard)
		if err != nil {
			t.Fatal(err)
		}
		r.end(ctx)
	}
	l.s.ear.mu.Lock()
	defer l.s.ear.mu.Unlock()
	if wanted := l.s.ear.mu.wanted; wanted > heard {
		t.Errorf("it waited for %d, and %d was heard when it was asked", wanted, heard)
	}
}

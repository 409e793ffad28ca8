package serving

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tarn/internal/lake"
)

// lanesTest runs queries that last and fail as told, in a bubble of its own time.
type lanesTest struct {
	t  *testing.T
	s  *Serving
	mu sync.Mutex
	// log is what happened: "name" begins a run, "name." ends one well, "name!" is an
	// error that goes to the caller.
	log []string
}

func inLanes(t *testing.T, concurrency int, f func(l *lanesTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lanesTest{t: t, s: &Serving{lanes: newLanes(concurrency), memoryBytes: 1 << 30}}
		f(l)
		synctest.Wait()
		m := &l.s.lanes.mu
		if len(m.running) != 0 || len(m.waiting) != 0 || len(m.callers) != 0 || m.turns != [2]*attempt{} {
			t.Errorf("left: %+v", m)
		}
	})
}

// some is a query: how long each of its runs lasts, and how each ends.
type some struct {
	name   string
	caller uint64
	within time.Duration // its deadline; 0: none
	runs   []run
}

type run struct {
	lasts time.Duration
	err   error
	sent  bool // something has left by the end
}

var (
	errMemory = lake.Errorf(lake.CodeOutOfMemory, "Out of Memory Error: failed to allocate data of size 2.0 KiB (380.0 MiB/380.0 MiB used)")
	errOther  = lake.Errorf(lake.CodeSQLInvalid, "its own fault")
)

// start starts a query and gives how to wait for its error.
func (l *lanesTest) start(q some) func() error {
	ctx, cancel := context.WithCancel(l.t.Context())
	if q.within > 0 {
		ctx, cancel = context.WithTimeout(ctx, q.within)
	}
	over := make(chan error, 1)
	n, sent := 0, false
	go func() {
		defer cancel()
		err := l.s.Retry(ctx, q.caller, func() bool { return sent }, func(ctx context.Context) error {
			if n == len(q.runs) {
				return errors.New("it ran once too often")
			}
			r := q.runs[n]
			n++
			takesMemory(ctx)
			l.note(q.name)
			select {
			case <-time.After(r.lasts):
				if sent = r.sent; r.err == nil {
					l.note(q.name + ".")
				}
				return r.err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			l.note(q.name + "!")
		}
		over <- err
	}()
	synctest.Wait()
	return func() error { return <-over }
}

func (l *lanesTest) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, what)
}

func (l *lanesTest) want(log ...string) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.log, log) {
		l.t.Fatalf("%q, not %q", l.log, log)
	}
}

func failing(lasts time.Duration) run { return run{lasts: lasts, err: errMemory} }
func well(lasts time.Duration) run    { return run{lasts: lasts} }

func TestAQueryRunsAgainAfterThoseBesideIt(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		hog := l.start(some{name: "hog", runs: []run{well(300 * time.Millisecond)}})
		small := l.start(some{name: "small", runs: []run{failing(5 * time.Millisecond), well(time.Millisecond)}})
		later := l.start(some{name: "later", runs: []run{well(time.Hour)}}) // beside it at its failure too
		time.Sleep(299 * time.Millisecond)
		l.want("hog", "small", "later")
		for _, end := range []func() error{hog, small} {
			if err := end(); err != nil {
				t.Fatal(err)
			}
		}
		// Not before the hog, and for the one that goes on no longer than patience.
		l.want("hog", "small", "later", "hog.", "small", "small.")
		if err := later(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhoFailsAloneFailsAtOnce(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		if err := l.start(some{name: "hog", runs: []run{failing(time.Second)}})(); err != errMemory {
			t.Fatal(err)
		}
		if err := l.start(some{name: "other", runs: []run{{err: errOther}}})(); err != errOther {
			t.Fatal(err)
		}
		l.want("hog", "hog!", "other", "other!")
	})
}

// What is beside is also who just failed: the memory that it had was missing.
func TestTwoThatFailTogetherRunOneAfterTheOther(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		var ends []func() error
		for i := range 2 { // at the same instant
			ends = append(ends, l.start(some{name: fmt.Sprint("hog", i), runs: []run{failing(time.Second), well(time.Minute)}}))
		}
		time.Sleep(time.Second + 30*time.Second)
		running := l.happened()
		if len(running) != 3 {
			t.Fatalf("%q", running)
		}
		for _, end := range ends {
			if err := end(); err != nil {
				t.Fatal(err)
			}
		}
		first, second := running[2], "hog0"
		if first == "hog0" {
			second = "hog1"
		}
		l.want("hog0", "hog1", first, first+".", second, second+".")
	})
}

// happened is the log so far.
func (l *lanesTest) happened() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.log)
}

func TestASecondFailureIsTheAnswer(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		other := l.start(some{name: "other", runs: []run{well(time.Second)}})
		last := lake.Errorf(lake.CodeOutOfMemory, "the second")
		hog := l.start(some{name: "hog", runs: []run{failing(500 * time.Millisecond), {lasts: time.Second, err: last}}})
		if err := hog(); err != last {
			t.Fatal(err)
		}
		_ = other()
		// One that costs little has more turns, but not any number.
		other = l.start(some{name: "other", runs: []run{well(time.Hour)}})
		tries := make([]run, mostTurns[shortLane])
		for i := range tries {
			tries[i] = failing(time.Millisecond)
		}
		if err := l.start(some{name: "small", runs: append(tries, well(0))})(); err != nil {
			t.Fatal(err)
		}
		if err := l.start(some{name: "bomb", runs: append(tries, failing(0))})(); err != errMemory {
			t.Fatal(err)
		}
		_ = other()
	})
}

// Never: what has left cannot be taken back, what is larger than all memory has room at
// no time.
func TestWhatIsNotRunAgain(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		other := l.start(some{name: "other", runs: []run{well(time.Hour)}})
		huge := lake.Errorf(lake.CodeOutOfMemory, "Out of Memory Error: failed to allocate data of size 2.0 GiB (298.0 MiB/380.0 MiB used)")
		for _, r := range []run{{err: errMemory, sent: true}, {err: huge}} {
			if err := l.start(some{name: "hog", runs: []run{r}})(); err != r.err {
				t.Fatal(err)
			}
		}
		_ = other()
	})
}

// A deadline or a cancellation that comes while it waits: the error is that of the run,
// and says why it waited.
func TestTimeIsUpWhileItWaits(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		hog := l.start(some{name: "hog", runs: []run{failing(time.Second), well(time.Minute)}})
		other := l.start(some{name: "other", within: 10 * time.Second, runs: []run{failing(2 * time.Second)}})
		if err := other(); err != errMemory {
			t.Fatal(err)
		}
		if err := hog(); err != nil {
			t.Fatal(err)
		}
		// While it runs again it is the time that is up.
		a := l.start(some{name: "a", runs: []run{well(time.Second)}})
		b := l.start(some{name: "b", within: 10 * time.Second, runs: []run{failing(0), well(time.Hour)}})
		_ = a()
		if err := b(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

// Of many hogs that fail, so many wait; a small query waits for none of them but those
// beside it, and for these no longer than patience.
func TestASmallQueryDoesNotWaitBehindHogs(t *testing.T) {
	inLanes(t, 16, func(l *lanesTest) {
		var hogs []func() error
		for i := range 6 {
			hogs = append(hogs, l.start(some{name: fmt.Sprint("hog", i), caller: 1, runs: []run{failing(time.Second), well(time.Hour)}}))
		}
		time.Sleep(time.Second + time.Minute) // one runs again, four wait, one was put out
		began := time.Now()
		small := l.start(some{name: "small", caller: 2, runs: []run{failing(time.Millisecond), well(time.Millisecond)}})
		if err := small(); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > patience[shortLane]+2*time.Millisecond {
			t.Fatal(waited)
		}
		bad := 0
		for _, hog := range hogs {
			if err := hog(); err == errMemory {
				bad++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if bad != 2 { // the other made room for the small one
			t.Fatalf("%d hogs of 6 were put out", bad)
		}
	})
}

// In a lane goes first whose caller has least of the worker, then who failed soonest. A
// turn in the short lane ends though the run goes on.
func TestWhoseTurnItIs(t *testing.T) {
	inLanes(t, 32, func(l *lanesTest) {
		var ends []func() error
		begin := func(name string, caller uint64, failsAfter, again time.Duration) {
			ends = append(ends, l.start(some{name: name, caller: caller, runs: []run{failing(failsAfter), well(again + time.Millisecond)}}))
		}
		// All fail within the short time; nobody's turn comes before the last has failed.
		begin("bomb1", 1, 50*time.Millisecond, time.Hour)
		begin("bomb2", 1, 20*time.Millisecond, 0)
		begin("bomb3", 1, 10*time.Millisecond, 0)
		begin("small1", 2, 40*time.Millisecond, 0)
		begin("small2", 3, 60*time.Millisecond, 0)
		time.Sleep(65 * time.Millisecond)
		l.want("bomb1", "bomb2", "bomb3", "small1", "small2",
			"small1", "small1.", "small2", "small2.", "bomb3", "bomb3.", "bomb2", "bomb2.", "bomb1")
		begin("bomb4", 1, 0, 0) // waits for bomb1, which is beside it, for a while
		time.Sleep(patience[shortLane] - 10*time.Millisecond)
		before := l.happened()
		if before[len(before)-1] != "bomb4" {
			t.Fatalf("%q", before)
		}
		time.Sleep(shortTurn) // and for its turn
		l.want(append(before, "bomb4", "bomb4.")...)
		for _, end := range ends {
			if err := end(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestHowMuchAnErrorSaysWasAskedFor(t *testing.T) {
	for words, want := range map[string]int64{
		"failed to allocate data of size 2.0 GiB (298.0 MiB/380.0 MiB used)":  2 << 30,
		"could not allocate block of size 256.0 KiB (2.3 GiB/380.0 MiB used)": 256 << 10,
		"failed to pin block of size 512 bytes (2.3 GiB/380.0 MiB used)":      512,
		"Failed to allocate block of 8589934592 bytes (bad allocation)":       8 << 30,
		"Allocation failure": 0,
	} {
		if got := asked(lake.Errorf(lake.CodeOutOfMemory, "Out of Memory Error: %s", words)); got != want {
			t.Errorf("%s: %d, not %d", words, got, want)
		}
	}
}

package serving

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// lanes give a query that ran out of memory beside others its second run
// (docs/design/memory.md).
//
// DuckDB's memory is one pool for all queries of the worker, and whoever asks for some
// while another has it fails, however little it asks for. So who failed beside others
// waits, holding nothing, until those have ended or its patience has, and runs again:
// one at a time in the lane of queries that failed early, one at a time in the lane of
// those that ran for long. These run again once; the others, which cost little, some
// times more, as new queries come while they wait. Who failed alone needs more than
// there is.
//
// An attempt is *running* from where it may take memory until it ends or fails; one
// that waits is not running, so that no two wait for each other.
type lanes struct {
	// most is how many attempts wait at once: each has one of the places of the queries
	// that run.
	most int

	mu struct {
		sync.Mutex
		running map[*attempt]struct{}
		waiting []*attempt // in the order of their failures
		turns   [2]*attempt
		callers map[uint64]int // attempts that there are of a caller
	}
}

type lane int

const (
	shortLane lane = iota
	longLane
)

const (
	// shortRun is how soon a query fails that goes to the short lane.
	shortRun = 250 * time.Millisecond
	// shortTurn is how long the next in the short lane waits for one that turns out to
	// be long.
	shortTurn = time.Second
)

// mostTurns is how often a query of a lane may run again.
var mostTurns = [2]int{4, 1}

// patience is how long those of a lane wait for queries that were beside them, at most
// half of the time that they have.
var patience = [2]time.Duration{500 * time.Millisecond, 10 * time.Second}

// attempt is one query, from before its first run until after its last. All but lanes
// and caller is guarded by lanes.mu.
type attempt struct {
	lanes  *lanes
	caller uint64
	turns  int // that it had

	began   time.Time     // of the present run
	ran     time.Duration // of the run that failed
	pressed bool          // another ran out of memory during the present run

	// While it waits:
	lane   lane
	beside map[*attempt]struct{} // those that ran when it failed, and still do
	turn   chan struct{}         // closed when it waits no longer
	out    bool                  // as others have the better claim
}

func newLanes(concurrency int) *lanes {
	l := &lanes{most: max(1, concurrency/4)}
	l.mu.running, l.mu.callers = map[*attempt]struct{}{}, map[uint64]int{}
	return l
}

// enter notes a query, which leave ends.
func (l *lanes) enter(caller uint64) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.callers[caller]++
	return &attempt{lanes: l, caller: caller}
}

func (l *lanes) leave(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.callers[a.caller]--; l.mu.callers[a.caller] == 0 {
		delete(l.mu.callers, a.caller)
	}
	l.stop(a)
	l.pass(a)
}

// run notes that the attempt may take memory from now on. Where it is called again what
// came before does not count as time that the query took.
func (l *lanes) run(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.running[a] = struct{}{}
	a.began = time.Now()
}

// failed notes that the attempt ran out of memory, and says whether it may run again:
// as others may be why, which run or ran out of memory while it ran, and as it did not
// too often.
func (l *lanes) failed(a *attempt) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.ran, a.lane = time.Since(a.began), longLane
	if a.ran <= shortRun {
		a.lane = shortLane
	}
	a.beside = map[*attempt]struct{}{}
	for other := range l.mu.running {
		if other != a {
			a.beside[other] = struct{}{}
			other.pressed = true
		}
	}
	l.stop(a)
	l.pass(a)
	return a.turns < mostTurns[a.lane] && (a.pressed || len(a.beside) > 0)
}

// wait waits for the turn of an attempt that failed; pass or leave ends the turn. It
// gives false where the turn does not come: ctx has ended, or too many wait.
func (l *lanes) wait(ctx context.Context, a *attempt) bool {
	patience := l.line(a, ctx)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-a.turn:
			return !a.out
		case <-timer.C:
			l.mu.Lock()
			a.beside = nil
			l.advance()
			l.mu.Unlock()
		case <-ctx.Done():
			l.mu.Lock()
			defer l.mu.Unlock()
			l.mu.waiting = slices.DeleteFunc(l.mu.waiting, func(w *attempt) bool { return w == a })
			return false // leave gives a turn back that came meanwhile
		}
	}
}

// line puts the attempt among those that wait, and gives its patience.
func (l *lanes) line(a *attempt, ctx context.Context) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.turn = make(chan struct{})
	l.mu.waiting = append(l.mu.waiting, a)
	l.advance()
	if len(l.mu.waiting) > l.most {
		l.putOut()
	}
	if until, ok := ctx.Deadline(); ok {
		return min(patience[a.lane], time.Until(until)/2)
	}
	return patience[a.lane]
}

// advance gives each lane that is free to the one with the best claim among those that
// wait for nobody. mu is held.
func (l *lanes) advance() {
	for n := range l.mu.turns {
		if l.mu.turns[n] != nil {
			continue
		}
		var next *attempt
		for _, a := range l.mu.waiting {
			if a.lane == lane(n) && len(a.beside) == 0 && (next == nil || l.claims(a, next) < 0) {
				next = a
			}
		}
		if next == nil {
			continue
		}
		l.remove(next)
		l.mu.turns[n] = next
		l.mu.running[next] = struct{}{}
		next.pressed, next.began = false, time.Now()
		next.turns++
		if next.lane == shortLane {
			turns := next.turns
			time.AfterFunc(shortTurn, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				if next.turns == turns { // not a later one
					l.pass(next)
				}
			})
		}
	}
}

// claims orders attempts: whose caller has least of the worker, then who failed
// soonest after it began. Those that are equal stay in the order of their failures. mu
// is held.
func (l *lanes) claims(a, b *attempt) int {
	return cmp.Or(cmp.Compare(l.mu.callers[a.caller], l.mu.callers[b.caller]), cmp.Compare(a.ran, b.ran))
}

// putOut fails the one that waits with the least claim. mu is held.
func (l *lanes) putOut() {
	least := l.mu.waiting[0]
	for _, a := range l.mu.waiting {
		if l.claims(a, least) >= 0 {
			least = a
		}
	}
	least.out = true
	l.remove(least)
}

// remove ends an attempt's wait. mu is held.
func (l *lanes) remove(a *attempt) {
	l.mu.waiting = slices.DeleteFunc(l.mu.waiting, func(w *attempt) bool { return w == a })
	close(a.turn)
}

// stop notes that an attempt does not run any more. mu is held.
func (l *lanes) stop(a *attempt) {
	delete(l.mu.running, a)
	for _, w := range l.mu.waiting {
		delete(w.beside, a)
	}
	l.advance()
}

// pass ends the attempt's turn, if it has one. mu is held.
func (l *lanes) pass(a *attempt) {
	for n := range l.mu.turns {
		if l.mu.turns[n] == a {
			l.mu.turns[n] = nil
		}
	}
	l.advance()
}

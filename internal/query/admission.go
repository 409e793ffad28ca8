package query

import (
	"context"
	"slices"
	"sync"

	"tarn/internal/lake"
)

// admission lets so many queries run and so many wait, and shares both among their
// owners: a place that is free goes to the owner with the fewest running queries, and
// where the queue is full, the last that came of the owner with the most waiting ones
// makes room for somebody who has fewer. So nobody's flood keeps others out; alone an
// owner has all places. Where nobody is asked who he is there is one owner, and the
// first that came is the first.
type admission struct {
	concurrency, queue int
	mu                 struct {
		sync.Mutex
		running map[string]int // by owner, none that is 0
		runs    int            // of all owners
		waiting []*waiter      // in the order of their coming
	}
}

// waiter is a query that waits. Its place comes once, or an error.
type waiter struct {
	owner string
	place chan error // of one element
}

func newAdmission(concurrency, queue int) *admission {
	a := &admission{concurrency: concurrency, queue: queue}
	a.mu.running = map[string]int{}
	return a
}

// enter waits for a place and gives the function that leaves it, once.
func (a *admission) enter(ctx context.Context, owner string) (leave func(), err error) {
	leave = func() { a.leave(owner) }
	w, err := a.take(owner)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return leave, nil
	}
	select {
	case err = <-w.place:
	case <-ctx.Done():
		if a.giveUp(w) {
			return nil, lake.Step("wait for other queries", ctx.Err())
		}
		err = <-w.place // it was called or refused just now
	}
	if err != nil {
		return nil, err
	}
	return leave, nil
}

// take takes a place that is free, or one in the queue, or none.
func (a *admission) take(owner string) (*waiter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.runs < a.concurrency { // then nobody waits
		a.run(owner)
		return nil, nil
	}
	if len(a.mu.waiting) >= a.queue && !a.makeRoom(owner) {
		return nil, a.full()
	}
	w := &waiter{owner: owner, place: make(chan error, 1)}
	a.mu.waiting = append(a.mu.waiting, w)
	return w, nil
}

func (a *admission) full() error {
	return lake.Errorf(lake.CodeOverloaded, "%d queries run and %d wait", a.concurrency, a.queue).
		WithHint("try again in a moment, or raise query_concurrency or query_queue")
}

// makeRoom refuses the last of the owner with the most in the queue, if the one who
// comes has fewer also when he has come. mu is held.
func (a *admission) makeRoom(owner string) bool {
	waiting := map[string]int{}
	for _, w := range a.mu.waiting {
		waiting[w.owner]++
	}
	last := -1
	for i, w := range a.mu.waiting {
		if last < 0 || waiting[w.owner] >= waiting[a.mu.waiting[last].owner] {
			last = i
		}
	}
	if last < 0 || waiting[a.mu.waiting[last].owner] <= waiting[owner]+1 {
		return false
	}
	a.mu.waiting[last].place <- a.full()
	a.mu.waiting = slices.Delete(a.mu.waiting, last, last+1)
	return true
}

// giveUp takes a query out of the queue; false where it is not there any more.
func (a *admission) giveUp(w *waiter) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.mu.waiting, w)
	if i < 0 {
		return false
	}
	a.mu.waiting = slices.Delete(a.mu.waiting, i, i+1)
	return true
}

// run counts a query that runs. mu is held.
func (a *admission) run(owner string) {
	a.mu.running[owner]++
	a.mu.runs++
}

func (a *admission) leave(owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.runs--
	if a.mu.running[owner]--; a.mu.running[owner] == 0 {
		delete(a.mu.running, owner)
	}
	next := -1
	for i, w := range a.mu.waiting {
		if next < 0 || a.mu.running[w.owner] < a.mu.running[a.mu.waiting[next].owner] {
			next = i
		}
	}
	if next >= 0 {
		w := a.mu.waiting[next]
		a.mu.waiting = slices.Delete(a.mu.waiting, next, next+1)
		a.run(w.owner)
		w.place <- nil
	}
}

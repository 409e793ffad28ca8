package serving

import (
	"math"
	"sync"
)

// readers are the running queries: by the stream's number that was applied when
// each began, which says which files they read, and by a ticket in the order of
// their beginning, which says which dropped images they may hold. A load pins
// files as a reader does.
type readers struct {
	sync.Mutex
	open    map[int64]int
	tickets map[int64]struct{}
	next    int64
}

// enter says that a query begins, and gives its ticket.
func (r *readers) enter(number int64) (ticket int64) {
	r.Lock()
	defer r.Unlock()
	r.open[number]++
	r.next++
	r.tickets[r.next] = struct{}{}
	return r.next
}

func (r *readers) leave(number, ticket int64) {
	r.unpin(number)
	r.Lock()
	defer r.Unlock()
	delete(r.tickets, ticket)
}

// pin keeps the files as of a number of the stream.
func (r *readers) pin(number int64) {
	r.Lock()
	defer r.Unlock()
	r.open[number]++
}

func (r *readers) unpin(number int64) {
	r.Lock()
	defer r.Unlock()
	if r.open[number]--; r.open[number] == 0 {
		delete(r.open, number)
	}
}

// oldest is the least of a number and those of the running queries.
func (r *readers) oldest(number int64) int64 {
	r.Lock()
	defer r.Unlock()
	for n := range r.open {
		number = min(number, n)
	}
	return number
}

// ticket is one that is higher than those of all that have begun.
func (r *readers) ticket() int64 {
	r.Lock()
	defer r.Unlock()
	return r.next + 1
}

// oldestTicket is the lowest among the running queries.
func (r *readers) oldestTicket() int64 {
	r.Lock()
	defer r.Unlock()
	oldest := int64(math.MaxInt64)
	for t := range r.tickets {
		oldest = min(oldest, t)
	}
	return oldest
}

package change

import (
	"sync"
	"time"
)

// Clock gives each delta of the lake its position and its time. Both only grow:
// the time is the clock's, or just after the lake's last where the clock went
// back. Neither decides an order within a dataset; sequences do.
type Clock struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		position int64
		last     time.Time
	}
}

// NewClock starts after the last delta that the lake holds.
func NewClock(now func() time.Time, position int64, last time.Time) *Clock {
	c := &Clock{now: now}
	c.mu.position, c.mu.last = position, last
	return c
}

// Observe moves the clock on to what a delta of another has.
func (c *Clock) Observe(position int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.position = max(c.mu.position, position)
	if at.After(c.mu.last) {
		c.mu.last = at
	}
}

// Next takes the next position and time.
func (c *Clock) Next() (position int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.position++
	at = c.now().UTC().Truncate(time.Microsecond)
	if !at.After(c.mu.last) {
		at = c.mu.last.Add(time.Microsecond)
	}
	c.mu.last = at
	return c.mu.position, at
}

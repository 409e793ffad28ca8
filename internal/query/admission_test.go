package query

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"tarn/internal/lake"
)

// crowd asks an admission for places and notes who gets one.
type crowd struct {
	*admission
	mu      sync.Mutex
	running []string
	leaves  map[string]func()
	refused []string
}

func newCrowd(concurrency, queue int) *crowd {
	return &crowd{admission: newAdmission(concurrency, queue), leaves: map[string]func(){}}
}

// come asks for a place under a name and waits until it is known where that stands.
func (c *crowd) come(ctx context.Context, owner, name string) {
	go func() {
		leave, err := c.enter(ctx, owner)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.refused = append(c.refused, name+" "+string(lake.CodeOf(err)))
			return
		}
		c.running = append(c.running, name)
		c.leaves[name] = leave
	}()
	synctest.Wait()
}

func (c *crowd) end(name string) {
	c.mu.Lock()
	leave := c.leaves[name]
	delete(c.leaves, name)
	c.mu.Unlock()
	leave()
	synctest.Wait()
}

func (c *crowd) want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: %q, not %q", what, got, want)
	}
}

// One owner's flood has the whole queue, until somebody else comes: he is not refused,
// and goes first, as he runs fewest.
func TestAFloodMakesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(2, 3)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 6 {
			c.come(ctx, "flood", fmt.Sprint("f", i))
		}
		c.want(t, "running", c.running, "f0", "f1")
		c.want(t, "refused", c.refused, "f5 overloaded")
		c.come(ctx, "small", "s0")
		c.want(t, "the last of the flood is refused", c.refused, "f5 overloaded", "f4 overloaded")
		c.come(ctx, "third", "t0")
		refused := []string{"f5 overloaded", "f4 overloaded", "f3 overloaded"}
		c.want(t, "and one more", c.refused, refused...)
		c.come(ctx, "fourth", "u0") // f2, s0 and t0 wait: nobody has more than it would have
		c.want(t, "no room", c.refused, append(refused, "u0 overloaded")...)
		c.come(ctx, "flood", "f6")
		c.want(t, "nor for the flood", c.refused, append(refused, "u0 overloaded", "f6 overloaded")...)
		c.end("f0")
		c.want(t, "whose owner runs fewest", c.running, "f0", "f1", "s0")
		c.end("s0")
		c.want(t, "and the next", c.running, "f0", "f1", "s0", "t0")
		c.end("t0")
		c.end("f1")
		c.want(t, "at last the flood", c.running, "f0", "f1", "s0", "t0", "f2")
		c.end("f2")
		for i := range 2 { // all is free again
			c.come(ctx, "other", fmt.Sprint("o", i))
		}
		c.come(ctx, "other", "waits")
		c.want(t, "running", c.running, "f0", "f1", "s0", "t0", "f2", "o0", "o1")
		cancel()
		synctest.Wait()
		c.end("o0") // nobody is called for it
		c.come(t.Context(), "last", "l0")
		c.want(t, "running", c.running, "f0", "f1", "s0", "t0", "f2", "o0", "o1", "l0")
		if len(c.admission.mu.running) != 2 || c.admission.mu.runs != 2 || len(c.admission.mu.waiting) != 0 {
			t.Fatalf("%+v", c.admission.mu.running)
		}
	})
}

// Places and refusals race with ends of contexts; none is lost.
func TestNoPlaceIsLost(t *testing.T) {
	a := newAdmission(3, 4)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if (n+i)%3 == 0 {
					go cancel()
				}
				if leave, err := a.enter(ctx, fmt.Sprint(i%5)); err == nil {
					leave()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if a.mu.runs != 0 || len(a.mu.running) != 0 || len(a.mu.waiting) != 0 {
		t.Fatalf("%d run, %d wait", a.mu.runs, len(a.mu.waiting))
	}
}

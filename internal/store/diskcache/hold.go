package diskcache

import (
	"context"
	"os"
	"sync"
	"time"

	"tarn/internal/lake"
)

// Need is a file that is to be here.
type Need struct {
	Key  string
	Size int64 // bytes, as whoever refers to the object has it
}

// Held is a file that is here, and stays until it is released (once or more).
type Held struct {
	Key     string
	Path    string
	Release func()
}

// Hold brings files here and holds all of them, or none after an error.
//
// lake.CodeOutOfDisk, naming the setting: they are larger than the budget, or what
// is held leaves no room for them. lake.CodeDamaged: an object is not what it
// should be. Others are those of the store.
func (c *Cache) Hold(ctx context.Context, needs []Need) ([]Held, error) {
	if err := c.fits(needs); err != nil {
		return nil, err
	}
	entries, err := c.bring(ctx, needs)
	for lake.CodeOf(err) == lake.CodeCancelled && ctx.Err() == nil && c.ctx.Err() == nil {
		entries, err = c.bring(ctx, needs) // those who had asked first went away, and ended the fill
	}
	if err != nil {
		return nil, err
	}
	out := make([]Held, len(entries))
	for i, e := range entries {
		out[i] = Held{e.key, e.path, sync.OnceFunc(func() { c.release(e) })}
	}
	return out, nil
}

// bring claims the entries of needs and waits until they are here.
func (c *Cache) bring(ctx context.Context, needs []Need) ([]*entry, error) {
	entries, err := c.claim(ctx, needs)
	for _, e := range entries {
		if err = c.await(ctx, e); err != nil {
			break
		}
	}
	if err == nil {
		return entries, nil
	}
	for _, e := range entries {
		c.release(e)
	}
	return nil, err
}

// fits refuses what can never be here at once.
func (c *Cache) fits(needs []Need) error {
	var sum int64
	for _, n := range needs {
		if n.Size > c.o.BudgetBytes {
			return lake.Errorf(lake.CodeOutOfDisk, "the file %s has %d bytes, and disk_cache_bytes is %d", n.Key, n.Size, c.o.BudgetBytes).
				WithHint("raise disk_cache_bytes above it")
		}
		sum += n.Size
	}
	if sum > c.o.BudgetBytes {
		return lake.Errorf(lake.CodeOutOfDisk, "%d files with %d bytes are needed at once, and disk_cache_bytes is %d", len(needs), sum, c.o.BudgetBytes).
			WithHint("raise disk_cache_bytes above it")
	}
	return nil
}

// claim holds the entries of needs, and begins to fill those that are missing once
// there is room for all of them.
func (c *Cache) claim(ctx context.Context, needs []Need) ([]*entry, error) {
	if entries, ok := c.claimPresent(needs); ok {
		return entries, nil
	}
	select {
	case c.room <- struct{}{}:
		defer func() { <-c.room }()
	case <-ctx.Done():
		return nil, lake.Step("wait for room in the disk cache", ctx.Err())
	}
	late := time.Now().Add(roomPatience)
	for {
		entries, short, freed := c.tryClaim(needs)
		if short == 0 {
			return entries, nil
		}
		if err := c.wait(ctx, short, freed, late); err != nil {
			return nil, err
		}
	}
}

// claimPresent holds the entries where none has to be made.
func (c *Cache) claimPresent(needs []Need) ([]*entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range needs {
		if c.find(n) == nil {
			return nil, false
		}
	}
	out := make([]*entry, len(needs))
	for i, n := range needs {
		out[i] = c.mu.entries[n.Key]
		c.hold(out[i])
		c.mu.counts.Hits++
	}
	return out, true
}

// tryClaim holds the entries of needs if there is room for those that are missing;
// else nothing is held and it says how many bytes are short.
func (c *Cache) tryClaim(needs []Need) (entries []*entry, short int64, freed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var bytes int64
	for _, n := range needs {
		if e := c.find(n); e != nil {
			c.hold(e)
			entries = append(entries, e)
		} else {
			bytes += n.Size
		}
	}
	c.evict(bytes)
	if over := c.mu.used + bytes - c.o.BudgetBytes; over > 0 {
		for _, e := range entries {
			c.unhold(e)
		}
		return nil, over, c.mu.freed
	}
	c.mu.counts.Hits += int64(len(entries))
	entries = entries[:0]
	for _, n := range needs {
		e := c.mu.entries[n.Key]
		if e == nil {
			e = c.begin(n)
			c.mu.counts.Misses++
		}
		entries = append(entries, e)
	}
	return entries, 0, nil
}

// roomPatience is how long a hold waits for room that nobody can give now, and
// roomLook how often it asks again: those who are asked know of users that come and
// go without a release here.
const (
	roomPatience = 30 * time.Second
	roomLook     = 50 * time.Millisecond
)

// wait waits until some bytes may be free, or it is too late.
func (c *Cache) wait(ctx context.Context, short int64, freed <-chan struct{}, late time.Time) error {
	if c.o.MakeRoom != nil && c.o.MakeRoom(ctx, short) == nil {
		return nil
	}
	if time.Now().After(late) {
		return lake.Errorf(lake.CodeOutOfDisk, "the disk cache is full of files that are being read: %d bytes more than disk_cache_bytes (%d) are needed", short, c.o.BudgetBytes).
			WithHint("try again when running queries have ended, or raise disk_cache_bytes")
	}
	again := time.NewTimer(roomLook)
	defer again.Stop()
	select {
	case <-freed:
		return nil
	case <-again.C:
		return nil
	case <-ctx.Done():
		return lake.Step("wait for room in the disk cache", ctx.Err())
	}
}

// find gives the entry of a file, nil where it is not here. One of another size is
// not that file, and goes; mu is held.
func (c *Cache) find(n Need) *entry {
	e := c.mu.entries[n.Key]
	if e == nil || e.size == n.Size {
		return e
	}
	if e.refs == 0 && e.here() {
		c.drop(e)
		return nil
	}
	return e
}

// hold counts a holder; mu is held.
func (c *Cache) hold(e *entry) {
	if e.refs++; e.refs > 1 {
		return
	}
	c.mu.held += e.size
	if e.at != nil {
		c.mu.unheld.Remove(e.at)
		e.at = nil
	}
}

// unhold takes a holder away; mu is held.
func (c *Cache) unhold(e *entry) {
	if e.refs--; e.refs > 0 {
		return
	}
	if !e.gone {
		c.mu.held -= e.size
	}
	close(c.mu.freed)
	c.mu.freed = make(chan struct{})
	switch {
	case e.gone:
	case e.here():
		e.at = c.mu.unheld.PushBack(e)
	default: // still filling: whoever ends it puts it in its place
	}
}

func (c *Cache) release(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unhold(e)
}

// evict takes files that nobody holds away until bytes more fit, or none is left;
// mu is held. An unlinked file stays readable for whoever has it open.
func (c *Cache) evict(bytes int64) {
	for c.mu.used+bytes > c.o.BudgetBytes {
		front := c.mu.unheld.Front()
		if front == nil {
			return
		}
		c.drop(front.Value.(*entry))
		c.mu.counts.Evictions++
	}
}

// drop forgets an entry and unlinks its file; mu is held, so that no fill of the
// same key can have put another there.
func (c *Cache) drop(e *entry) {
	c.forget(e)
	if err := os.Remove(e.path); err != nil && !os.IsNotExist(err) {
		c.o.Log.Warn("a file of the disk cache was not removed", "path", e.path, "error", err)
	}
}

// forget takes an entry out of the books; mu is held.
func (c *Cache) forget(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	if e.at != nil {
		c.mu.unheld.Remove(e.at)
		e.at = nil
	}
	if c.mu.entries[e.key] == e {
		delete(c.mu.entries, e.key)
	}
	c.mu.used -= e.size
	if e.refs > 0 {
		c.mu.held -= e.size
	}
}

// Discard forgets a file that is not as it should be, or whose object is gone;
// whoever holds it may go on reading what was opened.
func (c *Cache) Discard(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[key]; e != nil && e.here() {
		c.drop(e)
	}
}

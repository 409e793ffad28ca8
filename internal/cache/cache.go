package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tarn/internal/lake"
)

// Dataset is what the policy must know of a dataset that exists.
type Dataset struct {
	UUID  string
	Name  lake.Name
	Rows  int64 // base rows and pending changes: for projections
	Bytes int64 // of base files and pending deltas: likewise
}

// Options are what a Cache works with.
type Options struct {
	// BudgetBytes is what images may take; 0 or less: no image is ever loaded.
	BudgetBytes int64
	Worker      Worker
	Datasets    func() []Dataset // those that exist now
	PinsPath    string           // of the file of pins
	// Interval is how often the worker is looked at for what it did by itself;
	// 0 is two seconds.
	Interval time.Duration
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default()
}

// Cache is the policy. Loads go one at a time: who loads holds the turn, which a
// pin takes from a load in the background. Evicting needs no turn, since it only
// frees memory; it ends a load of the same dataset. A pin is in force once it is
// in the file of pins.
//
// The worker's own word on images replaces what is known here at each look,
// unless something was done between the question and its answer.
type Cache struct {
	o    Options
	turn chan struct{} // holds one element while somebody loads
	wake chan struct{} // there is something to look at

	pinsMu sync.Mutex // held while the file of pins is written; before mu

	mu struct {
		sync.Mutex
		known      map[string]*known // by table uuid
		generation int64             // of the worker that was looked at last
		used, held int64             // bytes, as it last said
		passing    int64             // likewise: of used, what goes by itself in a moment
		epoch      int64             // grows with whatever changes an image
		current    *action           // who has the turn
		asking     int               // pins that wait for the turn
		counts     Counts
	}
}

// Counts are what happened since the server started.
type Counts struct {
	Hits      int64 // datasets named by queries and answered from an image
	Misses    int64 // and from files
	Loads     int64 // images loaded
	Evictions int64 // images that left by the policy, by request, or for want of room
}

// action is a load, by a pin or in the background.
type action struct {
	uuid       string
	background bool
	ctx        context.Context // of the load; its cause says why it was cancelled
	cancel     context.CancelCauseFunc
	done       chan struct{}
	displaced  map[string]bool // guarded by Cache.mu
}

func (a *action) cancelled() bool { return a.ctx.Err() != nil }

// Why an action was cancelled.
var (
	errPreempted = errors.New("a pin goes first")
	errEvicted   = lake.Errorf(lake.CodeCancelled, "the dataset was evicted meanwhile")
	errDropped   = lake.Errorf(lake.CodeDatasetNotFound, "the dataset was dropped meanwhile")
)

// New makes a Cache with the pins of its file. Nothing is loaded until Run.
func New(o Options) (*Cache, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Interval <= 0 {
		o.Interval = 2 * time.Second
	}
	o.BudgetBytes = max(0, o.BudgetBytes)
	c := &Cache{o: o, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	c.mu.known = map[string]*known{}
	pins, err := readPins(o.PinsPath, o.Log)
	if err != nil {
		return nil, lake.Step("read the pins", err)
	}
	exist := c.datasets()
	for _, p := range pins {
		if _, ok := exist[p.TableUUID]; ok { // a dataset that was dropped has no pin
			k := c.of(p.TableUUID)
			k.pinned, k.pinnedAt = true, p.PinnedAt
		}
	}
	return c, nil
}

// Run loads in the background until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	tick := time.NewTicker(c.o.Interval)
	defer tick.Stop()
	for {
		c.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.wake:
		}
	}
}

// round looks at the worker and loads what is wanted and fits.
func (c *Cache) round(ctx context.Context) {
	if err := c.look(ctx); err != nil {
		return // it is being replaced; the next round looks again
	}
	for ctx.Err() == nil && c.loadNext(ctx) {
	}
}

func (c *Cache) ping() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Used notes that a query named a dataset, and whether an image answered. It may
// start a load in the background and never waits.
func (c *Cache) Used(uuid string, hot bool) {
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.of(uuid)
	k.use(now)
	if hot {
		k.hits++
		c.mu.counts.Hits++
		return
	}
	c.mu.counts.Misses++
	k.wanted = true
	c.ping()
}

// Reused notes that a query named a dataset and was answered by what was answered
// before. That is a use: when the data change, the next answer comes from them.
func (c *Cache) Reused(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.of(uuid)
	k.use(c.o.Now())
	if !k.hot() && !k.wanted {
		k.wanted = true
		c.ping()
	}
}

// Hot says whether a dataset has an image, as of the last look at the worker.
func (c *Cache) Hot(uuid string) bool {
	_, hot := c.HotRows(uuid)
	return hot
}

// HotRows says how many rows a dataset's image has, and whether there is one, as of the last
// look at the worker.
func (c *Cache) HotRows(uuid string) (rows int64, hot bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.mu.known[uuid]
	if k == nil || !k.hot() {
		return 0, false
	}
	return k.image.Rows, true
}

// Dropped forgets a dataset that is gone, its pin too.
func (c *Cache) Dropped(uuid string) {
	c.mu.Lock()
	k := c.mu.known[uuid]
	delete(c.mu.known, uuid)
	c.mu.epoch++
	if a := c.mu.current; a != nil {
		delete(a.displaced, uuid)
		if a.uuid == uuid {
			a.cancel(errDropped)
		}
	}
	c.mu.Unlock()
	if k != nil && k.pinned {
		if err := c.savePins(); err != nil { // a pin of no dataset is left out when read
			c.o.Log.Warn("the pin of a dropped dataset stays in its file", "table_uuid", uuid, "error", err)
		}
	}
	c.ping()
}

// datasets gives those that exist, by uuid.
func (c *Cache) datasets() map[string]Dataset {
	out := map[string]Dataset{}
	for _, d := range c.o.Datasets() {
		out[d.UUID] = d
	}
	return out
}

func (c *Cache) dataset(uuid string) (Dataset, error) {
	d, ok := c.datasets()[uuid]
	if !ok {
		return Dataset{}, lake.Errorf(lake.CodeDatasetNotFound, "there is no dataset with the table uuid %s", uuid)
	}
	return d, nil
}

// of gives what is known of a dataset; mu is held, or nobody else is there yet.
func (c *Cache) of(uuid string) *known {
	k := c.mu.known[uuid]
	if k == nil {
		k = &known{}
		c.mu.known[uuid] = k
	}
	return k
}

// begin takes the turn. A pin takes it from a load in the background, unless
// that loads the same dataset; then it waits for it.
func (c *Cache) begin(ctx context.Context, uuid string, background bool) (*action, error) {
	if background {
		select {
		case c.turn <- struct{}{}:
		default:
			return nil, errPreempted
		}
	} else if err := c.await(ctx, uuid); err != nil {
		return nil, err
	}
	a := &action{uuid: uuid, background: background, done: make(chan struct{}), displaced: map[string]bool{}}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.mu.known[uuid]
	switch {
	case background && c.mu.asking > 0:
		a.cancel(errPreempted)
	case background && (k == nil || !k.wanted && !k.pinned): // it was evicted since it was picked
		a.cancel(errEvicted)
	}
	c.mu.current = a
	return a, nil
}

func (c *Cache) await(ctx context.Context, uuid string) error {
	c.mu.Lock()
	c.mu.asking++
	if a := c.mu.current; a != nil && a.background && a.uuid != uuid {
		a.cancel(errPreempted)
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.mu.asking--
		c.mu.Unlock()
	}()
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return lake.Step("wait for another load", context.Cause(ctx))
	}
}

// end gives the turn back. After a failure the displaced are wanted again.
func (c *Cache) end(a *action, err error) {
	c.mu.Lock()
	if err != nil {
		for uuid := range a.displaced {
			if k := c.mu.known[uuid]; k != nil {
				k.wanted = true
			}
		}
	}
	c.mu.current = nil
	c.mu.Unlock()
	a.cancel(nil)
	close(a.done)
	<-c.turn
	c.ping()
}

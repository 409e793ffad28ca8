package cache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tarn/internal/lake"
	"tarn/internal/worker"
)

// loadNext loads the first dataset that is wanted and whose plan fits; false when
// there is none.
func (c *Cache) loadNext(ctx context.Context) bool {
	uuid, ok := c.next()
	return ok && c.loadPicked(ctx, uuid)
}

// loadPicked loads what next picked; false when another has the turn.
func (c *Cache) loadPicked(ctx context.Context, uuid string) bool {
	a, err := c.begin(ctx, uuid, true)
	if err != nil {
		return false
	}
	err = c.load(a.ctx, a, false)
	c.settle(a, context.Cause(a.ctx), err)
	c.end(a, err)
	return true
}

// next picks what to load: pins first, the oldest first, then the most recently
// used. A dataset whose plan does not fit is no longer wanted, unless it is
// pinned: its next use asks again.
func (c *Cache) next() (string, bool) {
	exist, now := c.datasets(), c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.asking > 0 {
		return "", false
	}
	var order []string
	for uuid, k := range c.mu.known {
		if (k.wanted || k.pinned) && !k.hot() && !now.Before(k.retryAt) {
			order = append(order, uuid)
		}
	}
	slices.SortFunc(order, func(a, b string) int {
		x, y := c.mu.known[a], c.mu.known[b]
		switch {
		case x.pinned != y.pinned && x.pinned:
			return -1
		case x.pinned != y.pinned:
			return 1
		case x.pinned:
			return cmp.Or(x.pinnedAt.Compare(y.pinnedAt), strings.Compare(a, b))
		}
		return cmp.Or(y.lastUsed.Compare(x.lastUsed), strings.Compare(a, b))
	})
	for _, uuid := range order {
		k := c.mu.known[uuid]
		d, ok := exist[uuid]
		if !ok {
			k.wanted = false // dropped while it was queried
			continue
		}
		need, measured := k.need(d)
		p := planFor(need, k.heatNow(now), k.pinned, c.roomFor(uuid, now))
		if p.fits || !measured && c.o.BudgetBytes > 0 { // a guess refuses nothing: load measures it
			return uuid, true
		}
		k.wanted, k.reason = k.wanted && p.later, p.reason
	}
	return "", false
}

// settle notes how a load in the background ended.
func (c *Cache) settle(a *action, cause, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.mu.known[a.uuid]
	switch {
	case k == nil || errors.Is(cause, errEvicted):
		return
	case errors.Is(cause, errPreempted):
		k.wanted = true
		return
	}
	k.reason = err.Error()
	switch code := lake.CodeOf(err); {
	case errors.Is(err, errNoRoom) && k.size > 0 && !k.pinned: // the next use asks again, which costs nothing
		k.wanted = false
		return
	case errors.Is(err, errNoRoom) || code == lake.CodeOutOfMemory || code == lake.CodeDatasetNotFound:
		k.wanted = false
	default: // the worker died, or a content commit came in between
		k.wanted = k.failures < mostFailures
	}
	k.failed(c.o.Now())
	if cause == nil {
		c.o.Log.Info("an image was not loaded", "table_uuid", a.uuid, "pinned", k.pinned, "error", err)
	}
}

// mostFailures is how often in a row a load is tried by itself.
const mostFailures = 4

// errNoRoom wraps the reason of a plan that does not fit.
var errNoRoom = errors.New("no room")

// noRoom is the error of a plan that does not fit.
type noRoom struct{ reason string }

func (e noRoom) Error() string        { return e.reason }
func (e noRoom) Is(target error) bool { return target == errNoRoom }

// rounds is how often a load is planned anew when it turns out larger.
const rounds = 4

// load makes a dataset hot: it measures it where nothing did, plans, evicts the
// victims, and loads. A load that ran out of room says how large it really is and
// is planned once more. The caller has the turn. pin plans as for a pinned one.
func (c *Cache) load(ctx context.Context, a *action, pin bool) error {
	var least int64 // what the load is known to need more than
	projected := false
	for range rounds {
		if err := c.look(ctx); err != nil {
			return err
		}
		s, err := c.standing(a.uuid, pin)
		if err != nil || s.hot {
			return err
		}
		need := max(s.need, least)
		p := planFor(need, s.heat, s.pin, s.room)
		// A guess decides nothing that costs: where others would go, or where the
		// answer is no, the image is measured first.
		if !s.measured && !projected && s.room.budget > 0 && (!p.fits || len(p.evict) > 0) {
			projected = true
			if c.project(ctx, s.dataset) {
				continue
			}
		}
		if !p.fits {
			return noRoom{p.reason}
		}
		if err := c.displace(ctx, a, p.evict); err != nil {
			return err
		}
		if err := c.awaitReaders(ctx, need, s.room.budget); err != nil {
			return err
		}
		i, err := c.loadOnce(ctx, s.dataset)
		if lake.CodeOf(err) != lake.CodeOutOfMemory || err == nil {
			return err
		}
		least = max(i.Projected, need+need/8) // a plan that was wrong is not made again
	}
	return noRoom{"it needs more than was measured of it, each time again"}
}

// standing is a dataset as a load finds it.
type standing struct {
	dataset       Dataset
	hot, measured bool
	pin           bool // to be planned as pinned
	need          int64
	heat          float64
	room          room
}

func (c *Cache) standing(uuid string, pin bool) (standing, error) {
	d, err := c.dataset(uuid)
	if err != nil {
		return standing{}, err
	}
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.mu.known[uuid]
	if k == nil {
		return standing{}, errDropped
	}
	need, measured := k.need(d)
	return standing{d, k.hot(), measured, pin || k.pinned, need, k.heatNow(now), c.roomFor(uuid, now)}, nil
}

// project measures a dataset by a first slice; false where even that finds no
// room.
func (c *Cache) project(ctx context.Context, d Dataset) bool {
	bytes, err := c.o.Worker.ProjectImage(ctx, d.UUID)
	if err != nil || bytes <= 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.mu.known[d.UUID]; k != nil {
		k.measured(bytes, d.Rows)
	}
	return true
}

// displace evicts the victims of a plan.
func (c *Cache) displace(ctx context.Context, a *action, victims []string) error {
	for _, uuid := range victims {
		c.mu.Lock()
		k := c.mu.known[uuid]
		spared := k == nil || k.pinned || !k.hot() // pinned or gone since it was planned
		if !spared {
			a.displaced[uuid] = true
		}
		c.mu.Unlock()
		if spared {
			continue
		}
		if err := c.drop(ctx, uuid); err != nil {
			return err
		}
	}
	return nil
}

// drop makes a dataset cold and counts it as evicted where it was not.
func (c *Cache) drop(ctx context.Context, uuid string) error {
	c.mu.Lock()
	k := c.mu.known[uuid]
	if k != nil {
		k.drops++
	}
	c.mu.Unlock()
	i, err := c.o.Worker.DropImage(ctx, uuid)
	switch lake.CodeOf(err) {
	case lake.CodeWorkerDied, lake.CodeDatasetNotFound: // and the image with it
		err = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.epoch++
	if k == nil {
		return err
	}
	k.drops--
	if err != nil {
		return err
	}
	if k.hot() {
		c.mu.counts.Evictions++
	}
	k.image = Image{TableUUID: uuid, State: worker.ImageCold, Reason: i.Reason}
	k.reason = ""
	return nil
}

// readersPatience is how long a load waits for older queries that hold images
// which were dropped for it.
const readersPatience = 10 * time.Second

// awaitReaders waits until need fits, or nothing is held any more.
func (c *Cache) awaitReaders(ctx context.Context, need, budget int64) error {
	deadline := time.NewTimer(readersPatience)
	defer deadline.Stop()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		if err := c.look(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		fits, held, passing := c.mu.used+need <= budget, c.mu.held, c.mu.passing
		c.mu.Unlock()
		if fits || held == 0 && passing == 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-deadline.C:
			return noRoom{"older queries still hold " + bytesShown(held) + " of images that were dropped, and keep " + bytesShown(passing) + " from being compressed"}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *Cache) loadOnce(ctx context.Context, d Dataset) (Image, error) {
	began := c.o.Now()
	i, err := c.o.Worker.LoadImage(ctx, d.UUID)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.epoch++
	k := c.mu.known[d.UUID]
	switch cause := context.Cause(ctx); {
	case k == nil:
		return i, errDropped
	case cause != nil: // also where it was loaded in that moment: the next look sees it
		return i, cause
	case err != nil:
		if !i.Guessed {
			k.measured(i.Projected, d.Rows)
		}
		return i, err
	}
	c.mu.counts.Loads++
	k.image, k.wanted, k.reason, k.retryAt = i, false, "", time.Time{}
	k.measured(i.Bytes, i.Rows)
	c.o.Log.Debug("an image was loaded", "dataset", d.Name.String(), "rows", i.Rows, "bytes", i.Bytes, "took", c.o.Now().Sub(began).String())
	return i, nil
}

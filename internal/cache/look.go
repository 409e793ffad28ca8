package cache

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"tarn/internal/lake"
	"tarn/internal/worker"
)

// lookTimeout bounds a question to the worker.
const lookTimeout = 10 * time.Second

// lookDeaths is how many deaths of the worker a look outlives.
const lookDeaths = 3

// look asks the worker what it holds. What was hot and is not any more, for a
// reason that is not the dataset's size, is wanted again.
func (c *Cache) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for deaths := 0; ; {
		c.mu.Lock()
		epoch := c.mu.epoch
		c.mu.Unlock()
		images, err := c.o.Worker.Images(ctx)
		if lake.CodeOf(err) == lake.CodeWorkerDied && deaths < lookDeaths {
			deaths++
			continue // the next one answers
		}
		if err != nil {
			return err
		}
		if c.observe(images, epoch) {
			return nil
		}
	}
}

// observe takes the worker's word over, unless something was done to an image
// since epoch.
func (c *Cache) observe(images Images, epoch int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.epoch != epoch {
		return false
	}
	restarted := c.mu.generation != 0 && c.mu.generation != images.Generation
	c.mu.generation, c.mu.used, c.mu.held, c.mu.passing = images.Generation, images.UsedBytes, images.HeldBytes, images.PassingBytes
	now, said := c.o.Now(), map[string]Image{}
	for _, i := range images.Images {
		said[i.TableUUID] = i
	}
	for uuid, k := range c.mu.known {
		i, ok := said[uuid]
		if !ok {
			i = Image{TableUUID: uuid, State: worker.ImageCold}
		}
		delete(said, uuid)
		if k.drops == 0 {
			k.sees(i, restarted, now, &c.mu.counts)
		}
	}
	for uuid, i := range said {
		if i.State == worker.ImageHot {
			c.of(uuid).sees(i, false, now, &c.mu.counts)
		}
	}
	return true
}

// settled is how long an image must have stood for the failures before it to be
// forgotten: one that goes soon after each load must not be loaded at every use.
const settled = time.Minute

// sees takes over what the worker says of a dataset's image.
func (k *known) sees(i Image, restarted bool, now time.Time, counts *Counts) {
	was := k.image.State
	k.image = i
	switch {
	case i.State == worker.ImageHot:
		k.measured(i.Bytes, i.Rows)
		k.reason = ""
		if now.Sub(i.LoadedAt) > settled {
			k.failures = 0
		}
	case was == worker.ImageHot && restarted:
		k.wanted, k.retryAt = true, time.Time{}
		k.reason = "the worker was replaced"
	case was == worker.ImageHot:
		k.reason = i.Reason
		if demoted(i.Reason) {
			counts.Evictions++
			k.failed(now)
		} else { // a content commit: the same dataset with other rows
			k.wanted = true
		}
	}
}

// demoted says whether a reason is that of an image that went for itself.
func demoted(reason string) bool { return strings.HasPrefix(reason, "demoted") }

// roomFor gives the room for a load of a dataset, as it was last looked at; mu is
// held.
func (c *Cache) roomFor(uuid string, now time.Time) room {
	r := room{budget: c.o.BudgetBytes, used: c.mu.used, held: c.mu.held, passing: c.mu.passing}
	var order []*known
	ids := map[*known]string{}
	for id, k := range c.mu.known {
		if k.hot() && id != uuid {
			order = append(order, k)
			ids[k] = id
		}
	}
	slices.SortFunc(order, func(a, b *known) int {
		return cmp.Or(a.lastUsed.Compare(b.lastUsed), a.image.LoadedAt.Compare(b.image.LoadedAt), strings.Compare(ids[a], ids[b]))
	})
	for _, k := range order {
		r.residents = append(r.residents, resident{ids[k], k.image.Bytes, k.pinned, k.heatNow(now)})
	}
	return r
}

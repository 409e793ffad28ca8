package diskcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
)

const (
	rangeBytes   = 8 << 20 // of one request of a fill
	rangesAtOnce = 8
)

// begin makes an entry, held once, and fills it in a goroutine of the cache; mu is
// held.
func (c *Cache) begin(n Need) *entry {
	e := &entry{key: n.Key, size: n.Size, path: c.Path(n.Key), done: make(chan struct{})}
	c.mu.entries[n.Key] = e
	c.mu.used += e.size
	c.hold(e)
	c.start(e, func(ctx context.Context) error { return c.fill(ctx, e) })
	return e
}

// start runs work on an entry, which is filling until that ends; mu is held.
func (c *Cache) start(e *entry, work func(context.Context) error) {
	ctx, cancel := context.WithCancel(c.ctx)
	e.cancel = cancel
	done := e.done
	if c.mu.closed {
		cancel()
	}
	c.fills.Go(func() {
		err := work(ctx)
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		e.err, e.checked = err, err == nil
		if err != nil {
			if c.mu.entries[e.key] == e {
				_ = os.Remove(e.path) // of an earlier server, and not what it was
			}
			c.forget(e)
		}
		close(done)
		if e.refs == 0 && err == nil {
			e.at = c.mu.unheld.PushBack(e)
		}
	})
}

// await waits until an entry is here and checked. The fill ends when nobody waits
// for it any more.
func (c *Cache) await(ctx context.Context, e *entry) error {
	c.mu.Lock()
	if e.here() && !e.checked { // of an earlier server: its first use
		e.done = make(chan struct{})
		c.start(e, func(ctx context.Context) error { return c.recheck(ctx, e) })
	}
	done := e.done
	e.waiting++
	c.mu.Unlock()
	var left error
	select {
	case <-done:
	case <-ctx.Done():
		left = lake.Step("bring "+e.key+" to this machine", ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.waiting--; left != nil {
		if e.waiting == 0 && e.cancel != nil {
			e.cancel()
		}
		return left
	}
	return e.err
}

// recheck checks a file of an earlier server, and brings it anew where it is not
// what it should be.
func (c *Cache) recheck(ctx context.Context, e *entry) error {
	fi, err := os.Stat(e.path)
	if err == nil && fi.Size() == e.size {
		err = c.check(ctx, e.key, e.path)
	}
	if err == nil && fi.Size() == e.size {
		return nil
	}
	if ctx.Err() != nil {
		return lake.Step("check "+e.key, ctx.Err())
	}
	c.o.Log.Warn("a file of the disk cache was not as it was written; it is brought anew", "key", e.key, "error", err)
	c.mu.Lock()
	c.mu.counts.Refilled++
	c.mu.Unlock()
	return c.fill(ctx, e)
}

func (c *Cache) check(ctx context.Context, key, path string) error {
	if c.o.Check == nil {
		return nil
	}
	return c.o.Check(ctx, key, path)
}

// fill brings an object to its path, whole and checked. What arrives damaged is
// fetched once more: the way may have been at fault.
func (c *Cache) fill(ctx context.Context, e *entry) (err error) {
	temp := filepath.Join(c.filling(), fmt.Sprintf("%016x", rand.Uint64()))
	defer os.Remove(temp)
	for try := range 2 {
		if err = c.fetch(ctx, e, temp); err != nil {
			return err
		}
		if err = c.check(ctx, e.key, temp); err == nil || !errors.Is(err, lake.ErrDamaged) {
			break
		}
		if try == 0 {
			c.mu.Lock()
			c.mu.counts.Refilled++
			c.mu.Unlock()
		}
	}
	if err != nil {
		return err
	}
	if err := c.settleAt(temp, e.path); err != nil {
		return diskFailed(e.key, err)
	}
	failpoint.Hit("diskcache.filled")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.counts.Fills++
	c.mu.counts.FilledBytes += e.size
	return nil
}

// settleAt gives a whole file its name.
func (c *Cache) settleAt(temp, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// fetch copies an object into a file, ranges in parallel.
func (c *Cache) fetch(ctx context.Context, e *entry, temp string) error {
	o, err := c.source.Open(ctx, e.key)
	if err != nil {
		return err
	}
	defer o.Close()
	if o.Size() != e.size {
		d := lake.Errorf(lake.CodeDamaged, "it has %d bytes where %d are due", o.Size(), e.size)
		d.Step = e.key
		return d.WithHint("restore %s from a backup or a copy of the lake", e.key)
	}
	f, err := os.Create(temp)
	if err != nil {
		return diskFailed(e.key, err)
	}
	defer f.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(rangesAtOnce)
	for off := int64(0); off < e.size; off += rangeBytes {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			b := make([]byte, min(rangeBytes, e.size-off))
			if n, err := o.ReadAt(b, off); n < len(b) {
				return err
			}
			if _, err := f.WriteAt(b, off); err != nil {
				return diskFailed(e.key, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return lake.Step("bring "+e.key+" to this machine", err)
	}
	if err := f.Close(); err != nil {
		return diskFailed(e.key, err)
	}
	return nil
}

package engine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tarn/internal/delta"
	"tarn/internal/lake"
	"tarn/internal/results"
	"tarn/internal/store"
	"tarn/internal/worker"
)

// openFollowing opens what a follower has: what is shown, and who keeps it in step.
func (e *Engine) openFollowing(ctx context.Context) error {
	_, answers := e.set.cacheShares()
	e.results = results.New(answers)
	e.stream = worker.NewStream(e.replay)
	e.follower = newFollower(e)
	if err := e.openFollower(ctx); err != nil {
		return err
	}
	if err := e.startWorker(ctx); err != nil {
		return err
	}
	if err := e.openCache(); err != nil {
		return err
	}
	e.metrics = newMetrics(e, e.opts.Registry)
	e.going.Go(e.runFollower)
	e.going.Go(e.runHolding)
	e.going.Go(func() { e.cache.Run(e.ctx) })
	return nil
}

// Following says how far a follower is: its answers hold everything that was
// acknowledged before AsOf.
type Following struct {
	AsOf         time.Time
	MaxStaleness time.Duration
	Problem      error // of the last look; nil where it went well
}

// Staleness is how old the answers may be.
func (f Following) Staleness() time.Duration { return max(0, time.Since(f.AsOf)) }

// follower keeps a lake that another process writes in step with it, by looking: at
// the catalog's newest version and each dataset's newest deltas, every
// FollowInterval. It shows one instant after the other (I2); docs/design/follower.md
// says why these are instants.
//
// A look belongs to one goroutine at a time. What it found and does not show yet
// stays in found for the next look.
type follower struct {
	engine *Engine
	look   chan struct{} // of one: held by who looks

	logs  map[string]*followed // by table; of the look
	cut   cut                  // of the deltas that were found; of the look
	gone  []leftover           // paths that nobody needs any more; of the look
	clock func() time.Time

	mu struct {
		sync.Mutex
		now Following
	}
}

// followed is a dataset's delta log as the follower reads it.
type followed struct {
	log   *delta.Log
	found []lake.Delta // after those that are shown
	// jumped says that the writer trimmed deltas that were not read yet: what follows
	// is built on the base alone.
	jumped bool
}

// leftover is files that are not shown from a number of the stream on.
type leftover struct {
	end    int64
	log    *delta.Log // of deltas; nil: files of a base
	closes bool       // the log
	folded int64      // of the log, where it is above 0: the deltas up to it
	keys   []string
}

func newFollower(e *Engine) *follower {
	f := &follower{engine: e, look: make(chan struct{}, 1), logs: map[string]*followed{}, cut: cut{}, clock: time.Now}
	f.mu.now.MaxStaleness = e.set.MaxStaleness
	return f
}

// openReadOnly opens a local lake beside its writer: without its lock, and so that
// nothing below it is written.
func (e *Engine) openReadOnly() error {
	if e.opts.Store != nil { // of a test
		e.store = readOnlyStore{e.opts.Store}
		return nil
	}
	dir, err := filepath.Abs(e.opts.Data)
	if err != nil {
		return err
	}
	if err := noBackup(dir); err != nil {
		return err
	}
	if fi, err := os.Stat(filepath.Join(dir, "catalog")); err != nil || !fi.IsDir() {
		return lake.Errorf(lake.CodeNotFound, "there is no lake in %s to follow", dir).WithHint("name the folder of a lake; a follower makes none")
	}
	if e.opts.State == "" || within(dir, e.opts.State) {
		return lake.Errorf(lake.CodeInvalidRequest, "a follower needs a state folder of its own outside the lake %s", dir).
			WithHint("name one on this machine with --state")
	}
	local, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		return err
	}
	e.store, e.opts.Data = readOnlyStore{local}, dir
	return nil
}

// Following says how far a follower is; ok is false for a lake that is written here.
func (e *Engine) Following() (now Following, ok bool) {
	if e.follower == nil {
		return Following{}, false
	}
	e.follower.mu.Lock()
	defer e.follower.mu.Unlock()
	return e.follower.mu.now, true
}

// fresh is nil where the lake may answer: it is written here, or was followed within
// the bound.
func (e *Engine) fresh() error {
	now, ok := e.Following()
	if !ok || now.MaxStaleness == 0 || now.Staleness() <= now.MaxStaleness {
		return nil
	}
	err := lake.Errorf(lake.CodeBehind, "the lake was followed until %s, which is longer ago than max_staleness (%s)", now.AsOf.Format(time.RFC3339), now.MaxStaleness)
	if now.Problem != nil {
		err = lake.Errorf(lake.CodeBehind, "the lake was followed until %s, which is longer ago than max_staleness (%s): %w", now.AsOf.Format(time.RFC3339), now.MaxStaleness, now.Problem)
	}
	return err.WithHint("the server goes on trying; ask the one that writes the lake meanwhile")
}

// runFollower looks at intervals until the engine closes.
func (e *Engine) runFollower() {
	tick := time.NewTicker(e.set.FollowInterval)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := e.follower.catchUp(e.ctx); err != nil && e.ctx.Err() == nil {
			e.log.Warn("the lake could not be followed; it is tried again", "err", err)
		}
	}
}

// catchUp looks once; changed says whether anything new is shown.
func (f *follower) catchUp(ctx context.Context) (changed bool, err error) {
	select {
	case f.look <- struct{}{}:
		defer func() { <-f.look }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	began := f.clock().UTC()
	changed, err = f.next(ctx)
	f.mu.Lock()
	if f.mu.now.Problem = err; err == nil {
		f.mu.now.AsOf = began
	}
	f.mu.Unlock()
	if err == nil {
		f.engine.looked(began)
	}
	f.letGo(ctx)
	return changed, lake.Step("follow the lake", err)
}

// lookTries is how often a look begins anew because the catalog moved meanwhile.
const lookTries = 10

// next finds the next instant and shows it.
func (f *follower) next(ctx context.Context) (changed bool, err error) {
	cat := f.engine.shop.Catalog
	v, err := cat.Newest(ctx)
	for range lookTries {
		if err != nil {
			return false, err
		}
		news, lookErr := f.lookAt(ctx, v)
		var after = v
		if after, err = cat.Newest(ctx); err != nil {
			return false, err
		}
		if after.Number != v.Number { // so that what was missing may be missing rightly
			v = after
			continue
		}
		if lookErr != nil {
			return false, lookErr
		}
		if !news && v.Number == cat.Current().Number {
			return false, nil
		}
		f.addToCut(v)
		if _, err := f.lookAt(ctx, v); err != nil { // what was created before the newest, and was looked for too early
			return false, err
		}
		t, err := f.prepare(ctx, v)
		if err != nil {
			// Its files may have been collected since, if it is not the newest any more.
			if after, newestErr := cat.Newest(ctx); newestErr == nil && after.Number != v.Number {
				v = after
				continue
			}
			return false, err
		}
		return f.show(t), nil
	}
	return false, lake.Errorf(lake.CodeUnavailable, "the catalog moved %d times while it was looked at", lookTries)
}

// lookAt reads the deltas that came since the last look, of every dataset of a
// version; news says whether there are any that are not shown.
func (f *follower) lookAt(ctx context.Context, v *catalogVersion) (news bool, err error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.atOnce())
	for _, d := range v.Datasets {
		one := f.logs[d.TableUUID]
		if one == nil || one.log.Last() < d.TrimmedThrough {
			jumped := one != nil
			if jumped {
				f.gone = append(f.gone, leftover{end: f.engine.stream.End() + 1, log: one.log, closes: true})
			}
			one = &followed{log: delta.Follow(f.engine.store, d.TableUUID, d.TrimmedThrough), jumped: jumped}
			f.logs[d.TableUUID] = one
		}
		g.Go(func() error {
			came, err := one.log.Next(gctx)
			one.found = append(one.found, came...)
			return lake.Step("dataset "+d.LakeName().String(), err)
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	for _, d := range v.Datasets {
		news = news || len(f.logs[d.TableUUID].found) > 0
	}
	return news, nil
}

// atOnce is how many datasets are looked at at a time: a bucket's answers come from
// far, a disk's do not.
func (f *follower) atOnce() int {
	if f.engine.remote == nil {
		return 1
	}
	return f.engine.openLimit()
}

// addToCut takes in what a version's datasets have, which was found before now.
func (f *follower) addToCut(v *catalogVersion) {
	for _, d := range v.Datasets {
		for _, one := range f.logs[d.TableUUID].found {
			f.cut.add(one)
		}
	}
}

// letGo releases the files that no query can be reading any more.
func (f *follower) letGo(ctx context.Context) {
	if len(f.gone) == 0 || f.engine.worker == nil {
		return // what is gone of a bucket's files is gone with one of these
	}
	released := f.engine.worker.Released(ctx)
	kept := f.gone[:0]
	for _, l := range f.gone {
		switch {
		case l.end > released:
			kept = append(kept, l)
		case l.closes:
			l.log.Close()
		case l.folded > 0:
			l.log.Leave(l.folded)
		case l.log != nil:
			l.log.Forget(l.keys...)
		default:
			for _, key := range l.keys {
				f.engine.shop.Verifier.Forget(key)
			}
		}
	}
	f.gone = kept
	if r := f.engine.remote; r != nil {
		r.here.forgetDropped()
	}
}

// close lets go of all paths.
func (f *follower) close() {
	for _, one := range f.logs {
		one.log.Close()
	}
	for _, l := range f.gone {
		if l.closes {
			l.log.Close()
		}
	}
}

// openFollower shows the lake for the first time. What is missing or damaged is looked
// at again: the writer may have been clearing up what was just listed.
func (e *Engine) openFollower(ctx context.Context) error {
	const tries = 3
	for try := 1; ; try++ {
		_, err := e.follower.catchUp(ctx)
		if lake.CodeOf(err) != lake.CodeDamaged || try == tries {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

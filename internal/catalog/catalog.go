package catalog

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Options are what Open needs beside the store.
type Options struct {
	Now  func() time.Time // the clock of Version.Time; time.Now if nil
	Root string           // URI of the lake; the store's own if empty
	// TakeOver is for a lake without a lock: a server that has it open may commit
	// meanwhile, and one that opens it too goes first.
	TakeOver bool
}

// Catalog is an open lake's catalog. Its current version is replaced by Commit
// and never edited, so Current is safe to read while commits go on. Commits are
// one at a time.
//
// A commit whose answer was lost leaves the catalog unsettled: the version may
// be there or not. Until Settle or the next Commit has found out, Current stays
// what it was.
type Catalog struct {
	store   store.Store
	opts    Options
	current atomic.Pointer[format.Version]

	turn      chan struct{} // of one: held by who commits or settles, also over I/O
	unsettled *attempt      // guarded by turn
	fenced    error         // guarded by turn; once set, it stays
}

// attempt is a version whose creation was tried.
type attempt struct {
	version format.Version
	body    []byte
}

// Open finds the newest version of the lake, or makes a new lake, and takes the
// next epoch by a version of its own. Older versions may be missing; one that is
// not as it was written is lake.CodeDamaged. lake.CodeFenced: somebody else
// opened the lake at the same time.
func Open(ctx context.Context, s store.Store, o Options) (*Catalog, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Root == "" {
		o.Root = s.Root()
	}
	for try := 0; ; try++ {
		c, err := open(ctx, s, o)
		if err == nil || !o.TakeOver || try >= takeOverTries || !errors.Is(err, lake.ErrFenced) {
			return c, err
		}
	}
}

// takeOverTries is how many commits of others may come in between an opening's look
// at the newest version and its own.
const takeOverTries = 50

func open(ctx context.Context, s store.Store, o Options) (*Catalog, error) {
	c := &Catalog{store: s, opts: o, turn: make(chan struct{}, 1)}
	newest, before := int64(0), int64(0)
	for n, err := range c.Versions(ctx) {
		if err != nil {
			return nil, lake.Step("open the catalog", err)
		}
		newest, before = n, newest
	}
	v := format.Version{LakeUUID: uuid.NewString()}
	var err error
	if newest > 0 {
		if v, err = c.Read(ctx, newest); err == nil && before > 0 {
			err = c.comesAfter(ctx, before, v)
		}
	} else {
		err = unclaimed(ctx, s)
	}
	if err != nil {
		return nil, lake.Step("open the catalog", err)
	}
	c.current.Store(&v)
	_, err = c.Commit(ctx, func(next *format.Version) error {
		next.Epoch++
		return nil
	})
	if err != nil {
		return nil, lake.Step("open the catalog", err)
	}
	return c, nil
}

// comesAfter refuses a newest version that is not of this lake, or of another history
// of it: what it does not name would be cleared away.
func (c *Catalog) comesAfter(ctx context.Context, before int64, newest format.Version) error {
	earlier, err := c.Read(ctx, before)
	if err != nil {
		return err
	}
	return Follows(earlier, newest)
}

// Follows says whether a version can be of the same lake and history as an earlier one:
// lake.CodeDamaged, naming the later, where it cannot.
func Follows(earlier, later format.Version) error {
	var e *lake.Error
	switch {
	case later.LakeUUID != earlier.LakeUUID:
		e = lake.Errorf(lake.CodeDamaged, "it is of the lake %s, and version %d of %s", later.LakeUUID, earlier.Number, earlier.LakeUUID)
	case later.Epoch < earlier.Epoch:
		e = lake.Errorf(lake.CodeDamaged, "it was written at the lake's opening %d, and version %d before it at the %dth", later.Epoch, earlier.Number, earlier.Epoch)
	default:
		return nil
	}
	e.Step = Key(later.Number)
	return e.WithHint("the file was put there from another lake, or another copy of this one: take it away again")
}

// unclaimed refuses to make a new lake where there is something of one already: a
// catalog that was lost names nothing, and what nothing names is cleared away.
func unclaimed(ctx context.Context, s store.Store) error {
	for _, prefix := range []string{"base/", "deltas/"} {
		for info, err := range s.List(ctx, prefix, "") {
			if err != nil {
				return err
			}
			return lake.Errorf(lake.CodeDamaged, "there is no catalog version, and yet there is %s", info.Key).
				WithHint("restore catalog/ from a backup of this lake, or name an empty folder for a new one; nothing was touched")
		}
	}
	return nil
}

// Overtaken looks for a version of another server after the current one: nil where
// there is none, lake.CodeFenced where there is, for good.
func (c *Catalog) Overtaken(ctx context.Context) error {
	current := c.Current()
	for info, err := range c.store.List(ctx, prefix, Key(current.Number)) {
		if err != nil {
			return err
		}
		n, ok := Number(info.Key)
		if !ok {
			continue
		}
		v, err := c.Read(ctx, n)
		if err != nil {
			return err
		}
		if v.Epoch > current.Epoch {
			return overtaken(info.Key)
		}
	}
	return nil
}

func overtaken(key string) error {
	return lake.Errorf(lake.CodeFenced, "%s was written by another server: the lake was taken over", key).
		WithHint("stop this server; let one server at a time write a lake")
}

// Current is the newest version. It must not be changed.
func (c *Catalog) Current() *format.Version { return c.current.Load() }

// Commit makes the next version of a copy of the current one as edit leaves it,
// and gives it. An error of edit is returned as it is and commits nothing. An
// unsettled version is settled first, so edit may see what an earlier caller was
// told to be unknown.
//
// Errors: lake.CodeDatasetExists when edit gave two datasets one name;
// lake.CodeUnknownOutcome when the version may or may not be there; lake.CodeFenced
// when the lake was taken over; any other leaves everything as it was.
func (c *Catalog) Commit(ctx context.Context, edit func(next *format.Version) error) (*format.Version, error) {
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	if err := c.settle(ctx); err != nil {
		return nil, lake.Step("settle an earlier commit", err)
	}
	before := c.Current()
	next := before.Clone()
	if err := edit(&next); err != nil {
		return nil, err
	}
	next.Number, next.LakeUUID = before.Number+1, before.LakeUUID
	next.UUID, next.Root, next.Time = uuid.NewString(), c.opts.Root, c.opts.Now().UTC()
	sortEntries(&next)
	if err := check(*before, next); err != nil {
		return nil, err
	}
	body, err := format.EncodeVersion(next)
	if err != nil {
		return nil, err
	}
	if next, err = format.DecodeVersion(Key(next.Number), body); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "a catalog version that cannot be read back: %w", err)
	}
	failpoint.Hit("catalog.encoded")
	err = c.create(ctx, &attempt{next, body}, false)
	if err != nil {
		return nil, err
	}
	return c.Current(), nil
}

// Settle finds out whether the version with the lost answer is there, by
// creating it again, and gives the current version. Without such a version it
// does nothing.
func (c *Catalog) Settle(ctx context.Context) (*format.Version, error) {
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	return c.Current(), nil
}

// Unsettled gives the number of the version whose outcome is unknown.
func (c *Catalog) Unsettled(ctx context.Context) (number int64, ok bool) {
	if c.take(ctx) != nil {
		return 0, false
	}
	defer c.leave()
	if c.unsettled == nil {
		return 0, false
	}
	return c.unsettled.version.Number, true
}

func (c *Catalog) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return lake.Step("wait for the catalog", ctx.Err())
	}
}

func (c *Catalog) leave() { <-c.turn }

// settle creates the unsettled version again, if there is one.
func (c *Catalog) settle(ctx context.Context) error {
	if c.fenced != nil {
		return c.fenced
	}
	if c.unsettled == nil {
		return nil
	}
	return c.create(ctx, c.unsettled, true)
}

// create makes the attempt's version durable and current. again says that an
// earlier try may have gone in: then only its presence, or that of another
// version in its place, makes the outcome known.
func (c *Catalog) create(ctx context.Context, a *attempt, again bool) error {
	key := Key(a.version.Number)
	err := store.CreateSettled(ctx, c.store, key, a.body, func(existing []byte) bool {
		v, err := format.DecodeVersion(key, existing)
		return err == nil && v.UUID == a.version.UUID && v.Epoch == a.version.Epoch && v.Number == a.version.Number
	})
	switch {
	case err == nil:
		c.unsettled = nil
		failpoint.Hit("catalog.created")
		c.current.Store(&a.version)
		failpoint.Hit("catalog.current")
		return nil
	case errors.Is(err, store.ErrExists):
		c.unsettled = nil
		c.fenced = overtaken(key)
		return c.fenced
	case again || errors.Is(err, lake.ErrUnknownOutcome):
		c.unsettled = a
		return lake.Errorf(lake.CodeUnknownOutcome, "whether %s went in is not known: %w", key, err).
			WithHint("repeat the request with the same Idempotency-Key")
	default:
		return lake.Step("write "+key, err)
	}
}

package change

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tarn/internal/dataset"
	"tarn/internal/lake"
	"tarn/internal/worker"
)

// Limits bound what waits and what is pending. Sizes are bytes.
type Limits struct {
	PendingBytes  int64         // of a dataset's pending deltas and waiting requests
	PendingDeltas int           //
	Wait          time.Duration // how long a request waits for room, and for an unknown outcome
	BatchRows     int64         // of one delta, beyond its first request
	BatchBytes    int64
	Gather        time.Duration // how long a batch waits for as many rows as the last one had
}

// Shared is what all committers of a lake have in common.
type Shared struct {
	Stream *worker.Stream
	Clock  *Clock
	Epoch  int64
	Limits Limits
	Log    *slog.Logger
	Rows   Rows // nil: nobody keeps rows
	// Settling says whether an outcome of the catalog is unknown now, for which
	// exclusive steps may be waiting.
	Settling func() bool
	// Refusing says whether the store refuses calls for now: then nobody waits for an
	// outcome that cannot be known soon. nil: it never does.
	Refusing func() bool
}

// Rows is told which rows of a dataset changed. Both are called by the committers;
// Changed under the stream's lock, in the step that makes the changes visible.
type Rows interface {
	// Watching says whether anybody has use for the keys.
	Watching(tableUUID string) bool
	// Changed names the keys, by their keys.Encoder, of the changes that brought the
	// dataset to a sequence; nil: any.
	Changed(tableUUID string, sequence int64, keys []string)
}

// Committer gives a dataset's sequences out: it takes what waits, makes one
// delta of it, and acknowledges. Its goroutine is the only one that creates
// deltas of the dataset, and exclusive steps run on it, so whatever must stand in
// order with changes passes through its queue.
//
// It ends when the context of Start ends or its dataset is dropped; what waits
// then is answered.
type Committer struct {
	ds     *dataset.Dataset
	shared *Shared

	queue    chan any // *waiting, *prepared or *exclusive
	stopped  chan struct{}
	encoder  encoder
	lastRows int64 // of the last batch
	inflight Inflight

	mu struct {
		sync.Mutex
		queuedBytes int64
		room        chan struct{} // closed and replaced when pending shrinks
	}
}

// queueLength is how many requests can wait before senders block.
const queueLength = 4096

// Start makes a dataset's committer and its goroutine.
func Start(ctx context.Context, ds *dataset.Dataset, shared *Shared) *Committer {
	c := &Committer{ds: ds, shared: shared, queue: make(chan any, queueLength), stopped: make(chan struct{})}
	c.mu.room = make(chan struct{})
	go c.run(ctx)
	return c
}

// Stopped is closed when the committer's goroutine has ended.
func (c *Committer) Stopped() <-chan struct{} { return c.stopped }

// Submit commits a request and waits for its acknowledgement. When ctx ends
// while the request is on its way its outcome is unknown; a retry with the same
// Idempotency-Key settles it.
func (c *Committer) Submit(ctx context.Context, r Request) (Acknowledged, error) {
	if r.Key != "" {
		ack, known, leave, err := c.enter(ctx, r)
		if known || err != nil {
			r.letGo()
			return ack, err
		}
		defer leave()
	}
	if err := c.awaitRoom(ctx, r); err != nil {
		r.letGo()
		return Acknowledged{}, err
	}
	defer c.release(r.Bytes)
	w := &waiting{Request: r, ctx: ctx, done: make(chan answer, 1)}
	if err := c.enqueue(ctx, w, r.Name); err != nil {
		r.letGo()
		return Acknowledged{}, err
	}
	return c.await(ctx, w)
}

// enqueue gives an item to the committer's goroutine.
func (c *Committer) enqueue(ctx context.Context, item any, name lake.Name) error {
	select {
	case c.queue <- item:
		return nil
	case <-ctx.Done():
		return lake.Step("wait for the committer", ctx.Err())
	case <-c.stopped:
		return c.gone(name)
	}
}

// await gives a queued request its answer. It gives up when the client (ctx) does,
// when the request's own context ends before its turn has come, when the committer has
// stopped, and when the outcome of a step before it stays unknown; where the request's
// turn had not come it is sure not to go in.
func (c *Committer) await(ctx context.Context, w *waiting) (Acknowledged, error) {
	until := w.ctx
	late := time.NewTimer(c.shared.Limits.Wait)
	defer late.Stop()
	giveUp := func(err error) (Acknowledged, error) {
		w.letGo()
		return Acknowledged{}, err
	}
	for {
		select {
		case a := <-w.done:
			return a.ack, a.err
		case <-c.stopped:
			if w.take() {
				return giveUp(c.gone(w.Name))
			}
			a := <-w.done // the committer answers whatever it took before it stops
			return a.ack, a.err
		case <-until.Done():
			if w.take() {
				return giveUp(lake.Step("wait for the committer", until.Err()))
			}
			select { // an answer that came at the same instant
			case a := <-w.done:
				return a.ack, a.err
			default:
			}
			if ctx.Err() == nil {
				until = ctx // its time is up, and it is being committed
				continue
			}
			return Acknowledged{}, lake.Errorf(lake.CodeUnknownOutcome, "the request ended while its change was being committed").
				WithHint("send it again with the same Idempotency-Key")
		case <-late.C:
			if c.shared.Settling != nil && c.shared.Settling() && w.take() {
				return giveUp(unsettled("the catalog"))
			}
			late.Reset(time.Second)
		}
	}
}

// unsettled refuses what waits behind a write whose outcome is not known.
func unsettled(what string) error {
	return lake.Errorf(lake.CodeUnavailable, "the outcome of an earlier write (%s) is not known yet; nothing was changed", what).
		WithHint("try again in a moment")
}

func (c *Committer) gone(name lake.Name) error {
	if c.ds.State().Dropped {
		return lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped", name)
	}
	return lake.Errorf(lake.CodeNotReady, "the server is shutting down").WithHint("send it again")
}

// enter looks an Idempotency-Key up, after a request with the same key that is
// under way, and marks this one as under way until leave.
func (c *Committer) enter(ctx context.Context, r Request) (ack Acknowledged, known bool, leave func(), err error) {
	leave, err = c.inflight.Enter(ctx, r.Key)
	if err != nil {
		return ack, false, nil, err
	}
	if o, ok := c.ds.Find(r.Key); ok {
		leave()
		ack, err = r.again(o)
		return ack, err == nil, nil, err
	}
	return ack, false, leave, nil
}

// awaitRoom waits until the request fits the bound of pending changes; one that
// is larger than the bound is admitted alone.
func (c *Committer) awaitRoom(ctx context.Context, r Request) error {
	var late <-chan time.Time
	for {
		c.mu.Lock()
		room := c.mu.room // before the state, or a fold between the two is missed
		c.mu.Unlock()
		deltas, _, bytes := c.ds.State().PendingSize()
		c.mu.Lock()
		fits := bytes+c.mu.queuedBytes == 0 ||
			bytes+c.mu.queuedBytes+r.Bytes <= c.shared.Limits.PendingBytes && deltas < c.shared.Limits.PendingDeltas
		if fits {
			c.mu.queuedBytes += r.Bytes
		}
		c.mu.Unlock()
		if fits {
			return nil
		}
		if late == nil {
			timer := time.NewTimer(c.shared.Limits.Wait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-room:
		case <-ctx.Done():
			return lake.Step("wait for room among the pending changes", ctx.Err())
		case <-c.stopped:
			return c.gone(r.Name)
		case <-late:
			return lake.Errorf(lake.CodePendingFull, "%s has %d pending deltas with %d bytes, its bound", r.Name, deltas, bytes).
				WithHint("compaction is catching up: try again in a moment")
		}
	}
}

func (c *Committer) release(bytes int64) {
	c.mu.Lock()
	c.mu.queuedBytes -= bytes
	c.mu.Unlock()
	c.Room()
}

// Room tells waiting requests that pending changes became fewer.
func (c *Committer) Room() {
	c.mu.Lock()
	close(c.mu.room)
	c.mu.room = make(chan struct{})
	c.mu.Unlock()
}

// run is the committer's goroutine.
func (c *Committer) run(ctx context.Context) {
	defer close(c.stopped)
	for !c.ds.State().Dropped {
		select {
		case <-ctx.Done():
			return
		case item := <-c.queue:
			for item != nil {
				item = c.step(ctx, item)
			}
		}
	}
	c.refuseRest()
}

// step does one item of the queue, together with the requests behind it that
// share its delta, and gives back the first that does not.
func (c *Committer) step(ctx context.Context, item any) (next any) {
	switch it := item.(type) {
	case *exclusive:
		if it.take() {
			it.finish(it.run(ctx, &Held{c: c}))
		}
	case *prepared:
		c.prepared(ctx, it)
	case *waiting:
		c.pace(ctx)
		batch, rest := c.gather(ctx, it)
		c.commit(ctx, batch)
		next = rest
	}
	return next
}

// A committer commits no faster than one batch in pacePause while the worker has
// more than paceBound entries to catch up with, since every query waits for what
// was acknowledged before it. Requests that wait share a delta, so that writers
// lose little by it and the worker catches up.
const (
	paceBound = 2048
	pacePause = 20 * time.Millisecond
)

// pace waits where the worker is too far behind.
func (c *Committer) pace(ctx context.Context) {
	if c.shared.Stream.Behind() <= paceBound {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(pacePause):
	}
}

// gather takes the requests that wait behind first, for at most Limits.Gather
// while they are fewer rows than the last batch had.
func (c *Committer) gather(ctx context.Context, first *waiting) (batch []*waiting, rest any) {
	batch = []*waiting{first}
	if first.File != "" {
		return batch, nil
	}
	var late <-chan time.Time
	rows, bytes := first.Rows, first.Bytes
	for rows < c.shared.Limits.BatchRows && bytes < c.shared.Limits.BatchBytes {
		var item any
		select {
		case item = <-c.queue:
		default:
			if rows >= c.lastRows || ctx.Err() != nil {
				return batch, nil
			}
			if late == nil {
				timer := time.NewTimer(c.shared.Limits.Gather)
				defer timer.Stop()
				late = timer.C
			}
			select {
			case item = <-c.queue:
			case <-late:
				return batch, nil
			}
		}
		w, ok := item.(*waiting)
		if !ok || w.File != "" {
			return batch, item
		}
		batch = append(batch, w)
		rows, bytes = rows+w.Rows, bytes+w.Bytes
	}
	return batch, nil
}

// refuseRest answers what still waits for a dataset that is gone.
func (c *Committer) refuseRest() {
	for {
		select {
		case item := <-c.queue:
			refuse(item, c.gone(c.ds.State().Name))
		default:
			return
		}
	}
}

// refuseBehind answers, until stop, what queues at committers that are held together while
// it is not known whether the delta of one of them went in: none of them goes on before.
func refuseBehind(held []*Committer, key string, stop <-chan struct{}) {
	for {
		for _, c := range held {
			c.refuseWaiting(lake.Delta{Key: key})
		}
		select {
		case <-time.After(time.Second):
		case <-stop:
			return
		}
	}
}

// refuseLate is refuseBehind from when clients have waited for as long as they do, for
// a delta that is small; call what it gives when its outcome is known.
func refuseLate(held []*Committer, key string) (known func()) {
	stop := make(chan struct{})
	var going sync.WaitGroup
	going.Go(func() {
		select {
		case <-time.After(held[0].shared.Limits.Wait):
			refuseBehind(held, key, stop)
		case <-stop:
		}
	})
	return func() {
		close(stop)
		going.Wait()
	}
}

// refuse answers an item of the queue whose turn will not come.
func refuse(item any, err error) {
	switch it := item.(type) {
	case *waiting:
		if it.take() {
			it.answer(Acknowledged{}, err)
			it.letGo()
		}
	case *prepared:
		refuse(it.waiting, err)
	case *exclusive:
		if it.take() {
			it.finish(err)
		}
	}
}

// isUnknown says whether an error leaves open what happened.
func isUnknown(err error) bool { return errors.Is(err, lake.ErrUnknownOutcome) }

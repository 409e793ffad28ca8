package serving

import (
	"context"
	"errors"
	"sync"

	"tarn/internal/lake"
)

// orders are what is asked of the publisher about images, by any goroutine. Who
// asks for what was asked already joins the one who did; an order that nobody
// waits for any more is abandoned.
type orders struct {
	ping chan struct{} // one element: there is something to look at
	mu   struct {
		sync.Mutex
		open   map[orderKey]*order
		queue  []*order
		closed bool
	}
}

type orderKind int

const (
	loadOrder    orderKind = iota // load the image
	projectOrder                  // load a first slice and drop it
	dropOrder                     // drop the image
)

type orderKey struct {
	kind orderKind
	uuid string
}

// order is one request. The publisher sets image and err and closes done.
type order struct {
	orderKey
	after int64 // the stream's number that must be applied first
	done  chan struct{}
	image Image
	err   error

	waiters   int  // guarded by orders.mu
	abandoned bool // likewise
}

func newOrders() *orders {
	o := &orders{ping: make(chan struct{}, 1)}
	o.mu.open = map[orderKey]*order{}
	return o
}

func (o *orders) wake() {
	select {
	case o.ping <- struct{}{}:
	default:
	}
}

// ask gives an order, or joins it, and waits for its end. The end of ctx
// abandons the order where nobody else waits for it.
func (o *orders) ask(ctx context.Context, key orderKey, after int64) (Image, error) {
	o.mu.Lock()
	if o.mu.closed {
		o.mu.Unlock()
		return Image{}, errClosing()
	}
	w := o.mu.open[key]
	if w == nil {
		w = &order{orderKey: key, after: after, done: make(chan struct{})}
		o.mu.open[key] = w
		o.mu.queue = append(o.mu.queue, w)
	}
	w.waiters++
	o.mu.Unlock()
	o.wake()
	select {
	case <-w.done:
		return w.image, w.err
	case <-ctx.Done():
	}
	o.mu.Lock()
	if w.waiters--; w.waiters == 0 && o.mu.open[key] == w {
		w.abandoned = true
		delete(o.mu.open, key)
	}
	o.mu.Unlock()
	o.wake()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Image{}, lake.Errorf(lake.CodeDeadline, "the time was up before the image was ready")
	}
	return Image{}, lake.Errorf(lake.CodeCancelled, "the wait for the image was cancelled")
}

// take gives the orders that came since the last call.
func (o *orders) take() []*order {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.mu.queue
	o.mu.queue = nil
	return out
}

// putOff gives orders back that must wait for more of the stream.
func (o *orders) putOff(later []*order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.queue = append(later, o.mu.queue...)
}

// finish answers an order.
func (o *orders) finish(w *order, image Image, err error) {
	o.mu.Lock()
	if o.mu.open[w.orderKey] == w {
		delete(o.mu.open, w.orderKey)
	}
	o.mu.Unlock()
	w.image, w.err = image, err
	close(w.done)
}

func (o *orders) isAbandoned(w *order) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return w.abandoned
}

// close answers everyone and takes no more.
func (o *orders) close() {
	o.mu.Lock()
	o.mu.closed = true
	open := make([]*order, 0, len(o.mu.open))
	for _, w := range o.mu.open {
		open = append(open, w)
	}
	o.mu.Unlock()
	for _, w := range open {
		o.finish(w, Image{}, errClosing())
	}
}

func errClosing() error { return lake.Errorf(lake.CodeNotReady, "the worker is closing") }

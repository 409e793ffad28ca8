package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// defaultGrace is how long after its deadline or its cancellation a query may take to
// end before its worker counts as hung.
const defaultGrace = 2 * time.Second

// exchange is one query sent to one generation, until the worker ended it. The
// caller's going away does not end it: that asks the worker to, and what then
// happens tells a hung worker from a healthy one. So its HTTP request has a
// context of its own, cut only when the worker is given up or says that it does
// not run the query any more.
type exchange struct {
	g      *generation
	id     string
	caller context.Context
	until  time.Time // the query's deadline, zero for none
	grace  time.Duration
	ctx    context.Context // of the HTTP request
	cut    context.CancelFunc
	given  atomic.Bool // given up and cut
	again  bool        // the worker ran the query twice, for want of memory
	done   func(byWorker bool)

	stop  func() bool // of the watch over caller
	ended sync.Once
	mu    struct {
		sync.Mutex
		timer *time.Timer
		alone func() bool // ends the watch over the generation
		over  bool
	}
}

// exchange begins an exchange; done is called once, when it has ended, and its
// argument says whether the worker ended it. It fails on a dead generation.
func (g *generation) exchange(ctx context.Context, req QueryRequest, grace time.Duration, done func(bool)) (*exchange, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.buried || !g.alive() {
		return nil, errUnsent
	}
	g.work.Add(1)
	g.exchanges.Add(1)
	g.sent.Add(1)
	x := &exchange{g: g, id: req.ID, caller: ctx, until: req.Deadline, grace: grace, done: done}
	x.ctx, x.cut = context.WithCancel(g.ctx)
	x.stop = context.AfterFunc(ctx, x.abandon)
	if !req.Deadline.IsZero() {
		x.arm(time.Until(req.Deadline) + grace)
	}
	return x, nil
}

// ask sends the request and waits for the answer's head. An error that wraps
// errDied says that the worker died before it had sent anything. The exchange
// has ended when ask fails, or else when the answer's body has.
func (x *exchange) ask(req QueryRequest) (*Result, error) {
	// A dead worker's answers are over, also those that nobody reads on: its
	// successor does not wait for slow readers.
	x.mu.Lock()
	x.mu.alone = context.AfterFunc(x.g.ctx, func() { x.finish(false) })
	x.mu.Unlock()
	body, err := json.Marshal(req)
	if err != nil {
		x.finish(false)
		return nil, err
	}
	hreq, err := http.NewRequestWithContext(x.ctx, http.MethodPost, "http://worker/query", bytes.NewReader(body))
	if err != nil {
		x.finish(false)
		return nil, err
	}
	resp, err := x.g.client.Do(hreq)
	if err != nil {
		err = x.broken(err)
		x.finish(false)
		return nil, err
	}
	x.again = resp.Header.Get(againHeader) != ""
	if resp.StatusCode != http.StatusOK {
		err := readError(resp)
		resp.Body.Close()
		_, answered := errors.AsType[*lake.Error](err)
		if !answered {
			err = x.broken(err)
		}
		x.finish(answered)
		return nil, err
	}
	var head headMessage
	if err := decodeHeader(resp.Header.Get(headHeader), &head); err != nil {
		resp.Body.Close()
		x.finish(false)
		return nil, lake.Errorf(lake.CodeInternal, "the worker's answer has no head: %w", err)
	}
	b := &answerBody{x: x, resp: resp}
	return &Result{Head: head.Head, Columns: head.Columns, ContentType: head.ContentType, Body: b, Tail: b.tailNow}, nil
}

// broken words an HTTP exchange that broke, and ends the generation where that
// is the reason.
func (x *exchange) broken(err error) error {
	if x.given.Load() || x.caller.Err() != nil || x.late() {
		// Cut by us, or by the worker at the deadline: its death, if it is one,
		// is for others to find.
		return x.over()
	}
	op, ok := errors.AsType[*net.OpError](err)
	// Where another query found the death, its words are those of all.
	unsent := ok && op.Op == "dial" && !errors.Is(err, context.Cause(x.g.ctx))
	x.g.fail(fmt.Errorf("query %s: %w", x.id, err))
	if unsent {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	return fmt.Errorf("%w: %w", errDied, err)
}

func (x *exchange) late() bool { return !x.until.IsZero() && time.Now().After(x.until) }

// over words the end of a query whose caller went away or whose time was up.
func (x *exchange) over() error {
	if cause := context.Cause(x.caller); cause != nil && !errors.Is(cause, context.Canceled) {
		return ended(cause)
	}
	if x.late() {
		return ended(context.DeadlineExceeded)
	}
	return ended(context.Canceled)
}

// abandon asks the worker to end the query and gives it the grace.
func (x *exchange) abandon() {
	x.arm(x.grace)
	x.g.cancelQuery(x.ctx, x.id)
}

// arm sets the time after which the query is overdue; an earlier one stays.
func (x *exchange) arm(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.over {
		return
	}
	at := time.Now().Add(d)
	if x.mu.timer != nil && !x.until.IsZero() && at.After(x.until.Add(x.grace)) {
		return
	}
	if x.mu.timer != nil {
		x.mu.timer.Stop()
	}
	x.mu.timer = time.AfterFunc(d, x.overdue)
}

// overdue decides between a worker that hangs and a reader that is slow: only
// the first still runs the query.
func (x *exchange) overdue() {
	x.mu.Lock()
	over := x.mu.over
	x.mu.Unlock()
	if over || !x.g.alive() {
		return
	}
	if x.g.runs(x.id) && x.g.alive() {
		x.mu.Lock()
		over = x.mu.over
		x.mu.Unlock()
		if over {
			return
		}
		x.g.log.Warn("a query does not end: its worker is replaced", "query", x.id)
		x.g.hang()
	}
	x.given.Store(true)
	x.finish(false) // the body may have nobody who reads it
}

// finish ends the bookkeeping; byWorker says that the worker ended the query.
func (x *exchange) finish(byWorker bool) {
	x.ended.Do(func() {
		x.stop()
		x.mu.Lock()
		if x.mu.alone != nil {
			x.mu.alone()
		}
		x.mu.over = true
		if x.mu.timer != nil {
			x.mu.timer.Stop()
		}
		x.mu.Unlock()
		x.cut()
		x.done(byWorker)
		x.g.exchanges.Add(-1)
		x.g.work.Done()
	})
}

// answerBody is the encoded answer as it comes. Its end is in the trailer: an
// error there is given by Read as it stands.
type answerBody struct {
	x    *exchange
	resp *http.Response

	mu struct {
		sync.Mutex
		tail   rows.Tail
		err    error // what Read gives from now on
		closed bool
	}
}

func (b *answerBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	err := b.mu.err
	b.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := b.resp.Body.Read(p)
	if err == nil {
		return n, nil
	}
	return n, b.stop(err)
}

// stop turns the end of the HTTP body into the end of the answer.
func (b *answerBody) stop(err error) error {
	var tail rows.Tail
	trailer := b.resp.Trailer.Get(endTrailer)
	byWorker := err == io.EOF && trailer != ""
	if byWorker {
		var end endMessage
		if bad := decodeHeader(trailer, &end); bad != nil {
			err = lake.Errorf(lake.CodeInternal, "the worker's answer has no end: %w", bad)
		} else if end.Error != nil {
			err = end.Error.error()
		}
		tail = end.Tail
	} else {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err = b.x.broken(err); errors.Is(err, errDied) {
			err = &lake.Error{Code: lake.CodeWorkerDied, Msg: "the worker died while it sent the answer",
				Hint: "run the query again", Err: errDied}
		}
	}
	b.mu.Lock()
	b.mu.tail, b.mu.err = tail, err
	b.mu.Unlock()
	b.resp.Body.Close()
	b.x.finish(byWorker)
	return err
}

func (b *answerBody) tailNow() rows.Tail {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.tail
}

// Close ends the answer; before its end that cancels the query. It does not
// wait for the worker.
func (b *answerBody) Close() error {
	b.mu.Lock()
	first := !b.mu.closed
	b.mu.closed = true
	running := b.mu.err == nil
	if running {
		b.mu.err = lake.Errorf(lake.CodeCancelled, "the answer was closed")
	}
	b.mu.Unlock()
	if !first || !running {
		return nil
	}
	go func() { // the exchange is counted until this ends it
		b.x.abandon()
		_, err := io.Copy(io.Discard, b.resp.Body)
		b.resp.Body.Close()
		b.x.finish(err == nil)
	}()
	return nil
}

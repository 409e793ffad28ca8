package query

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/worker"
)

// Limits bound queries.
type Limits struct {
	Concurrency int
	Queue       int
	Timeout     time.Duration // where none is asked for
	MaxTimeout  time.Duration
	MaxSQLBytes int64
}

// Running is a query that runs or waits.
type Running struct {
	ID      string
	Owner   string // who asked, "" where nobody is asked who he is
	SQL     string
	Queued  bool
	Started time.Time
}

// Runner runs the queries of a lake.
type Runner struct {
	Worker *worker.Supervisor
	Stream *worker.Stream
	limits Limits

	admission *admission
	away      *admission // of queries that run elsewhere
	mu        struct {
		sync.Mutex
		running map[string]*entry
	}
}

type entry struct {
	Running
	cancel context.CancelCauseFunc
}

// NewRunner makes a Runner over a worker and the stream it hears.
func NewRunner(w *worker.Supervisor, s *worker.Stream, limits Limits) *Runner {
	r := &Runner{Worker: w, Stream: s, limits: limits, admission: newAdmission(limits.Concurrency, limits.Queue), away: newAdmission(limits.Concurrency, limits.Queue)}
	r.mu.running = map[string]*entry{}
	return r
}

// errCancelled is the cause of a query's end by Cancel.
var errCancelled = lake.Errorf(lake.CodeCancelled, "the query was cancelled")

// Run runs a query and gives its streaming result, which the caller closes. ctx
// is the client's: its end cancels the query, also while it streams. A timeout
// of 0 is the setting's.
func (r *Runner) Run(ctx context.Context, q worker.QueryRequest, timeout time.Duration) (*Result, error) {
	if err := r.CheckSQL(len(q.SQL) - q.AddedBytes); err != nil {
		return nil, err
	}
	timeout, err := r.timeout(timeout)
	if err != nil {
		return nil, err
	}
	q.ID = cmp.Or(q.ID, uuid.NewString())
	q.Deadline = time.Now().Add(timeout)
	q.MaxSQLBytes = int(r.limits.MaxSQLBytes) + q.AddedBytes
	ctx, cancelCause := context.WithCancelCause(ctx)
	ctx, cancelTime := context.WithDeadline(ctx, q.Deadline)
	e := &entry{Running: Running{ID: q.ID, Owner: q.Owner, SQL: q.SQL, Queued: true, Started: time.Now()}, cancel: cancelCause}
	if !q.Within {
		r.add(e)
	}
	end := sync.OnceFunc(func() {
		if !q.Within {
			r.remove(q.ID)
		}
		cancelTime()
		cancelCause(nil)
	})
	leave, err := r.admission.enter(ctx, q.Owner)
	if err != nil {
		end()
		return nil, explain(ctx, err, timeout)
	}
	r.setRunning(q.ID)
	q.See = r.Stream.End()
	res, err := r.Worker.Query(ctx, q)
	if err != nil {
		leave()
		end()
		return nil, explain(ctx, err, timeout)
	}
	return &Result{Result: res, ID: q.ID, Deadline: q.Deadline, ctx: ctx, timeout: timeout, close: sync.OnceFunc(func() {
		res.Body.Close()
		leave()
		end()
	})}, nil
}

// CheckSQL refuses a text of too many bytes.
func (r *Runner) CheckSQL(bytes int) error {
	if int64(bytes) > r.limits.MaxSQLBytes {
		return lake.Errorf(lake.CodeTooLarge, "the SQL has %d bytes; max_sql_bytes is %d", bytes, r.limits.MaxSQLBytes)
	}
	return nil
}

// Statement is something that takes a query's time and asks queries within it: it is
// listed and can be cancelled like one. Its queries run with Within set and in Context.
type Statement struct {
	Context  context.Context // ends with the client's, at the deadline and by Cancel
	Deadline time.Time

	r       *Runner
	id      string
	owner   string
	timeout time.Duration
	left    func() // the place among queries that run elsewhere; nil: it has none
	end     func()
}

// Begin begins a statement. Call End in the end.
func (r *Runner) Begin(ctx context.Context, id, owner, sql string, timeout time.Duration) (*Statement, error) {
	if err := r.CheckSQL(len(sql)); err != nil {
		return nil, err
	}
	timeout, err := r.timeout(timeout)
	if err != nil {
		return nil, err
	}
	s := &Statement{r: r, id: cmp.Or(id, uuid.NewString()), owner: owner, timeout: timeout, Deadline: time.Now().Add(timeout)}
	ctx, cancelCause := context.WithCancelCause(ctx)
	ctx, cancelTime := context.WithDeadline(ctx, s.Deadline)
	s.Context = ctx
	r.add(&entry{Running: Running{ID: s.id, Owner: owner, SQL: sql, Queued: true, Started: time.Now()}, cancel: cancelCause})
	s.end = sync.OnceFunc(func() {
		if s.left != nil {
			s.left()
		}
		r.remove(s.id)
		cancelTime()
		cancelCause(nil)
	})
	return s, nil
}

// Turn says that the statement waits no more.
func (s *Statement) Turn() { s.r.setRunning(s.id) }

// ID is the statement's, as List has it.
func (s *Statement) ID() string { return s.id }

// Away waits for a place among the queries that run elsewhere, of which there are as many
// as of those that run here; the statement's end leaves it.
func (s *Statement) Away() (err error) {
	s.left, err = s.r.away.enter(s.Context, s.owner)
	return err
}

// Another is when something that begins now must have ended that gets as much time as
// the statement got.
func (s *Statement) Another() time.Time { return time.Now().Add(s.timeout) }

// Explain says in words why the statement's context ended, where that is the reason of
// an error.
func (s *Statement) Explain(err error) error {
	if err == nil || s.Context.Err() == nil {
		return err
	}
	switch lake.CodeOf(err) {
	case lake.CodeCancelled, lake.CodeDeadline:
		return explain(s.Context, err, s.timeout)
	}
	return err
}

// End ends the statement. It may be called twice.
func (s *Statement) End() { s.end() }

// timeout is what a query gets that asks for one, 0 for none.
func (r *Runner) timeout(asked time.Duration) (time.Duration, error) {
	switch {
	case asked < 0:
		return 0, lake.Errorf(lake.CodeInvalidRequest, "a timeout must be positive")
	case asked == 0:
		return min(r.limits.Timeout, r.limits.MaxTimeout), nil
	case asked > r.limits.MaxTimeout:
		return 0, lake.Errorf(lake.CodeInvalidRequest, "the timeout %s is above max_query_timeout (%s)", asked, r.limits.MaxTimeout)
	}
	return asked, nil
}

// Deadline is when a query that begins now must have ended.
func (r *Runner) Deadline(timeout time.Duration) (time.Time, error) {
	timeout, err := r.timeout(timeout)
	return time.Now().Add(timeout), err
}

// explain says in words why a query's context ended.
func explain(ctx context.Context, err error, timeout time.Duration) error {
	// The worker has the same deadline, and may notice it first.
	if until, ok := ctx.Deadline(); ctx.Err() == nil && (!ok || time.Now().Before(until)) {
		return err
	}
	switch cause := context.Cause(ctx); {
	case lake.CodeOf(err) == lake.CodeOutOfMemory && cause != errCancelled:
		// It waited for memory until its time was up: why it waited tells more.
		return err
	case cause == errCancelled:
		return errCancelled
	case cause == nil || cause == context.DeadlineExceeded:
		return lake.Errorf(lake.CodeDeadline, "the query did not end within %s", timeout).
			WithHint("ask for less, or for more time by timeout")
	}
	return err
}

// Result is a running query's answer. Close it always.
type Result struct {
	*worker.Result
	ID       string
	Deadline time.Time

	ctx     context.Context
	timeout time.Duration
	close   func()
}

// Read reads the encoded answer; an error after the first byte is a *lake.Error.
func (r *Result) Read(p []byte) (int, error) {
	n, err := r.Body.Read(p)
	if err != nil && err != io.EOF {
		err = explain(r.ctx, err, r.timeout)
	}
	return n, err
}

// Close ends the query if it still runs. It may be called twice.
func (r *Result) Close() error {
	r.close()
	return nil
}

func (r *Runner) add(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.running[e.ID] = e
}

func (r *Runner) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.running, id)
}

func (r *Runner) setRunning(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.mu.running[id]; e != nil {
		e.Queued = false
	}
}

// Busy says whether a query runs or waits.
func (r *Runner) Busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mu.running) > 0
}

// List gives the queries that run or wait, oldest first.
func (r *Runner) List() []Running {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Running, 0, len(r.mu.running))
	for _, e := range r.mu.running {
		out = append(out, e.Running)
	}
	slices.SortFunc(out, func(a, b Running) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// NotFound is the error for an id that no running query has.
func NotFound(id string) error {
	return lake.Errorf(lake.CodeQueryNotFound, "no query %q is running", id)
}

// Cancel ends a query. One that is not known is CodeQueryNotFound.
func (r *Runner) Cancel(id string) (Running, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.mu.running[id]
	if e == nil {
		return Running{}, NotFound(id)
	}
	e.cancel(errCancelled)
	return e.Running, nil
}

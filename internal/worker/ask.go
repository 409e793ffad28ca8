package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"tarn/internal/lake"
)

// Query runs a read and gives its answer as it streams. Where the worker dies
// before it sent anything, the query is tried once more on the next one.
//
// The end of ctx and the request's deadline both end the query, at any time.
// Besides the errors of the query itself: CodeNotReady when no worker came up in
// time, CodeWorkerDied when the worker died after the first byte or twice,
// CodeDeadline, CodeCancelled.
func (s *Supervisor) Query(ctx context.Context, req QueryRequest) (*Result, error) {
	s.queries.Add(1)
	sus := suspectOf(req)
	if err := s.suspects.check(sus); err != nil {
		s.refused.Add(1)
		return nil, err
	}
	for tries := 0; ; {
		turn, err := s.turn(ctx, req.Deadline, sus)
		if err != nil {
			return nil, err
		}
		g, err := s.ready(ctx, req.Deadline)
		if err != nil {
			turn.leave()
			return nil, err
		}
		turn.begin()
		res, err := s.send(ctx, g, req, sus, turn.leave)
		switch {
		case err == nil:
			res.Retried = tries > 0
			return res, nil
		case errors.Is(err, errUnsent): // it never reached that worker
		case errors.Is(err, errDied):
			if refused := s.suspects.died(sus, g.number); refused != nil {
				s.refused.Add(1)
				return nil, refused
			}
			if tries++; tries > 1 {
				return nil, lake.Errorf(lake.CodeWorkerDied, "the worker died twice under the query").
					WithHint("run the query again; the server's log says how the worker ended")
			}
			s.retried.Add(1)
		default:
			return nil, err
		}
	}
}

// turn waits until a suspect may begin.
func (s *Supervisor) turn(ctx context.Context, deadline time.Time, sus suspect) (turn, error) {
	if !deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline)
		defer stop()
	}
	return s.suspects.enter(ctx, sus)
}

// send gives the query to one generation and keeps it findable by its id; leave ends
// its turn.
func (s *Supervisor) send(ctx context.Context, g *generation, req QueryRequest, sus suspect, leave func()) (*Result, error) {
	x, err := g.exchange(ctx, req, s.o.Grace, func(byWorker bool) {
		leave()
		if byWorker {
			s.suspects.ended(sus)
		}
		s.mu.Lock()
		delete(s.mu.inFlight, req.ID)
		s.mu.Unlock()
	})
	if err != nil {
		leave()
		return nil, err
	}
	s.mu.Lock()
	_, twice := s.mu.inFlight[req.ID]
	if !twice {
		s.mu.inFlight[req.ID] = x
	}
	s.mu.Unlock()
	if twice {
		x.done = func(bool) { leave() }
		x.finish(false)
		return nil, lake.Errorf(lake.CodeInternal, "two queries have the id %q", req.ID)
	}
	req.Caller = maphash.String(s.callers, req.Owner)
	res, err := x.ask(req)
	if x.again {
		s.again.Add(1)
	}
	return res, err
}

// Cancel ends a query by its id; its answer ends with CodeCancelled. It fails
// with CodeQueryNotFound where none of that id runs.
func (s *Supervisor) Cancel(id string) error {
	s.mu.Lock()
	x := s.mu.inFlight[id]
	s.mu.Unlock()
	if x == nil {
		return lake.Errorf(lake.CodeQueryNotFound, "no query %q is running", id)
	}
	x.abandon()
	return nil
}

// ready waits for a living generation.
func (s *Supervisor) ready(ctx context.Context, deadline time.Time) (*generation, error) {
	if !deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline)
		defer stop()
	}
	for {
		s.mu.Lock()
		g, changed, reason := s.mu.current, s.mu.changed, s.mu.reason
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			return nil, lake.Errorf(lake.CodeNotReady, "the server is closing")
		}
		if g != nil && g.alive() {
			return g, nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ended(context.Cause(ctx))
			}
			return nil, lake.Errorf(lake.CodeNotReady, "no worker is ready: %s", reason).WithHint("try again shortly")
		case <-changed:
		}
	}
}

// Generation is the number of the worker that answers now, 0 for none.
func (s *Supervisor) Generation() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.current == nil {
		return 0
	}
	return s.mu.current.number
}

// A crash loop is so many starts in a row that failed or did not last: a worker
// that starts then is held for ready once it has lasted.
const crashLoop = 3

// reasonBytes bounds how much of a dead worker's words a Health repeats.
const reasonBytes = 300

// Health says whether queries are answered now. In a crash loop it says so, and when
// the next start is tried.
func (s *Supervisor) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := Health{Reason: clip(s.mu.reason, reasonBytes), Failures: s.mu.failures}
	looping := h.Failures >= crashLoop
	if g := s.mu.current; g != nil && g.alive() {
		h.Generation, h.PID = g.number, g.proc.pid()
		if !looping || time.Since(g.began) > settled {
			return Health{Ready: true, Generation: h.Generation, PID: h.PID}
		}
		h.Reason = fmt.Sprintf("the worker failed %d times in a row, and the present one has yet to last %s: %s", h.Failures, settled, h.Reason)
		return h
	}
	if h.Reason == "" {
		h.Reason = "the worker is being replaced"
	}
	if wait := time.Until(s.mu.nextStart); looping && wait > 0 {
		at := s.mu.nextStart.UTC()
		h.NextStart = &at
		h.Reason = fmt.Sprintf("the worker failed %d times in a row, and is started again in %s: %s", h.Failures, wait.Round(100*time.Millisecond), h.Reason)
	}
	return h
}

// Stats gives the counts so far.
func (s *Supervisor) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Restarts: s.mu.number - 1, Queries: s.queries.Load(), Retried: s.retried.Load(), RetriedForMemory: s.again.Load(),
		Hung: s.hung.Load(), Running: len(s.mu.inFlight),
	}
	if g := s.mu.current; g != nil {
		st.Generation, st.PID = g.number, g.proc.pid()
	}
	return st
}

// Status asks the worker of itself.
func (s *Supervisor) Status(ctx context.Context) (Status, error) {
	g, err := s.ready(ctx, time.Time{})
	if err != nil {
		return Status{}, err
	}
	st, err := g.status(ctx)
	if err != nil {
		return Status{}, lake.Errorf(lake.CodeNotReady, "the worker does not say how it is: %w", g.cause(err))
	}
	return st, nil
}

// Released gives a number of the stream up to which every running query, in
// every worker that still lives, sees the entries: files that these took away
// are read by nobody here any more. It only grows while a worker lives.
func (s *Supervisor) Released(ctx context.Context) int64 {
	s.mu.Lock()
	least := s.stream.End()
	living := make([]*generation, 0, len(s.mu.living))
	for g := range s.mu.living {
		living = append(living, g)
	}
	s.mu.Unlock()
	for _, g := range living {
		if g.alive() && g.ready.Load() {
			ctx, stop := context.WithTimeout(ctx, callTimeout)
			_, _ = g.status(ctx) // one that does not answer keeps what it last said
			stop()
		}
		least = min(least, g.released.Load())
	}
	return least
}

// Kill kills the current worker as a crash would: for tests.
func (s *Supervisor) Kill() {
	s.mu.Lock()
	g := s.mu.current
	s.mu.Unlock()
	if g != nil {
		g.proc.kill()
	}
}

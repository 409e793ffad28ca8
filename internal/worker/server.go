package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/walls"
)

// backend answers the messages: internal/serving, or a stand-in in tests.
// Every error it gives is one for the caller, except one that dead says ends
// the worker.
type backend interface {
	Replay(ctx context.Context, entries []lake.Entry, end int64) error
	// Hear gives the number of the last entry that queries see.
	Hear(ctx context.Context, entries []lake.Entry) (applied int64, err error)
	Query(ctx context.Context, req QueryRequest) (answer, error)
	// Retry runs run, which asks a query and sends the answer, and once more where the
	// query ran out of memory beside others and nothing was sent.
	Retry(ctx context.Context, caller uint64, sent func() bool, run func(context.Context) error) error
	Image(ctx context.Context, verb string, m imageMessage) (Image, error)
	Images() Images
	Status(ctx context.Context) Status
	Close() error
}

// answer is a running query's result; Next gives io.EOF at its end.
type answer interface {
	Head() rows.Head
	Columns() []rows.Column
	Schema() *arrow.Schema
	Next(ctx context.Context) (arrow.RecordBatch, error)
	Close()
}

// fatal marks an error after which the worker cannot go on.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// server serves the messages inside the worker.
type server struct {
	backend backend
	log     *slog.Logger
	die     func(error) // ends this worker
	walls   walls.Report

	mu struct {
		sync.Mutex
		running map[string]running
	}
}

type running struct {
	cancel   context.CancelCauseFunc
	deadline time.Time
}

func newServer(b backend, log *slog.Logger, die func(error), standing walls.Report) *server {
	s := &server{backend: b, log: log, die: die, walls: standing}
	s.mu.running = map[string]running{}
	return s
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /replay", s.replay)
	mux.HandleFunc("POST /hear", s.hear)
	mux.HandleFunc("POST /query", s.query)
	mux.HandleFunc("POST /cancel/{id}", s.cancel)
	mux.HandleFunc("GET /running/{id}", s.isRunning)
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("POST /image/{verb}", s.image)
	mux.HandleFunc("GET /images", s.images)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A query's write deadline stays with its connection: take it off.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		mux.ServeHTTP(w, r)
	})
}

func (s *server) replay(w http.ResponseWriter, r *http.Request) {
	var m replayMessage
	if s.read(w, r, &m) {
		s.done(w, s.backend.Replay(r.Context(), m.Entries, m.End))
	}
}

func (s *server) hear(w http.ResponseWriter, r *http.Request) {
	var m hearMessage
	if s.read(w, r, &m) {
		applied, err := s.backend.Hear(r.Context(), m.Entries)
		if s.done(w, err); err == nil {
			_ = json.NewEncoder(w).Encode(heardMessage{Applied: applied}) // nobody listens any more
		}
	}
}

func (s *server) read(w http.ResponseWriter, r *http.Request, m any) bool {
	if err := json.NewDecoder(r.Body).Decode(m); err != nil {
		writeError(w, toWire(lake.Errorf(lake.CodeInternal, "worker message %s: %w", r.URL.Path, err)))
		return false
	}
	// The server notices that a client went away only once the body is read.
	_, _ = io.Copy(io.Discard, r.Body)
	return true
}

func (s *server) done(w http.ResponseWriter, err error) {
	if err != nil {
		s.fatal(err)
		writeError(w, toWire(err))
		return
	}
	w.WriteHeader(http.StatusOK)
}

// fatal ends the worker where the error says that it cannot go on.
func (s *server) fatal(err error) bool {
	if _, ok := errors.AsType[fatal](err); ok {
		s.die(err)
		return true
	}
	return false
}

func (s *server) query(w http.ResponseWriter, r *http.Request) {
	var req QueryRequest
	if !s.read(w, r, &req) {
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	if !req.Deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, req.Deadline)
		defer stop()
	}
	// A reader that is too slow is cut: deadline and cancelling cover sending.
	cutting := make(chan struct{})
	uncut := context.AfterFunc(ctx, func() {
		defer close(cutting)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendGrace))
	})
	defer func() {
		if !uncut() {
			<-cutting // w is not ours any more once we return
		}
	}()
	if !s.enter(req, cancel) {
		writeError(w, toWire(lake.Errorf(lake.CodeInternal, "query %s runs already", req.ID)))
		return
	}
	defer s.leave(req.ID)

	out := &held{w: w}
	tail, err := s.run(ctx, req, out)
	if err != nil {
		if s.fatal(err) {
			// The death is the answer: the supervisor tries the query again on a
			// new worker unless bytes went out.
			panic(http.ErrAbortHandler)
		}
		if cause := context.Cause(ctx); cause != nil {
			switch lake.CodeOf(err) {
			case lake.CodeCancelled, lake.CodeDeadline, lake.CodeInternal: // what the end of a context looks like
				err = ended(cause)
			}
		}
	}
	out.end(endMessage{Tail: tail, Error: toWire(err)})
}

// sendGrace is what remains after a query's end by force to send its error.
const sendGrace = 100 * time.Millisecond

// ended words the end of a query's context.
func ended(cause error) error {
	if e, ok := errors.AsType[*lake.Error](cause); ok {
		return e
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return lake.Errorf(lake.CodeDeadline, "the query's time was up").
			WithHint("ask for less, or give it a longer timeout")
	}
	return lake.Errorf(lake.CodeCancelled, "the query was cancelled")
}

func (s *server) run(ctx context.Context, req QueryRequest, out *held) (tail rows.Tail, err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			s.log.Error("a query panicked", "query", req.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = lake.Errorf(lake.CodeInternal, "query %s: a defect of tarn: %v", req.ID, p)
		}
	}()
	start := time.Now()
	runs := 0
	err = s.backend.Retry(ctx, req.Caller, func() bool { return out.sent }, func(ctx context.Context) (err error) {
		runs++
		out.again = runs > 1
		tail, err = s.deliver(ctx, req, out, start)
		return err
	})
	return tail, err
}

// deliver asks a query and sends its answer.
func (s *server) deliver(ctx context.Context, req QueryRequest, out *held, start time.Time) (tail rows.Tail, err error) {
	ans, err := s.backend.Query(ctx, req)
	if err != nil {
		return tail, err
	}
	defer ans.Close()
	out.head = headMessage{Head: ans.Head(), Columns: ans.Columns(), ContentType: req.Format.ContentType()}
	enc := rows.NewEncoder(req.Format, out)
	if err := enc.Begin(ans.Columns(), ans.Schema(), ans.Head()); err != nil {
		return tail, err
	}
	for {
		rec, err := ans.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return tail, err
		}
		tail.RowCount += rec.NumRows()
		err = enc.Write(rec)
		rec.Release()
		if err != nil {
			return tail, err
		}
	}
	tail.ElapsedMS = float64(time.Since(start).Microseconds()) / 1000
	return tail, enc.End(tail)
}

func (s *server) enter(req QueryRequest, cancel context.CancelCauseFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.mu.running[req.ID]; twice {
		return false
	}
	s.mu.running[req.ID] = running{cancel: cancel, deadline: req.Deadline}
	return true
}

func (s *server) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.running, id)
}

func (s *server) cancel(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	q, ok := s.mu.running[r.PathValue("id")]
	s.mu.Unlock()
	if ok {
		q.cancel(lake.Errorf(lake.CodeCancelled, "the query was cancelled"))
	}
	s.writeJSON(w, runningMessage{Running: ok})
}

func (s *server) isRunning(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	_, ok := s.mu.running[r.PathValue("id")]
	s.mu.Unlock()
	s.writeJSON(w, runningMessage{Running: ok})
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	st := s.backend.Status(r.Context())
	st.PID, st.Walls = os.Getpid(), s.walls
	s.mu.Lock()
	st.Running = len(s.mu.running)
	for id, q := range s.mu.running {
		if !q.deadline.IsZero() && time.Now().After(q.deadline) {
			st.Overdue = append(st.Overdue, id)
		}
	}
	s.mu.Unlock()
	s.writeJSON(w, st)
}

// image answers when it is done: the client's going away ends the wait.
func (s *server) image(w http.ResponseWriter, r *http.Request) {
	var m imageMessage
	if !s.read(w, r, &m) {
		return
	}
	image, err := s.backend.Image(r.Context(), r.PathValue("verb"), m)
	s.fatal(err)
	s.writeJSON(w, imageAnswer{Image: image, Error: toWire(err)})
}

func (s *server) images(w http.ResponseWriter, _ *http.Request) { s.writeJSON(w, s.backend.Images()) }

func (s *server) writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a reader that is gone needs no answer
}

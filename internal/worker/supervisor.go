package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Options say how workers are started.
type Options struct {
	// Command is the argv of a worker process (`tarn worker`). nil runs the
	// worker inside this process: for tests, without any isolation.
	Command []string
	Env     []string // all of the worker's environment
	// Dir holds the scratch folders; "" is a temporary folder. Sockets always
	// lie in a temporary folder, since their paths must be short.
	Dir  string
	Open Open         // Generation and Scratch are set for each worker
	Log  *slog.Logger // nil: slog.Default()
	// Grace is how long a query may take to end after its deadline or its
	// cancellation before its worker is replaced; 0 is 2 s.
	Grace time.Duration

	backend makeBackend // tests; nil is internal/serving
}

// Result is a streaming answer.
type Result struct {
	Head        rows.Head
	Columns     []rows.Column
	ContentType string
	// Body gives the encoded bytes as they come. An error after the first byte
	// is a read error of type *lake.Error. Closing before the end cancels the
	// query; Close never waits.
	Body    io.ReadCloser
	Tail    func() rows.Tail // valid once Body gave io.EOF
	Retried bool             // the worker died under the first try
}

// Stats count what happened since Start.
type Stats struct {
	PID        int   `json:"pid"`
	Generation int64 `json:"generation"`
	Restarts   int64 `json:"restarts"` // generations after the first
	Queries    int64 `json:"queries"`  // asked for
	Retried    int64 `json:"retried"`  // sent to a second worker
	// RetriedForMemory were run twice by one worker, as they had run out of memory.
	RetriedForMemory int64 `json:"retried_for_memory"`
	Hung             int64 `json:"hung"`    // workers replaced because a query did not end
	Running          int   `json:"running"` // queries in flight now
}

// Health says whether queries are answered.
type Health struct {
	Ready      bool   `json:"ready"`
	Reason     string `json:"reason,omitempty"` // why not
	Generation int64  `json:"generation"`
	PID        int    `json:"pid,omitempty"`
	Failures   int    `json:"failures,omitempty"` // starts in a row that failed or did not last
	// NextStart is when the next start is tried, while starts are held back.
	NextStart *time.Time `json:"next_start,omitempty"`
}

// Supervisor keeps one worker alive and hands queries to it.
//
// One goroutine starts generations: the next one when the current is dead, or
// beside it when a query hangs in it. It alone changes what is current. A
// generation that was replaced is drained, killed and buried in the background.
type Supervisor struct {
	o        Options
	dir      runDir
	stream   *Stream
	suspects *suspects

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	queries, retried, again, refused, hung atomic.Int64
	callers                                maphash.Seed

	mu struct {
		sync.Mutex
		current  *generation
		living   map[*generation]struct{} // starting, current and draining
		number   int64
		changed  chan struct{} // closed when current changes
		failures int
		reason   string
		// nextStart is when the next start is tried, while starts are held back.
		nextStart time.Time
		inFlight  map[string]*exchange
		past      []Life           // the last that died, oldest first
		deaths    map[string]int64 // by reason
	}
}

// Start starts the first worker and waits until it heard its replay.
func Start(ctx context.Context, o Options, stream *Stream) (*Supervisor, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	dir, err := newRunDir()
	if err != nil {
		return nil, lake.Step("start the worker", err)
	}
	s := &Supervisor{o: o, dir: dir, stream: stream, suspects: newSuspects(), callers: maphash.MakeSeed()}
	s.mu.living = map[*generation]struct{}{}
	s.mu.inFlight = map[string]*exchange{}
	s.mu.deaths = map[string]int64{}
	s.mu.changed = make(chan struct{})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	g, err := s.next(ctx)
	if err != nil {
		s.cancel()
		_ = dir.remove() // the next server takes away what stays
		return nil, lake.Step("start the worker", err)
	}
	s.work.Go(func() { s.keep(g) })
	return s, nil
}

// next starts a generation and makes it current.
func (s *Supervisor) next(ctx context.Context) (*generation, error) {
	s.mu.Lock()
	s.mu.number++
	g := newGeneration(s.mu.number, s.dir.path, s.o, s.stream)
	s.mu.living[g] = struct{}{}
	s.mu.Unlock()
	if err := g.start(ctx, s.o, s.stream); err != nil {
		if ctx.Err() == nil {
			s.dead(g)
		}
		s.forget(g)
		return nil, err
	}
	g.log.Info("worker started", "pid", g.proc.pid())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.current = g
	s.wake()
	return g, nil
}

// wake tells those who wait for a worker; mu is held.
func (s *Supervisor) wake() {
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// A generation that dies within settled of its start counts as a failed start.
const settled = 5 * time.Second

// backOff is the pause before the start after n failures in a row: none after
// the first, then 0.1 s, doubled up to 5 s.
func backOff(n int) time.Duration {
	if n < 2 {
		return 0
	}
	return min(100*time.Millisecond<<min(n-2, 10), 5*time.Second)
}

// keep replaces generations until the supervisor is closed.
func (s *Supervisor) keep(g *generation) {
	for {
		began := time.Now()
		pulse := g
		s.work.Go(func() { s.feel(pulse) })
		select {
		case <-s.ctx.Done():
			s.retire(g)
			return
		case <-g.ctx.Done():
			s.lost(g, time.Since(began) < settled)
			g.bury()
			s.dead(g)
			s.forget(g)
		case <-g.hung:
			s.hung.Add(1)
		}
		old := g
		if g = s.replace(); g == nil {
			s.retire(old)
			return
		}
		if old.alive() {
			s.work.Go(func() { s.drain(old) })
		} else {
			s.retire(old)
		}
	}
}

// A worker that leaves so many questions in a row unanswered is hung, whoever waits
// for it. They are counted, not timed, as all of the machine can stand still.
const (
	pulseEvery  = 2 * time.Second // also the time for the answer
	pulseMisses = 5
)

// feel asks a generation for a sign of life until it is dead or silent, also
// while it is drained.
func (s *Supervisor) feel(g *generation) {
	for missed := 0; missed < pulseMisses; {
		select {
		case <-g.ctx.Done():
			return
		case <-time.After(pulseEvery):
		}
		ctx, stop := context.WithTimeout(g.ctx, pulseEvery)
		var m runningMessage
		err := g.call(ctx, http.MethodGet, "/running/none", nil, &m)
		stop()
		if err == nil {
			missed = 0
		} else {
			missed++
		}
	}
	if g.alive() {
		g.log.Error("the worker answers nothing: it is replaced", "unanswered", pulseMisses)
		g.silent.Store(true)
		g.hang()
	}
}

// replace starts generations until one stands; nil when the supervisor closes.
func (s *Supervisor) replace() *generation {
	for {
		s.mu.Lock()
		pause := backOff(s.mu.failures)
		s.mu.nextStart = time.Now().Add(pause)
		s.mu.Unlock()
		select {
		case <-s.ctx.Done():
			return nil
		case <-time.After(pause):
		}
		g, err := s.next(s.ctx)
		if err == nil {
			return g
		}
		if s.ctx.Err() != nil {
			return nil
		}
		s.o.Log.Error("the worker does not start", "error", err)
		s.mu.Lock()
		s.mu.failures++
		s.mu.reason = fmt.Sprintf("the worker does not start: %v", err)
		s.mu.Unlock()
	}
}

// lost notes a death.
func (s *Supervisor) lost(g *generation, soon bool) {
	cause := g.cause(context.Cause(g.ctx))
	g.log.Error("the worker died: a new one is started", "pid", g.proc.pid(), "error", cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	if soon {
		s.mu.failures++
	} else {
		s.mu.failures = 1
	}
	s.mu.reason = fmt.Sprintf("the worker died: %v", cause)
	if s.mu.current == g {
		s.mu.current = nil
	}
}

// drainLimit is how long a replaced generation may finish its other queries, which
// end by their own deadlines; it is for those that have none.
const drainLimit = time.Hour

// drain lets a replaced generation end its queries, all but those that hang,
// and ends it. A silent one ends none: theirs are tried on its successor.
func (s *Supervisor) drain(g *generation) {
	ctx, stop := context.WithTimeout(s.ctx, drainLimit)
	defer stop()
	if o, ok := g.proc.(*outside); ok {
		yieldFirst(o.pid())
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for g.exchanges.Load() > 0 && ctx.Err() == nil && g.alive() && !g.silent.Load() {
		select {
		case <-ctx.Done():
		case <-g.ctx.Done():
		case <-tick.C:
		}
	}
	s.retire(g)
}

// retire ends a generation and waits until nothing of it is left.
func (s *Supervisor) retire(g *generation) {
	g.fail(errors.New("the worker was replaced"))
	g.bury()
	if s.ctx.Err() == nil {
		s.dead(g)
	}
	s.forget(g)
}

func (s *Supervisor) forget(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.living, g)
	if s.mu.current == g {
		s.mu.current = nil
	}
}

// Close kills the workers and waits until nothing of them is left: no process,
// goroutine, socket or scratch. It can be called twice.
func (s *Supervisor) Close() error {
	s.cancel()
	s.mu.Lock()
	s.wake()
	s.mu.Unlock()
	s.work.Wait()
	return s.dir.remove()
}

package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tarn/internal/lake"
)

// generation is one life of the worker: starting (replay), live, then hung or
// dead. The first failure of its socket, its feed or its process makes it dead
// for good: it is killed, and nobody waits for it any more.
type generation struct {
	number  int64
	proc    process
	client  *http.Client
	feed    *feed
	floor   int64 // the stream's number of its replay
	socket  string
	scratch string
	began   time.Time
	log     *slog.Logger

	ctx  context.Context // ends with the generation; the cause says why
	end  context.CancelCauseFunc
	hung chan struct{} // closed when a query, or all of it, does not end
	once sync.Once
	work sync.WaitGroup // feeder and exchanges

	ready     atomic.Bool // it heard its replay
	silent    atomic.Bool // it answers nothing any more
	exchanges atomic.Int64
	released  atomic.Int64 // as last heard
	sent      atomic.Int64 // exchanges begun
	pid       atomic.Int64 // 0 before its process was started
	noted     atomic.Bool  // among the dead
	last      atomic.Pointer[Status]

	mu struct {
		sync.Mutex
		buried bool // no exchange begins any more
	}
}

// errDied is wrapped by errors of a query whose worker died under it before it
// had sent anything; errUnsent where the query had not even reached it.
var (
	errDied   = errors.New("the worker died")
	errUnsent = errors.New("the worker was gone")
	errExited = errors.New("worker process ended")
)

// newGeneration prepares a generation. From now on it holds what a replay
// taken later may name: released starts at the stream's end of this moment.
func newGeneration(number int64, dir string, o Options, stream *Stream) *generation {
	g := &generation{
		number:  number,
		began:   time.Now(),
		socket:  filepath.Join(dir, fmt.Sprintf("w%d", number)),
		scratch: filepath.Join(dir, fmt.Sprintf("s%d", number)),
		log:     o.Log.With("worker_generation", number),
		hung:    make(chan struct{}),
	}
	if o.Dir != "" {
		g.scratch = filepath.Join(o.Dir, fmt.Sprintf("worker-%d-%d", os.Getpid(), number))
	}
	g.ctx, g.end = context.WithCancelCause(context.Background())
	g.released.Store(stream.End())
	return g
}

// start starts the worker on its fresh socket and scratch folder and gives it
// its replay. After an error nothing of the generation is left.
func (g *generation) start(ctx context.Context, o Options, stream *Stream) (err error) {
	defer func() {
		if err != nil {
			g.fail(err)
			g.bury()
		}
	}()
	if err := os.MkdirAll(g.scratch, 0o700); err != nil {
		return err
	}
	if err := g.launch(o); err != nil {
		return err
	}
	g.pid.Store(int64(g.proc.pid()))
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", g.socket)
		},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    64,
		ReadBufferSize:         64 << 10,
		MaxResponseHeaderBytes: headLimits,
	}
	g.client = &http.Client{Transport: transport}
	g.work.Go(func() {
		select {
		case <-g.proc.exited():
			g.fail(fmt.Errorf("%w: %d: %s", errExited, g.proc.pid(), g.proc.why()))
		case <-g.ctx.Done():
		}
	})
	stop := context.AfterFunc(ctx, func() { g.fail(ctx.Err()) })
	defer stop()
	replay, end, f := stream.subscribe()
	g.feed, g.floor = f, end
	if err := g.post(g.ctx, "/replay", replayMessage{Entries: replay, End: end}, nil); err != nil {
		return g.cause(err)
	}
	g.released.Store(end)
	if _, err := g.status(g.ctx); err != nil {
		return g.cause(err)
	}
	g.ready.Store(true)
	g.work.Go(g.feedIt)
	return nil
}

func (g *generation) launch(o Options) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: g.socket, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	open := o.Open
	open.Generation, open.Scratch = g.number, g.scratch
	if o.Command == nil {
		mk := o.backend
		if mk == nil {
			mk = openServing
		}
		g.proc = startInside(open, l, g.log, mk)
		return nil
	}
	defer l.Close() // the worker has its own descriptor of it
	p, err := startOutside(o.Command, o.Env, open, l, g.log)
	if err != nil {
		return err
	}
	g.proc = p
	return nil
}

// cause prefers the reason of the generation's death to a broken socket's words.
func (g *generation) cause(err error) error {
	if _, ok := errors.AsType[*lake.Error](err); ok && g.ctx.Err() == nil {
		return err
	}
	if g.proc != nil {
		select { // the socket breaks a moment before the process is reaped
		case <-g.proc.exited():
			// A kill may be ours, for this very reason.
			if _, killed := g.proc.ended(); killed && !errors.Is(err, errExited) {
				return fmt.Errorf("%w; worker process %d: %s", err, g.proc.pid(), g.proc.why())
			}
			return fmt.Errorf("worker process %d: %s", g.proc.pid(), g.proc.why())
		case <-time.After(time.Second):
		}
	}
	return err
}

// fail makes the generation dead. The first reason stays.
func (g *generation) fail(err error) {
	g.end(err)
	if g.proc != nil {
		g.proc.kill()
	}
}

func (g *generation) alive() bool { return g.ctx.Err() == nil }

// bury waits until nothing of a dead generation is left: its process is reaped,
// its goroutines have ended, its socket and scratch are gone.
func (g *generation) bury() {
	if g.proc != nil {
		<-g.proc.exited()
	}
	g.mu.Lock()
	g.mu.buried = true
	g.mu.Unlock()
	g.work.Wait()
	if g.feed != nil {
		g.feed.close()
	}
	if g.client != nil {
		g.client.CloseIdleConnections()
	}
	_ = os.Remove(g.socket)
	if err := os.RemoveAll(g.scratch); err != nil {
		g.log.Warn("a worker's scratch folder stays behind", "path", g.scratch, "error", err)
	}
}

// feedIt passes the stream on until the generation ends.
func (g *generation) feedIt() {
	for {
		batch, err := g.feed.next(g.ctx)
		var heard heardMessage
		if err == nil {
			err = g.post(g.ctx, "/hear", hearMessage{Entries: batch}, &heard)
		}
		if err != nil {
			g.fail(lake.Step("hear", err))
			return
		}
		g.feed.showed(heard.Applied)
	}
}

// hang says that a query, or all of the worker, does not end; the supervisor puts
// another worker beside this one.
func (g *generation) hang() { g.once.Do(func() { close(g.hung) }) }

// post sends a message and reads its answer into out.
func (g *generation) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return g.call(ctx, http.MethodPost, path, body, out)
}

func (g *generation) call(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://worker"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readError(resp)
	}
	if out != nil {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func readError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil || w.Code == "" {
		return lake.Errorf(lake.CodeInternal, "the worker answered %s: %.200s", resp.Status, b)
	}
	return w.error()
}

// callTimeout bounds the small messages: a worker that does not answer them is
// as good as hung.
const callTimeout = time.Second

// cancelAgain is the pause before a query that has not arrived yet is looked for
// again.
const cancelAgain = 10 * time.Millisecond

// cancelQuery asks for a query's end, again until the worker knows the query or
// ctx, which is that of the exchange, has ended: the message can overtake the
// query.
func (g *generation) cancelQuery(ctx context.Context, id string) {
	for ctx.Err() == nil {
		var m runningMessage
		call, stop := context.WithTimeout(ctx, callTimeout)
		err := g.call(call, http.MethodPost, "/cancel/"+id, []byte("{}"), &m)
		stop()
		if err == nil && m.Running {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(cancelAgain):
		}
	}
}

// runs says whether the worker still runs the query; one that does not answer
// is taken to.
func (g *generation) runs(id string) bool {
	ctx, stop := context.WithTimeout(g.ctx, callTimeout)
	defer stop()
	var m runningMessage
	if err := g.call(ctx, http.MethodGet, "/running/"+id, nil, &m); err != nil {
		return true
	}
	return m.Running
}

func (g *generation) status(ctx context.Context) (Status, error) {
	var st Status
	if err := g.call(ctx, http.MethodGet, "/health", nil, &st); err != nil {
		return st, err
	}
	g.released.Store(max(st.Released, g.floor))
	g.last.Store(&st)
	return st, nil
}

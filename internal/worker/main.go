package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"tarn/internal/walls"
)

// Exit codes of a worker process. Its parent reads the reason in the log.
const (
	exitAsked  = 0 // its input ended: the parent closed it or is gone
	exitOpen   = 1 // it could not open
	exitFatal  = 3 // DuckDB cannot go on
	exitServe  = 4 // its socket broke
	lineLimit  = 1 << 20
	headLimits = 64 << 20
)

// heapBytes is where the collector of a worker process becomes eager: half of what
// the data limit leaves beside DuckDB. Large deltas are decoded on this heap, and left to
// itself it would be twice as large as what is alive. Key filters lie there too, and
// are a part of the images' budget.
const heapBytes = 512 << 20

// makeBackend opens what answers the messages; die is told when it cannot go on.
type makeBackend func(ctx context.Context, open Open, log *slog.Logger, die func(error)) (backend, error)

// Main is the worker process: it reads Open from its standard input, serves its
// inherited socket, and ends when that input does. It gives the exit code.
// Log lines go to stderr as JSON.
func Main(ctx context.Context, stdin io.Reader, stderr io.Writer) int {
	return serveProcess(ctx, stdin, stderr, openServing)
}

func serveProcess(ctx context.Context, stdin io.Reader, stderr io.Writer, mk makeBackend) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	in := bufio.NewReader(io.LimitReader(stdin, lineLimit))
	line, err := in.ReadBytes('\n')
	if err != nil {
		log.Error("the worker was started without its settings; it is started by tarn itself", "error", err)
		return exitOpen
	}
	var open Open
	if err := json.Unmarshal(line, &open); err != nil {
		log.Error("the worker's settings do not parse", "error", err)
		return exitOpen
	}
	debug.SetMemoryLimit(heapBytes + open.ImageBudgetBytes/4)
	file := os.NewFile(listenerFD, "listener")
	l, err := net.FileListener(file)
	file.Close()
	if err != nil {
		log.Error("the worker has no socket", "error", err)
		return exitOpen
	}
	standing := walls.Raise(open.walls(), log)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // the parent's life
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	code, err := serve(ctx, l, open, log, mk, standing)
	if err != nil && code != exitFatal { // which was said
		log.Error("the worker ends", "error", err.Error())
	}
	return code
}

// serve opens the backend and serves the messages until ctx ends or the backend
// cannot go on. It returns without waiting for running queries: a worker that
// is told to end has nothing left to say.
func serve(ctx context.Context, l net.Listener, open Open, log *slog.Logger, mk makeBackend, standing walls.Report) (code int, err error) {
	defer l.Close()
	died := make(chan error, 1)
	die := func(err error) {
		select {
		case died <- err:
		default: // it dies of the first reason
		}
	}
	b, err := mk(ctx, open, log, die)
	if err != nil {
		return exitOpen, err
	}
	srv := &http.Server{
		Handler:        newServer(b, log, die, standing).handler(),
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		MaxHeaderBytes: headLimits,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case <-ctx.Done():
		code = exitAsked
	case err = <-died:
		// At once, as the connections that close now have the server kill this process.
		log.Error(cannotGoOn, "error", err.Error())
		code = exitFatal
	case err = <-served:
		code = exitServe
	}
	_ = srv.Close()
	closed := make(chan struct{})
	go func() { // a query that does not answer to Interrupt must not hold the end up
		defer close(closed)
		_ = b.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closeGrace):
		log.Warn("the worker ends with a query that does not")
	}
	return code, err
}

// cannotGoOn is how a worker's log says that DuckDB ended it.
const cannotGoOn = "the worker cannot go on"

// closeGrace is how long running queries have to end when the worker does.
const closeGrace = 2 * time.Second

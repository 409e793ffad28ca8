package job

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"tarn/internal/lake"
	"tarn/internal/walls"
)

// Main is the job process: it reads a Spec as a line of JSON from stdin, runs
// it at low priority, and writes messages as lines of JSON to stdout. Further lines
// of stdin are orders. It ends
// early on SIGTERM and when stdin ends, which is when its parent has gone. The
// exit code is 0 with a result and 1 with an error.
func Main(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) int {
	lowerPriority(stderr)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	out := newMessages(stdout)
	in := json.NewDecoder(stdin)
	var spec Spec
	if err := in.Decode(&spec); err != nil {
		err = lake.Errorf(lake.CodeInternal, "job: the spec does not parse: %w", err)
		if out.send(message{Error: toWire(err)}) != nil {
			fmt.Fprintln(stderr, err)
		}
		return 1
	}
	var threads atomic.Int64
	threads.Store(int64(spec.Threads))
	debug.SetMemoryLimit(heapBytes)
	walls.Raise(spec.walls(), slog.New(slog.NewTextHandler(stderr, nil)))
	go func() {
		defer cancel()
		for {
			var o order
			if in.Decode(&o) != nil {
				return
			}
			threads.Store(int64(o.Threads))
		}
	}()
	res, err := Run(ctx, spec, Host{
		Report: func(p Progress) {
			if out.send(message{Progress: &p}) != nil {
				cancel()
			}
		},
		Threads: func() int { return int(threads.Load()) },
	})
	if err != nil {
		if out.send(message{Error: toWire(err)}) != nil {
			fmt.Fprintln(stderr, err)
		}
		return 1
	}
	if err := out.send(message{Result: &res}); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

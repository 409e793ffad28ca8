package job

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"runtime/debug"
	"syscall"

	"tarn/internal/lake"
	"tarn/internal/walls"
)

// Main is the job process: it reads a Spec as a line of JSON from stdin, runs
// it at low priority, and writes messages as lines of JSON to stdout. It ends
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
	debug.SetMemoryLimit(heapBytes)
	walls.Raise(spec.walls(), slog.New(slog.NewTextHandler(stderr, nil)))
	go func() {
		_, _ = io.Copy(io.Discard, io.MultiReader(in.Buffered(), stdin))
		cancel()
	}()
	res, err := Run(ctx, spec, func(p Progress) {
		if out.send(message{Progress: &p}) != nil {
			cancel()
		}
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

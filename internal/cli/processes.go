package cli

import (
	"context"

	"tarn/internal/bench"
	"tarn/internal/job"
	"tarn/internal/worker"
)

// The commands that tarn starts itself. Their arguments come on stdin, and
// their exit code is their own.

type workerCommand struct{}

func (workerCommand) Run(ctx context.Context, p *Program) error {
	return ended(worker.Main(ctx, p.Stdin, p.Stderr))
}

type jobCommand struct{}

func (jobCommand) Run(ctx context.Context, p *Program) error {
	return ended(job.Main(ctx, p.Stdin, p.Stdout, p.Stderr))
}

type benchPeerCommand struct{}

func (benchPeerCommand) Run(ctx context.Context, p *Program) error {
	return ended(bench.PeerMain(ctx, p.Stdin, p.Stdout, p.Stderr))
}

func ended(code int) error {
	if code != exitDone {
		panic(exited{code})
	}
	return nil
}

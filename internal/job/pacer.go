package job

import (
	"context"
	"fmt"
	"time"

	"tarn/internal/duck"
)

// paceEvery is how often a job looks how many threads it may use.
const paceEvery = 100 * time.Millisecond

// pacer sets a session's threads to what its host allows, from the next pipeline on:
// DuckDB waits until the tasks that run are done, which is a file that is written, or
// a sort. (With scheduler_process_partial it would wait for a moment only, but then
// imports need more memory than they have.) It has a goroutine and a connection of
// its own.
type pacer struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func startPacer(ctx context.Context, db *duck.DB, spec Spec, threads func() int) (*pacer, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &pacer{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer c.Close()
		tick := time.NewTicker(paceEvery)
		defer tick.Stop()
		for now := spec.Threads; ; {
			if want := spec.bounded(threads()); want != now && c.Exec(ctx, fmt.Sprintf("SET threads = %d", want)) == nil {
				now = want // else ctx ended, or the next statement of the job says what is wrong
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return p, nil
}

// stop ends the pacer; nothing of it runs afterwards.
func (p *pacer) stop() {
	p.cancel()
	<-p.done
}

package query

import (
	"context"
	"sync/atomic"

	"tarn/internal/lake"
)

// admission lets so many queries run and so many wait.
type admission struct {
	running chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newAdmission(concurrency, queue int) *admission {
	return &admission{running: make(chan struct{}, concurrency), queue: int64(queue)}
}

// enter waits for a place and gives the function that leaves it.
func (a *admission) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-a.running }
	select {
	case a.running <- struct{}{}:
		return leave, nil
	default:
	}
	if a.waiting.Add(1) > a.queue {
		a.waiting.Add(-1)
		return nil, lake.Errorf(lake.CodeOverloaded, "%d queries run and %d wait", cap(a.running), a.queue).
			WithHint("try again in a moment, or raise query_concurrency or query_queue")
	}
	defer a.waiting.Add(-1)
	select {
	case a.running <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, lake.Step("wait for other queries", ctx.Err())
	}
}

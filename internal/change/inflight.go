package change

import (
	"context"
	"sync"

	"tarn/internal/lake"
)

// Inflight holds the Idempotency-Keys of requests that are under way, so that a
// second request with the same key waits for the first. The zero value is ready.
type Inflight struct {
	mu struct {
		sync.Mutex
		keys map[string]chan struct{}
	}
}

// Enter waits while a request with the key runs, then takes its place until leave
// is called (once or more). What the first came to is then known.
func (f *Inflight) Enter(ctx context.Context, key string) (leave func(), err error) {
	for {
		first, mine := f.try(key)
		if first == nil {
			return sync.OnceFunc(func() {
				f.mu.Lock()
				delete(f.mu.keys, key)
				f.mu.Unlock()
				close(mine)
			}), nil
		}
		select {
		case <-first:
		case <-ctx.Done():
			return nil, lake.Step("wait for the first request with this Idempotency-Key", ctx.Err())
		}
	}
}

func (f *Inflight) try(key string) (first, mine chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first, ok := f.mu.keys[key]; ok {
		return first, nil
	}
	if f.mu.keys == nil {
		f.mu.keys = map[string]chan struct{}{}
	}
	mine = make(chan struct{})
	f.mu.keys[key] = mine
	return nil, mine
}

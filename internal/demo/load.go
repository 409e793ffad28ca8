package demo

import (
	"context"
	"fmt"
	"sync"
)

// A load is what the writers of the crash do, and what must be there after it.
// Requests are numbered per writer from 0; each is atomic and carries an
// Idempotency-Key of its own.
type load interface {
	// dataset is the one written.
	dataset() string
	// request gives the body of a writer's request number n, for /changes where
	// the dataset has a key, for /rows where it has none.
	request(writer, n int) []byte
	// check compares what is in the lake with what was acknowledged: for each
	// writer, requests 0 to acked-1, and of the next one all or nothing. Once
	// settled there is no next one.
	check(ctx context.Context, t *tour, acked []int, settled bool) error
	// writers is how many can write at once, at most most.
	writers(most int) int
	// keyed says whether the dataset has a key.
	keyed() bool
}

// writers are the clients of a write load.
type writers struct {
	load load
	lake *lakeClient

	mu struct {
		sync.Mutex
		acked []int   // requests acknowledged, per writer; the next one is unknown
		total int     // of all writers
		ended []error // why each writer ended
	}
}

func newWriters(l load, lake *lakeClient, n int) *writers {
	w := &writers{load: l, lake: lake}
	w.mu.acked, w.mu.ended = make([]int, n), make([]error, n)
	return w
}

// run writes until each writer's request fails, which is what the crash does to
// them, or ctx ends. enough is called once, when so many were acknowledged.
func (w *writers) run(ctx context.Context, many int, enough func()) {
	var all sync.WaitGroup
	var once sync.Once
	for i := range w.mu.acked {
		all.Go(func() {
			for n := 0; ; n++ {
				if err := w.send(ctx, i, n); err != nil {
					w.mu.Lock()
					w.mu.ended[i] = err
					w.mu.Unlock()
					return
				}
				w.mu.Lock()
				w.mu.acked[i]++
				w.mu.total++
				reached := w.mu.total >= many
				w.mu.Unlock()
				if reached {
					once.Do(enough)
				}
			}
		})
	}
	all.Wait()
	once.Do(enough) // the writers ended by themselves: whoever waits must go on
}

func (w *writers) send(ctx context.Context, writer, n int) error {
	key := fmt.Sprintf("demo-%d-%d", writer, n)
	body := w.load.request(writer, n)
	var err error
	if w.load.keyed() {
		_, err = w.lake.changes(ctx, w.load.dataset(), body, key)
	} else {
		_, err = w.lake.append(ctx, w.load.dataset(), body, key)
	}
	return err
}

// acked gives the number of requests acknowledged per writer and in all.
func (w *writers) acked() (each []int, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int(nil), w.mu.acked...), w.mu.total
}

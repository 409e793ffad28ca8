package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The crash comes when so many requests were acknowledged, with all writers in
// the middle of the next ones.
const crashAfter = 400

// crash kills the server in the middle of a write load, starts it again, and
// accounts for every request.
func (t *tour) crash(ctx context.Context, l load) error {
	clients := l.writers(t.Writers)
	t.step(fmt.Sprintf("Crash: kill -9 the server while %d writers write", clients))
	w := newWriters(l, t.lake, clients)
	began := time.Now()
	var killed sync.WaitGroup
	killed.Add(1)
	w.run(ctx, crashAfter, func() {
		go func() {
			defer killed.Done()
			t.server.kill()
		}()
	})
	killed.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	each, total := w.acked()
	t.say("%s requests were acknowledged in %s, then SIGKILL; %d were in flight", count(int64(total)), took(time.Since(began)), len(each))
	t.check(total >= crashAfter, "the writers wrote until the crash")

	t.lake.close()
	began = time.Now()
	if err := t.start(ctx); err != nil {
		return fmt.Errorf("start again after the crash: %w", err)
	}
	t.check(true, "started again, ready after %s", took(time.Since(began)))
	if err := l.check(ctx, t, each, false); err != nil {
		return err
	}

	// What was in flight has an unknown outcome; the same request with the same
	// Idempotency-Key settles it.
	w.lake = t.lake
	for i, n := range each {
		if err := w.send(ctx, i, n); err != nil {
			return fmt.Errorf("send request %d of writer %d again: %w", n, i, err)
		}
		each[i]++
	}
	t.say("the %d requests in flight were sent again, each with its Idempotency-Key", len(each))
	if err := l.check(ctx, t, each, true); err != nil {
		return err
	}
	return t.pinsBack(ctx)
}

package bucket

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Calls that change nothing are made so often, with a pause between them that
// doubles; half of it is chance, so that many who failed together do not come back
// together.
const (
	tries      = 4
	firstPause = 50 * time.Millisecond
)

// perMiB is what a call gets more for each MiB that it carries.
const perMiB = time.Second

// limit is the time of a call that carries so many bytes.
func (b *Bucket) limit(bytes int64) time.Duration {
	return b.opts.Timeout + time.Duration(bytes>>20)*perMiB
}

// once makes one call within its time.
func (b *Bucket) once(ctx context.Context, limit time.Duration, do func(ctx context.Context) error) (verdict, error) {
	if err := b.breaker.enter(); err != nil {
		return refused, err
	}
	call, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var sent atomic.Bool
	call = httptrace.WithClientTrace(call, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	err := do(call)
	if err != nil && ctx.Err() != nil {
		b.breaker.left()
		return missed, ctx.Err()
	}
	v := judge(err, sent.Load())
	if v != missed {
		b.breaker.answered()
		return v, err
	}
	slow := call.Err() != nil
	if slow {
		err = lake.Errorf(lake.CodeUnavailable, "no answer within %s", limit)
	}
	b.breaker.missed(err, slow)
	if !sent.Load() {
		err = unsent{err}
	}
	return missed, err
}

// unsent wraps the error of a call that never left.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// repeated makes a call that changes nothing until it is answered, some times.
func (b *Bucket) repeated(ctx context.Context, key, step string, bytes int64, do func(ctx context.Context) error) error {
	var last error
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return lake.Step(step+" "+key, err)
		}
		v, err := b.once(ctx, b.limit(bytes), do)
		switch {
		case v == fine:
			return nil
		case v == absent:
			return notFound(key, step, err)
		case ctx.Err() != nil:
			return lake.Step(step+" "+key, ctx.Err())
		case v == refused || v == taken:
			if errors.Is(err, lake.ErrUnavailable) { // the breaker's
				if last != nil {
					return unavailable(key, step, last)
				}
				return lake.Step(step+" "+key, err)
			}
			return unavailable(key, step, err)
		}
		last = err
	}
	return unavailable(key, step, last)
}

// put makes a conditional put. One that never left is tried again, as nothing of
// it can be there.
func (b *Bucket) put(ctx context.Context, key string, bytes int64, do func(ctx context.Context) error) error {
	for try := 0; ; try++ {
		if err := pause(ctx, try); err != nil {
			return lake.Step("create "+key, err)
		}
		v, err := b.once(ctx, b.limit(bytes), do)
		failpoint.Hit("bucket.put")
		var never unsent
		switch {
		case v == fine:
			return nil
		case v == taken:
			return exists(key)
		case v == refused && errors.Is(err, lake.ErrUnavailable):
			return lake.Step("create "+key, err)
		case v == refused || v == absent: // absent: no such bucket
			return unavailable(key, "put", err)
		case errors.As(err, &never) && ctx.Err() == nil:
			if try+1 < tries {
				continue
			}
			return unavailable(key, "put", err)
		}
		return unknown(key, "put", err)
	}
}

// pause waits before a repetition; it ends early with ctx.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	p := firstPause << (try - 1)
	timer := time.NewTimer(p/2 + rand.N(p/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin checks what every call checks first.
func (b *Bucket) begin(ctx context.Context, key, step string) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	return lake.Step(step+" "+key, ctx.Err())
}

func (b *Bucket) checkKey(key string) error {
	if b.opts.Others {
		return store.CheckOthersKey(key)
	}
	return store.CheckKey(key)
}

package engine

import (
	"context"
	"errors"
	"os"

	"tarn/internal/change"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Drain makes Ready say no, so that load balancers go elsewhere.
func (e *Engine) Drain() {
	if !e.draining.Swap(true) {
		close(e.drained) // feeds end
	}
}

// Ready is nil when every way works.
func (e *Engine) Ready() error {
	if e.draining.Load() {
		return lake.Errorf(lake.CodeNotReady, "the server is shutting down")
	}
	if err := e.fencedOff(); err != nil {
		return err
	}
	if h := e.worker.Health(); !h.Ready {
		return lake.Errorf(lake.CodeNotReady, "the worker is not ready: %s", h.Reason)
	}
	return e.fresh()
}

// Close ends everything and lets go of the lake. Changes that are being
// committed are finished first, as far as ctx lets them. It may be called twice.
func (e *Engine) Close(ctx context.Context) error {
	e.closeOnce.Do(func() { e.closeErr = e.close(ctx) })
	return e.closeErr
}

func (e *Engine) close(ctx context.Context) error {
	e.Drain()
	e.jobs.cancelAll()
	e.quiesce(ctx)
	e.cancel()
	for _, m := range e.members() {
		if m.committer != nil {
			<-m.committer.Stopped()
		}
	}
	e.going.Wait()
	var errs []error
	if e.worker != nil {
		errs = append(errs, e.worker.Close())
	}
	for _, m := range e.members() {
		m.ds.Log.Close()
	}
	if e.follower != nil {
		e.follower.close()
	}
	if e.shop != nil && e.shop.Verifier != nil {
		errs = append(errs, e.shop.Verifier.Close())
	}
	if e.scratchDir != "" {
		errs = append(errs, os.RemoveAll(e.scratchDir))
	}
	if e.remote != nil {
		e.remote.disk.Close()
	}
	if e.store != nil && e.opts.Store == nil {
		errs = append(errs, e.store.Close())
	}
	for _, l := range []*store.LockFile{e.stateLock, e.lock} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// quiesce waits until every committer has done what its queue holds.
func (e *Engine) quiesce(ctx context.Context) {
	for _, m := range e.members() {
		if m.committer == nil {
			continue
		}
		// An exclusive step that does nothing comes after all that waits now.
		_ = m.committer.Exclusive(ctx, func(context.Context, *change.Held) error { return nil })
	}
}

package engine

import "context"

// KillWorker kills the worker as kill -9 would: for tests and the demo.
func (e *Engine) KillWorker() { e.worker.Kill() }

// CatchUp has a follower look now; for tests.
func (e *Engine) CatchUp(ctx context.Context) error {
	_, err := e.follower.catchUp(ctx)
	return err
}

package engine

// KillWorker kills the worker as kill -9 would: for tests and the demo.
func (e *Engine) KillWorker() { e.worker.Kill() }

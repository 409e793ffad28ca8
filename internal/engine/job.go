package engine

import (
	"context"
	"sync"
	"time"
)

// Job is one import or compaction that was started. It goes on when the client
// that asked for it goes away; CancelJob ends it.
type Job struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu struct {
		sync.Mutex
		info JobInfo
	}
}

// Info is the job as it stands.
func (j *Job) Info() JobInfo {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.info
}

// Done is closed when the job has ended, whatever way.
func (j *Job) Done() <-chan struct{} { return j.done }

// Wait waits for the job's end and gives its result or error. When ctx ends
// first the job goes on.
func (j *Job) Wait(ctx context.Context) (any, error) {
	select {
	case <-j.done:
		info := j.Info()
		return info.Result, info.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// set changes the job's public state under its lock.
func (j *Job) set(change func(*JobInfo)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.mu.info)
}

func (j *Job) end(state JobState, result any, err error, now time.Time) {
	j.set(func(i *JobInfo) { i.State, i.Result, i.Err, i.Ended = state, result, err, &now })
	close(j.done)
}

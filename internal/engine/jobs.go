package engine

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"tarn/internal/job"
	"tarn/internal/lake"
)

// jobs are the imports and compactions that were asked for, running or ended.
type jobs struct {
	mu struct {
		sync.Mutex
		byID   map[string]*Job
		closed bool // no more are started
	}
}

func (j *jobs) init() { j.mu.byID = map[string]*Job{} }

func (j *jobs) cancelAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.closed = true
	for _, one := range j.mu.byID {
		one.cancel()
	}
}

// forget lets go of jobs that ended before an instant.
func (j *jobs) forget(before time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, one := range j.mu.byID {
		if ended := one.Info().Ended; ended != nil && ended.Before(before) {
			delete(j.mu.byID, id)
		}
	}
}

// startJob runs a job in a goroutine of the engine's. It goes on when the client
// that asked for it goes away.
func (e *Engine) startJob(kind, name string, run func(ctx context.Context, progress func(job.Progress)) (any, error)) (*Job, error) {
	ctx, cancel := context.WithCancel(e.ctx)
	j := &Job{cancel: cancel, done: make(chan struct{})}
	j.mu.info = JobInfo{ID: uuid.NewString(), Kind: kind, Dataset: name, State: JobQueued, Created: time.Now().UTC()}
	e.jobs.mu.Lock()
	defer e.jobs.mu.Unlock() // until it goes: Close waits for what was started before it closed
	if e.jobs.mu.closed {
		cancel()
		return nil, lake.Errorf(lake.CodeNotReady, "the server is shutting down")
	}
	e.jobs.mu.byID[j.mu.info.ID] = j
	e.going.Go(func() {
		defer cancel()
		result, err := run(ctx, func(p job.Progress) {
			j.set(func(i *JobInfo) {
				i.State, i.Progress = JobRunning, JobProgress{Step: p.Step, Done: p.Done, Total: p.Total}
			})
		})
		e.notice(err)
		state := JobDone
		switch {
		case err != nil && ctx.Err() != nil && lake.CodeOf(err) == lake.CodeCancelled:
			state, result = JobCancelled, nil
		case err != nil:
			state, result = JobFailed, nil
		}
		e.metrics.jobEnded(kind, state)
		if state == JobFailed {
			e.log.Warn("job failed", "job", j.mu.info.ID, "kind", kind, "dataset", name, "err", err)
		}
		j.end(state, result, err, time.Now().UTC())
	})
	return j, nil
}

// doneJob is a job that had nothing to do.
func (e *Engine) doneJob(kind, name string, result any) *Job {
	now := time.Now().UTC()
	j := &Job{cancel: func() {}, done: make(chan struct{})}
	j.mu.info = JobInfo{ID: uuid.NewString(), Kind: kind, Dataset: name, Created: now}
	j.end(JobDone, result, nil, now)
	e.jobs.mu.Lock()
	defer e.jobs.mu.Unlock()
	e.jobs.mu.byID[j.mu.info.ID] = j
	return j
}

// Jobs lists the jobs, newest first.
func (e *Engine) Jobs() []JobInfo {
	e.jobs.mu.Lock()
	defer e.jobs.mu.Unlock()
	out := make([]JobInfo, 0, len(e.jobs.mu.byID))
	for _, j := range e.jobs.mu.byID {
		out = append(out, j.Info())
	}
	slices.SortFunc(out, func(a, b JobInfo) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Job finds a job by its id.
func (e *Engine) Job(id string) (*Job, error) {
	e.jobs.mu.Lock()
	defer e.jobs.mu.Unlock()
	j := e.jobs.mu.byID[id]
	if j == nil {
		return nil, NoJob(id)
	}
	return j, nil
}

// NoJob is the error for an id that no job has.
func NoJob(id string) error {
	return lake.Errorf(lake.CodeJobNotFound, "there is no job %q", id).
		WithHint("jobs are kept for job_retention after their end, and not over a restart")
}

// CancelJob ends a job; one that has ended stays as it is.
func (e *Engine) CancelJob(id string) (JobInfo, error) {
	j, err := e.Job(id)
	if err != nil {
		return JobInfo{}, err
	}
	j.cancel()
	return j.Info(), nil
}

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// Job is an import, compaction or the like as the server tells of it.
type Job struct {
	ID       string
	Kind     string
	Dataset  string
	State    engine.JobState
	Created  time.Time
	Ended    *time.Time
	Progress engine.JobProgress
	Result   json.RawMessage // once done
	Err      *lake.Error     // once failed or cancelled
}

// UnmarshalJSON reads a job of the server's.
func (j *Job) UnmarshalJSON(b []byte) error {
	var in struct {
		ID       string             `json:"id"`
		Kind     string             `json:"kind"`
		Dataset  string             `json:"dataset"`
		State    engine.JobState    `json:"state"`
		Created  time.Time          `json:"created"`
		Ended    *time.Time         `json:"ended"`
		Progress engine.JobProgress `json:"progress"`
		Result   json.RawMessage    `json:"result"`
		Error    *problem           `json:"error"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*j = Job{in.ID, in.Kind, in.Dataset, in.State, in.Created, in.Ended, in.Progress, in.Result, nil}
	if in.Error != nil {
		j.Err = in.Error.err()
	}
	return nil
}

// Over says whether the job has ended, whatever way.
func (j Job) Over() bool {
	return j.State == engine.JobDone || j.State == engine.JobFailed || j.State == engine.JobCancelled
}

// Jobs lists the jobs that run, and those that ended a while ago.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	var out struct {
		Jobs []Job `json:"jobs"`
	}
	_, err := c.call(ctx, newRequest(http.MethodGet, "/jobs"), &out)
	return out.Jobs, err
}

// Job shows one job.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	var out Job
	_, err := c.call(ctx, newRequest(http.MethodGet, "/jobs/"+url.PathEscape(id)), &out)
	return out, err
}

// CancelJob asks a job to end.
func (c *Client) CancelJob(ctx context.Context, id string) (Job, error) {
	var out Job
	_, err := c.call(ctx, newRequest(http.MethodDelete, "/jobs/"+url.PathEscape(id)), &out)
	return out, err
}

// pollEvery is how often WaitJob looks at most; it begins with a tenth.
const pollEvery = 250 * time.Millisecond

// WaitJob follows a job to its end and tells progress (may be nil) each time
// it looks. A job that failed is an error. When ctx ends first the job goes on.
func (c *Client) WaitJob(ctx context.Context, id string, progress func(Job)) (Job, error) {
	wait := pollEvery / 10
	for {
		j, err := c.Job(ctx, id)
		if err != nil {
			return Job{}, err
		}
		if progress != nil {
			progress(j)
		}
		switch {
		case j.Over() && j.Err != nil:
			return j, j.Err
		case j.Over() && j.State != engine.JobDone:
			return j, lake.Errorf(lake.CodeCancelled, "job %s was %s", id, j.State)
		case j.Over():
			return j, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return j, ctx.Err()
		}
		wait = min(2*wait, pollEvery)
	}
}

// started sends a request that starts a job and gives the job's id.
func (c *Client) started(ctx context.Context, q *request) (string, error) {
	q.query.Set("wait", "false")
	q.changes = true
	var out struct {
		JobID string `json:"job_id"`
	}
	_, err := c.call(ctx, q, &out)
	return out.JobID, err
}

// result follows a job and decodes its result.
func (c *Client) result(ctx context.Context, id string, progress func(Job), out any) error {
	j, err := c.WaitJob(ctx, id, progress)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(j.Result, out); err != nil {
		return lake.Errorf(lake.CodeInternal, "the result of job %s does not parse: %w", id, err)
	}
	return nil
}

// CompactOptions say what to compact: one dataset, or all with a nil Dataset.
type CompactOptions struct {
	Dataset    *lake.Name
	PrimaryKey []string // remove earlier duplicates by these columns
	DryRun     bool
	Progress   func(Job) // may be nil
}

// Compact compacts and gives the results, one a dataset. FinalRows is -1 where
// the server gives none (a dry run).
func (c *Client) Compact(ctx context.Context, o CompactOptions) ([]engine.CompactResult, error) {
	body := map[string]any{"dry_run": o.DryRun}
	if o.Dataset != nil {
		body["dataset"] = o.Dataset.String()
	}
	if o.PrimaryKey != nil {
		body["primary_key"] = o.PrimaryKey
	}
	q, err := newRequest(http.MethodPost, "/query/compact").json(body)
	if err != nil {
		return nil, err
	}
	id, err := c.started(ctx, q)
	if err != nil {
		return nil, err
	}
	if o.Dataset != nil {
		var one compactResult
		err := c.result(ctx, id, o.Progress, &one)
		return []engine.CompactResult{one.CompactResult}, err
	}
	var all struct {
		Results []compactResult `json:"results"`
	}
	err = c.result(ctx, id, o.Progress, &all)
	out := make([]engine.CompactResult, len(all.Results))
	for i := range out {
		out[i] = all.Results[i].CompactResult
	}
	return out, err
}

// compactResult tells an absent final_rows from 0.
type compactResult struct{ engine.CompactResult }

func (r *compactResult) UnmarshalJSON(b []byte) error {
	r.CompactResult = engine.CompactResult{FinalRows: -1}
	return json.Unmarshal(b, &r.CompactResult)
}

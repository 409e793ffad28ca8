package httpapi

import (
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// compactBody asks for a compaction.
type compactBody struct {
	Dataset    *string  `json:"dataset,omitempty" doc:"all of them without it"`
	PrimaryKey []string `json:"primary_key,omitempty" doc:"remove earlier duplicates by these columns of a dataset without a key"`
	DryRun     bool     `json:"dry_run,omitempty" doc:"say what would be done and why"`
}

type jobStarted struct {
	JobID string `json:"job_id"`
}

// jobAnswer is a job as clients see it; the shadowed fields are rendered.
type jobAnswer struct {
	engine.JobInfo
	Result any      `json:"result,omitempty"`
	Error  *Problem `json:"error,omitempty"`
}

type jobsAnswer struct {
	Jobs []jobAnswer `json:"jobs"`
}

type queriesAnswer struct {
	Queries []engine.QueryInfo `json:"queries"`
}

// compactAnswer is a compaction as clients see it: a dry run has no final_rows.
type compactAnswer struct {
	engine.CompactResult
	FinalRows *int64 `json:"final_rows,omitempty" doc:"in the base after; absent from a dry run"`
}

type compactsAnswer struct {
	Results []compactAnswer `json:"results"`
}

// publicResult renders a job's result.
func publicResult(result any) any {
	switch r := result.(type) {
	case engine.CompactResult:
		return publicCompact(r)
	case *engine.CompactResult:
		return publicCompact(*r)
	case engine.CompactResults:
		return publicCompacts(r)
	case *engine.CompactResults:
		return publicCompacts(*r)
	}
	return result
}

func publicCompact(r engine.CompactResult) compactAnswer {
	out := compactAnswer{CompactResult: r}
	if !r.DryRun || r.FinalRows >= 0 {
		out.FinalRows = &r.FinalRows
	}
	return out
}

func publicCompacts(r engine.CompactResults) compactsAnswer {
	out := compactsAnswer{Results: []compactAnswer{}}
	for _, one := range r.Results {
		out.Results = append(out.Results, publicCompact(one))
	}
	return out
}

func (a *api) compact(c *call) error {
	var body compactBody
	if c.r.ContentLength != 0 || c.r.Header.Get("Content-Type") != "" { // no body at all means all datasets
		if err := a.readJSON(c, &body); err != nil {
			return err
		}
	}
	req := engine.CompactRequest{PrimaryKey: body.PrimaryKey, DryRun: body.DryRun}
	if body.Dataset != nil {
		name, err := c.named(lake.ParseName(*body.Dataset))
		if err != nil {
			return lake.Step("field dataset", err)
		}
		req.Dataset = &name
	}
	if body.PrimaryKey != nil {
		if len(body.PrimaryKey) == 0 {
			return lake.Errorf(lake.CodeInvalidRequest, "primary_key is empty").WithHint("name the columns, or leave it out")
		}
		if req.Dataset == nil {
			return lake.Errorf(lake.CodeInvalidRequest, "primary_key needs a dataset").
				WithHint("duplicates are removed from one dataset at a time: name it")
		}
	}
	job, err := c.door.Compact(c.lasting(), req)
	if err != nil {
		return err
	}
	return a.replyJob(c, job)
}

func (a *api) publicJob(info engine.JobInfo) jobAnswer {
	out := jobAnswer{JobInfo: info, Result: publicResult(info.Result)}
	if info.Err != nil {
		p := a.codes.problem(info.Err)
		p.JobID = info.ID
		out.Error = &p
	}
	return out
}

func (a *api) listJobs(c *call) error {
	out := jobsAnswer{Jobs: []jobAnswer{}}
	for _, info := range c.door.Jobs() {
		out.Jobs = append(out.Jobs, a.publicJob(info))
	}
	return c.reply(http.StatusOK, out)
}

func (a *api) showJob(c *call) error {
	job, err := c.door.Job(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	info := job.Info()
	c.jobID = info.ID
	return c.reply(http.StatusOK, a.publicJob(info))
}

func (a *api) cancelJob(c *call) error {
	info, err := c.door.CancelJob(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	c.jobID = info.ID
	return c.reply(http.StatusOK, a.publicJob(info))
}

func (a *api) listQueries(c *call) error {
	return c.reply(http.StatusOK, queriesAnswer{orEmpty(c.door.Queries())})
}

func (a *api) cancelQuery(c *call) error {
	info, err := c.door.CancelQuery(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, info)
}

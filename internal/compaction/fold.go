package compaction

import (
	"context"
	"time"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// emptyDeltas is how many deltas without changes are left pending: they cost next
// to nothing, and a commit for each would cost more.
const emptyDeltas = 1000

// Outcome is what a compaction did, in exact counts.
type Outcome struct {
	Plan      Plan
	BaseRows  int64 // in the base before
	FinalRows int64 // in the base after
	Inserted  int64
	Updated   int64
	Deleted   int64
	Added     int // files written
	State     *dataset.State
	Elapsed   time.Duration
}

// Compactor folds the deltas of one dataset.
type Compactor struct {
	Dataset         *dataset.Dataset
	Committer       *change.Committer
	Shop            *workshop.Workshop
	TargetFileBytes int64 // 0: by the dataset's size

	touch touch
}

func (c *Compactor) target(s *dataset.State) int64 {
	if c.TargetFileBytes > 0 {
		return c.TargetFileBytes
	}
	_, bytes := s.BaseSize()
	return TargetFileBytes(bytes)
}

// Plan says what a fold would do now.
func (c *Compactor) Plan(ctx context.Context) (Plan, error) {
	return c.planAt(ctx, c.Dataset.State())
}

func (c *Compactor) planAt(ctx context.Context, s *dataset.State) (Plan, error) {
	touched, err := c.touch.of(ctx, s)
	if err != nil {
		return Plan{}, lake.Step("plan the compaction of "+s.Name.String(), err)
	}
	return NewPlan(s, touched, c.target(s)), nil
}

// Touched gives the keys of the base files into whose key ranges the pending
// changes of s fall; the map is the caller's.
func (c *Compactor) Touched(ctx context.Context, s *dataset.State) (map[string]bool, error) {
	return c.touch.of(ctx, s)
}

// Parts parts the base files of s as a fold would that touches these files.
func Parts(s *dataset.State, touched map[string]bool) (rewrite []lake.BaseFile, groups []job.Group) {
	rewrite, _, groups = part(s, touched)
	return rewrite, groups
}

// Fold folds everything that is pending as it begins. The caller holds the
// dataset's job lock.
func (c *Compactor) Fold(ctx context.Context, progress func(job.Progress)) (Outcome, error) {
	began := time.Now()
	s := c.Dataset.State()
	plan, err := c.planAt(ctx, s)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Plan: plan, State: s}
	out.BaseRows, _ = s.BaseSize()
	out.FinalRows = out.BaseRows
	if plan.DeltasWithChanges == 0 && len(plan.Deltas) < emptyDeltas {
		return out, nil
	}
	if err := c.Shop.CheckDisk(plan.RewriteBytes + plan.PendingBytes); err != nil {
		return out, lake.Step("compact "+s.Name.String(), err)
	}
	release := c.Shop.InUse(s.UUID)
	defer release()
	pad, err := c.Shop.NewScratchpad("fold")
	if err != nil {
		return out, err
	}
	defer pad.Remove()
	step := "compact " + s.Name.String()
	res, err := c.Shop.Run(ctx, pad, c.spec(s, plan), progress)
	if err != nil {
		return out, lake.Step(step, err)
	}
	if ctx.Err() != nil {
		return out, lake.Step(step, ctx.Err())
	}
	made, err := c.commit(c.Shop.Context, s, plan, res)
	if err != nil {
		return out, lake.Step(step+": commit", err)
	}
	next := c.Committer.PublishFold(made)
	if next == nil {
		return out, lake.Errorf(lake.CodeDatasetNotFound, "%s: the dataset was dropped meanwhile", step)
	}
	out.State = next
	out.FinalRows, _ = next.BaseSize()
	out.Inserted, out.Updated, out.Deleted, out.Added = res.Inserted, res.Updated, res.Deleted, len(res.Outputs)
	out.Elapsed = time.Since(began)
	return out, nil
}

func (c *Compactor) spec(s *dataset.State, plan Plan) job.Spec {
	return job.Spec{Kind: job.KindFold, TargetFileBytes: c.target(s), Fold: &job.Fold{
		Schema: s.Schema, Base: plan.Rewrite, Groups: plan.Groups, Deltas: plan.Deltas,
	}}
}

// commit takes the job's files in and makes the folded base current.
func (c *Compactor) commit(ctx context.Context, s *dataset.State, plan Plan, res job.Result) (change.NewBase, error) {
	before, _ := s.BaseSize()
	table, files, err := c.Shop.Commit(ctx, s.Table, workshop.Commit{
		Before: s.Files, Remove: plan.Rewrite, Outputs: res.Outputs, FoldedThrough: plan.Through,
		Rows: before + res.Inserted - res.Deleted, Kind: base.KindFold,
	})
	return change.NewBase{Table: table, Files: files, FoldedThrough: plan.Through}, err
}

// Expire commits nothing but the end of snapshots that are older than the
// retention. The caller holds the dataset's job lock.
func (c *Compactor) Expire(_ context.Context) error {
	s := c.Dataset.State()
	release := c.Shop.InUse(s.UUID)
	defer release()
	rows, _ := s.BaseSize()
	table, files, err := c.Shop.Commit(c.Shop.Context, s.Table, workshop.Commit{
		Before: s.Files, FoldedThrough: s.FoldedThrough, Rows: rows, Kind: base.KindFold,
	})
	if err != nil {
		return lake.Step("expire snapshots of "+s.Name.String(), err)
	}
	c.Committer.PublishFold(change.NewBase{Table: table, Files: files, FoldedThrough: s.FoldedThrough})
	return nil
}

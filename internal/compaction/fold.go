package compaction

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
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
	Added     int // data files written
	Deletes   int // delete files written
	State     *dataset.State
	Elapsed   time.Duration
}

// Compactor folds the deltas of one dataset.
type Compactor struct {
	Dataset         *dataset.Dataset
	Committer       *change.Committer
	Shop            *workshop.Workshop
	TargetFileBytes int64 // 0: by the dataset's size
	// DeadShare above 0 keeps the files of a keyed dataset and marks their changed
	// rows dead, until a larger share of a file's rows is.
	DeadShare float64

	touch touch
}

func (c *Compactor) target(s *dataset.State) int64 {
	if c.TargetFileBytes > 0 {
		return c.TargetFileBytes
	}
	_, bytes := s.BaseSize()
	return TargetFileBytes(bytes)
}

// deadShare is the share of dead rows from which a fold of s rewrites a file; 0: it marks
// none dead. A column that is called as a row's number in DuckDB's scans would hide it from
// queries. Files of an owner are marked whatever the setting.
func (c *Compactor) deadShare(s *dataset.State) float64 {
	_, hidden := s.Schema.Column("file_row_number")
	switch {
	case !s.Schema.Keyed() || hidden:
		return 0
	case s.Table.Attached() != nil:
		return cmp.Or(c.DeadShare, wornShare)
	}
	return c.DeadShare
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
	return NewPlan(s, touched, c.target(s), c.deadShare(s)), nil
}

// Touched gives the keys of the base files into whose key ranges the pending
// changes of s fall; the map is the caller's.
func (c *Compactor) Touched(ctx context.Context, s *dataset.State) (map[string]bool, error) {
	return c.touch.of(ctx, s)
}

// Parts parts the base files of s as a fold would that touches these files.
func Parts(s *dataset.State, touched map[string]bool, targetBytes int64) (rewrite []lake.BaseFile, groups []job.Group) {
	rewrite, _, groups = part(s, touched, targetBytes)
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
	if plan.DeltasWithChanges == 0 && len(plan.Rewrite) == 0 && len(plan.Deltas) < emptyDeltas {
		return out, nil
	}
	if err := c.Shop.CheckDisk(plan.RewriteBytes + plan.MarkBytes + plan.PendingBytes); err != nil {
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
	spec, err := c.spec(ctx, s, plan)
	if err != nil {
		return out, lake.Step(step, err)
	}
	failpoint.Hit("compaction.planned")
	here, leave, err := c.Shop.Bring(ctx, spec.Fold.Base)
	if err != nil {
		return out, lake.Step(step, err)
	}
	defer leave()
	spec.Fold.Base = here
	res, err := c.Shop.Run(ctx, pad, spec, progress)
	if err != nil {
		return out, lake.Step(step, err)
	}
	if ctx.Err() != nil {
		return out, lake.Step(step, ctx.Err())
	}
	failpoint.Hit("compaction.executed")
	out.Inserted, out.Updated, out.Deleted = res.Inserted, res.Updated, res.Deleted
	out.Added, out.Deletes = len(res.Outputs)+len(res.Rewrites), len(res.Deletes)
	if spec.Fold.Marking != nil {
		out.Plan = plan.marked(s.Files, spec.Fold.Base, res.Rewritten)
	}
	table, files, err := c.Shop.Commit(c.Shop.Context, s.Table, c.folded(s, out.Plan, spec.Fold, res))
	if err != nil {
		return out, lake.Step(step+": commit", err)
	}
	failpoint.Hit("compaction.committed")
	next := c.Committer.PublishFold(change.NewBase{Table: table, Files: files, FoldedThrough: plan.Through})
	if next == nil {
		return out, lake.Errorf(lake.CodeDatasetNotFound, "%s: the dataset was dropped meanwhile", step)
	}
	failpoint.Hit("compaction.published")
	out.State = next
	out.FinalRows, _ = out.State.BaseSize()
	out.Elapsed = time.Since(began)
	return out, nil
}

func (c *Compactor) spec(ctx context.Context, s *dataset.State, plan Plan) (job.Spec, error) {
	f := &job.Fold{Schema: s.Schema, Base: plan.Rewrite, Groups: plan.Groups, Deltas: plan.Deltas}
	if share := c.deadShare(s); share > 0 {
		f.Base = slices.Concat(plan.Mark, plan.Rewrite)
		f.Marking = &job.Marking{DeadShare: share, Whole: s.Table.Vectors()}
		for i, file := range f.Base {
			location, err := s.Table.DataLocation(ctx, file.Key)
			if err != nil {
				return job.Spec{}, err
			}
			f.Marking.Locations = append(f.Marking.Locations, location)
			if s.Table.Fixed(file.Key) {
				f.Marking.Fixed = append(f.Marking.Fixed, i)
			}
			if i >= len(plan.Mark) {
				f.Marking.Rewrite = append(f.Marking.Rewrite, i)
			}
		}
	}
	return job.Spec{Kind: job.KindFold, TargetFileBytes: c.target(s), Fold: f}, nil
}

// folded is the commit that makes the changes part of the base, of a plan as it was
// carried out.
func (c *Compactor) folded(s *dataset.State, plan Plan, f *job.Fold, res job.Result) workshop.Commit {
	before, _ := s.BaseSize()
	out := workshop.Commit{
		Before: s.Files, Remove: plan.Rewrite, Outputs: res.Outputs, Rewritten: res.Rewrites,
		FoldedThrough: plan.Through, Rows: before + res.Inserted - res.Deleted, Kind: base.KindFold,
	}
	for _, d := range res.Deletes {
		out.Deletes = append(out.Deletes, workshop.Deletes{Of: f.Base[d.Base], Output: d.Output})
	}
	return out
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

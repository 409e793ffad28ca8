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

// Dedupe removes earlier duplicates by columns from a dataset without a key,
// keeping the last row in arrival order, and folds what is pending: a content
// commit. The caller holds the dataset's job lock.
func (c *Compactor) Dedupe(ctx context.Context, columns []string, progress func(job.Progress)) (Outcome, error) {
	began := time.Now()
	s := c.Dataset.State()
	step := "remove duplicates from " + s.Name.String()
	if s.Schema.Keyed() {
		return Outcome{}, lake.Errorf(lake.CodeHasPrimaryKey, "%s has the primary key %v: it holds no duplicates", s.Name, s.Schema.Key).
			WithHint("compact it without primary_key")
	}
	names := make([]string, len(columns))
	for i, name := range columns {
		at, ok := s.Schema.Column(name)
		if !ok {
			return Outcome{}, lake.Errorf(lake.CodeInvalidRequest, "%s has no column %q", s.Name, name)
		}
		names[i] = s.Schema.Columns[at].Name
	}
	_, bytes := s.BaseSize()
	_, _, pending := s.PendingSize()
	if err := c.Shop.CheckDisk(bytes + pending); err != nil {
		return Outcome{}, lake.Step(step, err)
	}
	release := c.Shop.InUse(s.UUID)
	defer release()
	pad, err := c.Shop.NewScratchpad("dedupe")
	if err != nil {
		return Outcome{}, err
	}
	defer pad.Remove()

	d := deduper{c: c, pad: pad, columns: names, progress: progress}
	var out Outcome
	err = CatchUp(ctx, c.Dataset, c.Committer, d.round, func(ctx context.Context, h *change.Held) (err error) {
		out, err = d.commit(ctx, h)
		return err
	})
	out.Elapsed = time.Since(began)
	return out, lake.Step(step, err)
}

// deduper carries the rounds of one Dedupe: each works on everything, as only
// the whole says which row is the last.
type deduper struct {
	c        *Compactor
	pad      *workshop.Scratchpad
	columns  []string
	progress func(job.Progress)

	result job.Result
}

func (d *deduper) round(ctx context.Context, s *dataset.State) error {
	files, leave, err := d.c.Shop.Bring(ctx, s.Files)
	if err != nil {
		return err
	}
	defer leave()
	res, err := d.c.Shop.Run(ctx, d.pad, job.Spec{Kind: job.KindDedupe, TargetFileBytes: d.c.target(s), Dedupe: &job.Dedupe{
		Schema: s.Schema, Base: files, Deltas: s.Pending(), Columns: d.columns,
	}}, d.progress)
	d.result = res
	return err
}

// commit runs with the committer held.
func (d *deduper) commit(ctx context.Context, h *change.Held) (Outcome, error) {
	s := h.State()
	plan := NewPlan(s, map[string]bool{}, d.c.target(s), 0)
	out := Outcome{Plan: plan, State: s, Deleted: d.result.Deleted, Inserted: plan.DeltaRows}
	out.BaseRows, _ = s.BaseSize()
	if d.result.Deleted == 0 && plan.DeltasWithChanges == 0 {
		out.Plan.Rewrite, out.Plan.Keep, out.Plan.RewriteBytes = nil, s.Files, 0
		out.Plan.Reason = "no duplicates, and nothing is pending"
		out.FinalRows = out.BaseRows
		return out, nil
	}
	next, err := h.ContentCommit(ctx, func(ctx context.Context, n int64) (change.NewBase, error) {
		table, files, err := d.c.Shop.Commit(ctx, s.Table, workshop.Commit{
			Before: s.Files, Remove: s.Files, Outputs: d.result.Outputs, FoldedThrough: n,
			Rows: out.BaseRows + plan.DeltaRows - d.result.Deleted, Kind: base.KindReplace,
		})
		return change.NewBase{Table: table, Files: files, FoldedThrough: n}, err
	})
	if err != nil {
		return out, lake.Step("commit", err)
	}
	out.State = next
	out.FinalRows, _ = next.BaseSize()
	out.Added = len(d.result.Outputs)
	out.Plan.Rewrite, out.Plan.Keep = s.Files, nil
	_, out.Plan.RewriteBytes = s.BaseSize()
	out.Plan.Reason = "earlier duplicates were removed by the columns asked for"
	return out, nil
}

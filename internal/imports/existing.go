package imports

import (
	"context"
	"os"
	"slices"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// importTarget is the size of base files for a dataset made of the files.
func importTarget(files []job.InputFile) int64 {
	total := int64(0)
	for _, f := range files {
		if fi, err := os.Stat(f.Path); err == nil { // a file that is not there is the job's to report
			total += fi.Size()
		}
	}
	return compaction.TargetFileBytes(total)
}

// Replace puts the files' rows in the place of all there was, keeping schema and
// key. What was acknowledged before the commit is replaced; nothing is refused.
func (i *Importer) Replace(ctx context.Context, c *compaction.Compactor, r Request) (Done, error) {
	s := c.Dataset.State()
	release := i.Shop.InUse(s.UUID)
	defer release()
	pad, err := i.Shop.NewScratchpad("import")
	if err != nil {
		return Done{}, err
	}
	defer pad.Remove()
	r.Key = s.Schema.Key
	res, err := i.read(ctx, pad, r, &s.Schema, i.target(s, r))
	if err != nil {
		return Done{}, err
	}
	failpoint.Hit("replace.executed")
	done := Done{Rows: res.Rows}
	// What came meanwhile is replaced as well: there is nothing to catch up with.
	nothing := func(context.Context, *dataset.State) error { return nil }
	err = compaction.CatchUp(ctx, c.Dataset, c.Committer, nothing, func(ctx context.Context, h *change.Held) (err error) {
		now := h.State()
		done.State, err = i.contentCommit(ctx, h, r, done.Rows, workshop.Commit{
			Before: now.Files, Remove: now.Files, Outputs: res.Outputs, Rows: res.FinalRows, Kind: base.KindReplace,
		})
		return err
	})
	return done, err
}

// Append adds the files' rows as the newest changes. On a keyed dataset existing
// keys are an error, or their rows are replaced (OnDuplicate last).
func (i *Importer) Append(ctx context.Context, c *compaction.Compactor, r Request) (Done, error) {
	s := c.Dataset.State()
	release := i.Shop.InUse(s.UUID)
	defer release()
	pad, err := i.Shop.NewScratchpad("import")
	if err != nil {
		return Done{}, err
	}
	defer pad.Remove()
	r.Key = s.Schema.Key
	res, err := i.read(ctx, pad, r, &s.Schema, i.target(s, r))
	if err != nil {
		return Done{}, err
	}
	failpoint.Hit("append.executed")
	a := appender{i: i, c: c, pad: pad, r: r, imported: res}
	done := Done{Rows: res.Rows}
	err = compaction.CatchUp(ctx, c.Dataset, c.Committer, a.round, func(ctx context.Context, h *change.Held) (err error) {
		done.State, err = i.contentCommit(ctx, h, r, done.Rows, a.commit(h.State()))
		return err
	})
	return done, err
}

func (i *Importer) target(s *dataset.State, r Request) int64 {
	if i.TargetFileBytes > 0 {
		return i.TargetFileBytes
	}
	_, bytes := s.BaseSize()
	return max(compaction.TargetFileBytes(bytes), importTarget(r.Files))
}

// contentCommit runs with the committer held.
func (i *Importer) contentCommit(ctx context.Context, h *change.Held, r Request, rows int64, commit workshop.Commit) (*dataset.State, error) {
	s := h.State()
	next, err := h.ContentCommit(ctx, func(ctx context.Context, n int64) (change.NewBase, error) {
		commit.FoldedThrough = n
		commit.Catalog = func(v *format.Version) {
			if r.Catalog != nil {
				r.Catalog(v, lake.ReadPoint{TableUUID: s.UUID, Sequence: n}, rows)
			}
		}
		table, files, err := i.Shop.Commit(ctx, s.Table, commit)
		return change.NewBase{Table: table, Files: files, FoldedThrough: n}, err
	})
	return next, lake.Step("commit", err)
}

// appender carries the rounds of one Append.
type appender struct {
	i        *Importer
	c        *compaction.Compactor
	pad      *workshop.Scratchpad
	r        Request
	imported job.Result

	rewrite []lake.BaseFile
	result  job.Result // of the fold, where one was needed
}

// round folds what is pending at s, and on a keyed dataset the imported rows on
// top of it, into the base files that either touches.
func (a *appender) round(ctx context.Context, s *dataset.State) error {
	a.rewrite, a.result = nil, job.Result{}
	fold := &job.Fold{Schema: s.Schema, Deltas: s.Pending()}
	if s.Schema.Keyed() {
		touched, err := a.c.Touched(ctx, s)
		if err != nil {
			return err
		}
		for _, o := range a.imported.Outputs {
			if err := compaction.TouchedBy(ctx, s, o.Path, touched); err != nil {
				return lake.Step("read the keys of the imported rows", err)
			}
			fold.Imported = append(fold.Imported, o.Path)
		}
		fold.Base, fold.Groups = compaction.Parts(s, touched, a.i.target(s, a.r))
		fold.RefuseExisting = a.r.OnDuplicate != job.OnDuplicateLast
	}
	if deltas, _, _ := s.PendingSize(); deltas == 0 && len(fold.Imported) == 0 {
		return nil
	}
	var err error
	a.rewrite = fold.Base
	var leave func()
	if fold.Base, leave, err = a.i.Shop.Bring(ctx, fold.Base); err != nil {
		return err
	}
	defer leave()
	a.result, err = a.i.Shop.Run(ctx, a.pad, job.Spec{Kind: job.KindFold, TargetFileBytes: a.i.target(s, a.r), Fold: fold}, a.r.Progress)
	return err
}

func (a *appender) commit(s *dataset.State) workshop.Commit {
	rows, _ := s.BaseSize()
	out := workshop.Commit{
		Before: s.Files, Remove: a.rewrite, Outputs: a.result.Outputs,
		Rows: rows + a.result.Inserted - a.result.Deleted, Kind: base.KindReplace,
	}
	if !s.Schema.Keyed() {
		out.Outputs = slices.Concat(a.result.Outputs, a.imported.Outputs)
		out.Rows += a.imported.Rows
	}
	return out
}

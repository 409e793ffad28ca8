package compaction

import (
	"context"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// Rewriting is what a statement makes of a dataset without a key, executed and not
// committed: a content commit of the files that have rows which it changes, of what is
// pending, and of the rows that it inserts.
type Rewriting struct {
	job.Result
	Commit workshop.Commit
}

// Rewrite executes the changes of rows of s by their places (job.Rewrite). The caller
// holds the dataset's job lock and its committer, so that s stays the newest state.
func (c *Compactor) Rewrite(ctx context.Context, pad *workshop.Scratchpad, s *dataset.State, op string, input job.InputFile, maxRowBytes int64) (Rewriting, error) {
	files, leave, err := c.Shop.Bring(ctx, s.Files)
	if err != nil {
		return Rewriting{}, err
	}
	defer leave()
	// Else each statement behind appends would leave one more small file at the end.
	tail := takeTail(files, map[string]bool{}, c.target(s))
	res, err := c.Shop.Run(ctx, pad, job.Spec{Kind: job.KindRewrite, TargetFileBytes: c.target(s), Rewrite: &job.Rewrite{
		Schema: s.Schema, Base: files, Rewrite: foreign(files), Tail: tail, Deltas: s.Pending(), Op: op, Input: input, MaxRowBytes: int(maxRowBytes),
	}}, nil)
	if err != nil {
		return Rewriting{}, err
	}
	failpoint.Hit("rewrite.executed")
	out := Rewriting{Result: res, Commit: workshop.Commit{Before: s.Files, Outputs: res.Outputs, Ordinals: []int64{}, Kind: base.KindReplace}}
	out.Commit.Rows, _ = s.BaseSize()
	for _, i := range res.Rewritten {
		out.Commit.Remove = append(out.Commit.Remove, s.Files[i])
		out.Commit.Rows -= s.Files[i].Live()
	}
	out.Commit.Rows += res.FinalRows
	last := workshop.NextOrdinal(s.Files)
	if tail > 0 {
		last = s.Files[len(s.Files)-tail].Ordinal
	}
	for _, o := range res.Outputs {
		if o.Group < len(s.Files) {
			out.Commit.Ordinals = append(out.Commit.Ordinals, s.Files[o.Group].Ordinal)
			continue
		}
		out.Commit.Ordinals = append(out.Commit.Ordinals, last)
		last++
	}
	return out, nil
}

// foreign are the positions of files that others wrote. Such a file has its place among
// the others by when it was committed, and no ordinal in its name, so that it would move
// where a file before it is written anew: it goes with it.
func foreign(files []lake.BaseFile) []int {
	var out []int
	for i := range files {
		if files[i].Foreign {
			out = append(out, i)
		}
	}
	return out
}

package workshop

import (
	"context"
	"slices"
	"time"

	"tarn/internal/base"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// Commit is a change of a table's files that is to become current.
type Commit struct {
	Before        []lake.BaseFile // the files it starts from
	Remove        []lake.BaseFile
	Outputs       []job.Output // of a job, to be added
	Deletes       []Deletes
	Rewritten     []job.Output // what is left of Remove; Outputs are new then
	Ordinals      []int64      // of Outputs, where they keep the place of files that they replace; nil: see ordinal
	FoldedThrough int64
	Rows          int64 // that the base must have afterwards, by the job's own counts
	Kind          base.Kind
	Catalog       func(*format.Version) // edits the same catalog version, may be nil
}

// Deletes are position deletes of rows of a file of Before; all that the file has, where the
// table has deletion vectors.
type Deletes struct {
	Of lake.BaseFile
	job.Output
}

// ordinal is the arrival ordinal of the first new file: that of the first file
// it replaces where these are the newest, else the next.
func (c Commit) ordinal() int64 {
	if len(c.Remove) == 0 {
		return NextOrdinal(c.Before)
	}
	removed := map[string]bool{}
	for _, f := range c.Remove {
		removed[f.Key] = true
	}
	next := int64(0)
	for _, f := range c.Before {
		if !removed[f.Key] {
			next = max(next, f.Ordinal+1)
		}
	}
	return next
}

// ordinals are those of the outputs.
func (c Commit) ordinals() []int64 {
	if c.Ordinals != nil {
		return c.Ordinals
	}
	return inTurn(c.ordinal(), len(c.Outputs))
}

// Commit takes the outputs in, commits them to the table and gives the table as
// it is then, with its files ready to be read. It fails with CodeInternal,
// before anything is current, when the files do not hold the rows that the job
// counted.
func (w *Workshop) Commit(ctx context.Context, t *base.Table, c Commit) (*base.Table, []lake.BaseFile, error) {
	if err := c.countRows(t.Vectors()); err != nil {
		return nil, nil, err
	}
	added, err := w.takeIn(ctx, t, c.Outputs, c.ordinals())
	if err != nil {
		return nil, nil, err
	}
	var deletes []base.NewDeletes
	for _, d := range c.Deletes {
		one, err := t.TakeInDeletes(ctx, d.Path, d.Of, d.Rows)
		if err != nil {
			return nil, nil, err
		}
		failpoint.Hit("workshop.deletes-taken-in")
		deletes = append(deletes, one)
	}
	from := c.ordinal()
	rewritten, err := w.takeIn(ctx, t, c.Rewritten, inTurn(from+int64(len(c.Outputs)), len(c.Rewritten)))
	if err != nil {
		return nil, nil, err
	}
	next, err := t.Commit(ctx, base.Change{
		Kind: c.Kind, Remove: c.Remove, Add: added, Deletes: deletes, Rewritten: rewritten, FoldedThrough: c.FoldedThrough, KeepFor: w.KeepSnapshots, KeepLast: 1,
	}, w.MakeCurrent(t, c.Catalog))
	if err != nil {
		return nil, nil, err
	}
	failpoint.Hit("workshop.committed")
	files, err := w.ReadableAfterCommit(ctx, next, c.Before)
	return next, files, err
}

// ReadableAfterCommit is Readable for a base that is current already: there is
// no way back, so it tries until it can or the server ends. Files that were there
// before keep the path and identity they had: if one is not that file any more,
// whoever reads it finds out, and that is no reason not to show the others.
func (w *Workshop) ReadableAfterCommit(ctx context.Context, t *base.Table, before []lake.BaseFile) ([]lake.BaseFile, error) {
	known := map[string]lake.BaseFile{}
	for _, f := range before {
		known[f.Key] = f
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		files, err := w.readableNew(ctx, t, known)
		if err == nil {
			return files, nil
		}
		w.Log.Error("the new base is committed, but its files cannot be read yet", "table", t.UUID(), "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, lake.Errorf(lake.CodeUnknownOutcome, "the commit went in, but the server ended before it could show it: %w", err)
		}
	}
}

func (w *Workshop) readableNew(ctx context.Context, t *base.Table, known map[string]lake.BaseFile) ([]lake.BaseFile, error) {
	files, err := t.Files(ctx)
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		if k, ok := known[f.Key]; ok {
			if files[i], err = w.withDeletes(ctx, k, f); err != nil {
				return nil, err
			}
			continue
		}
		one, err := w.Verifier.Files(ctx, []lake.BaseFile{f})
		if err != nil {
			return nil, err
		}
		files[i] = one[0]
	}
	return files, nil
}

// withDeletes is a file as it was known, with the delete files and bounds that it has
// now.
func (w *Workshop) withDeletes(ctx context.Context, known, now lake.BaseFile) (_ lake.BaseFile, err error) {
	paths := map[string]string{}
	for _, d := range known.Deletes {
		paths[d.Key] = d.Path
	}
	known.Deletes, known.Dead = slices.Clone(now.Deletes), now.Dead
	known.Lower, known.Upper = now.Lower, now.Upper // which are of the key's type
	for i := range known.Deletes {
		d := &known.Deletes[i]
		if d.Path = paths[d.Key]; d.Path != "" {
			continue
		}
		if d.Path, _, err = w.Verifier.Verify(ctx, d.Key); err != nil {
			return known, err
		}
	}
	return known, nil
}

// countRows holds the job's counts against the files' own.
func (c Commit) countRows(vectors bool) error {
	rows := int64(0)
	for _, f := range c.Before {
		rows += f.Live()
	}
	removed := map[string]bool{}
	for _, f := range c.Remove {
		removed[f.Key] = true
		rows -= f.Live()
	}
	for _, d := range c.Deletes {
		if removed[d.Of.Key] {
			continue
		}
		if rows -= d.Rows; vectors { // which have those that were dead too
			rows += d.Of.Dead
		}
	}
	for _, o := range slices.Concat(c.Outputs, c.Rewritten) {
		rows += o.Rows
	}
	if rows != c.Rows {
		return lake.Errorf(lake.CodeInternal, "the new base would have %d rows where %d are due; nothing was committed", rows, c.Rows)
	}
	return nil
}

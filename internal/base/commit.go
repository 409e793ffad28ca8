package base

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// Kind says in the snapshot's summary what a commit was for.
type Kind string

// The kinds of commits.
const (
	KindAppend  Kind = "append"  // import into a dataset without a key, or a new one
	KindFold    Kind = "fold"    // pending deltas become part of the base
	KindReplace Kind = "replace" // any other change of the content
)

const summaryKind = "tarn.kind"

// Change is what a commit does to a table: all of it in one snapshot, or without
// one where no file comes or goes. Where files are removed and rows of files are deleted
// too it is two, of one metadata file, as iceberg-go has no operation for both: the first
// adds the files and deletes the rows, of files as well that the second removes and puts
// the rewritten ones in place of.
type Change struct {
	Kind          Kind
	Remove        []lake.BaseFile // live files, by key
	Add           []NewFile
	Deletes       []NewDeletes
	Rewritten     []NewFile // what is left of Remove
	FoldedThrough int64     // from now on; it never goes back
	Summary       map[string]string

	// Snapshots older than KeepFor (0: an hour) leave the metadata, except the
	// last KeepLast (0: ten).
	KeepFor  time.Duration
	KeepLast int
}

const (
	defaultKeepFor  = time.Hour
	defaultKeepLast = 10
	// manifestLimit is the number of manifests from which a commit also merges
	// them: each costs every reader and every fold about 0.4 ms.
	manifestLimit = 25
)

// Commit writes the metadata of the changed table, calls makeCurrent with its
// key, and gives the table as it is then. Before makeCurrent, the new snapshot
// is read back and its counts are held against the old ones and the change.
//
// An error of makeCurrent is returned as it is; after lake.CodeUnknownOutcome of
// it the commit may have happened. After any other error nothing has changed;
// the files that were written are unreachable, and collected some day.
func (t *Table) Commit(ctx context.Context, c Change, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	before, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	p, err := t.plan(before, c)
	if err != nil {
		return nil, err
	}
	meta, err := present(t.meta, time.Now())
	if err != nil {
		return nil, err
	}
	v := t.fs.view(ctx, t.root)
	cat := &committer{table: t, meta: meta, view: v, makeCurrent: makeCurrent, files: p.files, rows: p.rows}
	fsF := func(context.Context) (icebergFS, error) { return v, nil }
	tx, err := table.New(table.Identifier{t.folder}, meta, v.uri(t.key), fsF, cat).NewTransactionOnBranchWithError(table.MainBranch)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "commit: %w", err)
	}
	if err := p.stage(ctx, tx); err != nil {
		return nil, commitFailed(err)
	}
	if _, err := tx.Commit(ctx); err != nil && cat.next == nil {
		if cat.failed != nil { // as it was, and not as iceberg-go wraps it
			return nil, cat.failed
		}
		return nil, commitFailed(err)
	}
	if cat.next == nil {
		return nil, lake.Errorf(lake.CodeInternal, "commit: iceberg-go committed nothing")
	}
	return cat.next, nil
}

// commitFailed keeps the code of an error that iceberg-go passed on from below.
func commitFailed(err error) error {
	if lake.CodeOf(err) != lake.CodeInternal {
		return lake.Step("commit", err)
	}
	return lake.Errorf(lake.CodeInternal, "commit: %w", err)
}

// plan is a Change in the terms of Iceberg.
type plan struct {
	change        Change
	folded        int64
	remove        []iceberg.DataFile
	removeDeletes []iceberg.DataFile // position deletes that have nothing left to apply to
	add           []iceberg.DataFile
	addDeletes    []iceberg.DataFile
	replaced      []iceberg.DataFile // deletion vectors in the place of which those of addDeletes come
	rewritten     []iceberg.DataFile
	files         int   // after the commit
	rows          int64 // after the commit
	manifests     int   // before the commit
	vectors       bool  // the table has them, and ids of rows
}

func (t *Table) plan(before *content, c Change) (*plan, error) {
	if c.FoldedThrough < t.folded {
		return nil, lake.Errorf(lake.CodeInternal, "commit: folded-through goes back from %d to %d", t.folded, c.FoldedThrough)
	}
	p := &plan{change: c, folded: c.FoldedThrough, files: len(before.files), rows: before.rows, manifests: before.manifests, vectors: t.Vectors()}
	leaving := map[string]bool{}
	for _, f := range c.Remove {
		if leaving[f.Key] {
			return nil, lake.Errorf(lake.CodeInternal, "commit: %s is removed twice", f.Key)
		}
		leaving[f.Key] = true
	}
	stays := map[string]bool{} // delete files that a file which stays needs
	for _, f := range before.files {
		if leaving[f.base.Key] {
			p.remove = append(p.remove, f.ice)
			p.rows -= f.ice.Count()
			continue
		}
		for _, d := range f.base.Deletes {
			stays[d.Key] = true
		}
	}
	if len(p.remove) != len(c.Remove) {
		return nil, lake.Errorf(lake.CodeInternal, "commit: %d of %d files to remove are in the table", len(p.remove), len(c.Remove))
	}
	if len(p.remove) > 0 {
		for _, d := range before.deletes {
			if !stays[d.key] {
				p.removeDeletes = append(p.removeDeletes, d.ice)
			}
		}
	}
	for _, f := range c.Add {
		p.add = append(p.add, f.ice)
		p.rows += f.ice.Count()
	}
	p.delete(before, c.Deletes)
	for _, f := range c.Rewritten {
		p.rewritten = append(p.rewritten, f.ice)
		p.rows += f.ice.Count()
	}
	p.files += len(p.add) + len(p.rewritten) - len(p.remove)
	return p, nil
}

// delete plans new delete files. Of a data file that leaves, in the second snapshot, they
// leave too.
func (p *plan) delete(before *content, deletes []NewDeletes) {
	leaving, of := map[string]bool{}, map[string]bool{} // data files, by location
	for _, f := range p.remove {
		leaving[f.FilePath()] = true
	}
	for _, d := range deletes {
		location := *d.ice.ReferencedDataFile()
		of[location] = true
		p.addDeletes = append(p.addDeletes, d.ice)
		if leaving[location] {
			p.removeDeletes = append(p.removeDeletes, d.ice)
		}
	}
	for _, d := range before.deletes {
		if d.vector && of[*d.ice.ReferencedDataFile()] {
			p.replaced = append(p.replaced, d.ice)
			p.removeDeletes = slices.DeleteFunc(p.removeDeletes, func(r iceberg.DataFile) bool { return r.FilePath() == d.ice.FilePath() })
		}
	}
}

// stage puts the plan into a transaction.
func (p *plan) stage(ctx context.Context, tx *table.Transaction) error {
	folded := strconv.FormatInt(p.folded, 10)
	summary := iceberg.Properties{summaryKind: string(p.change.Kind), propertyFolded: folded}
	maps.Copy(summary, p.change.Summary)
	if err := p.stageFiles(ctx, tx, summary); err != nil {
		return err
	}
	// The property goes with every commit, so that there always is an update.
	if err := tx.SetProperties(iceberg.Properties{propertyFolded: folded}); err != nil {
		return err
	}
	if p.manifests >= manifestLimit {
		if _, err := tx.RewriteManifests(ctx); err != nil {
			return err
		}
	}
	keepFor, keepLast := p.change.KeepFor, p.change.KeepLast
	if keepFor == 0 {
		keepFor = defaultKeepFor
	}
	if keepLast == 0 {
		keepLast = defaultKeepLast
	}
	return tx.ExpireSnapshots(table.WithOlderThan(keepFor), table.WithRetainLast(keepLast), table.WithPostCommit(false))
}

func (p *plan) stageFiles(ctx context.Context, tx *table.Transaction, summary iceberg.Properties) error {
	add := slices.Concat(p.add, p.rewritten)
	if len(p.addDeletes) > 0 || len(p.remove) == 0 && len(add) > 0 {
		if err := tx.NewRowDelta(summary).AddRows(p.add...).AddDeletes(p.addDeletes...).RemoveDeletes(p.replaced...).Commit(ctx); err != nil {
			return err
		}
		add = p.rewritten
	}
	if len(p.remove) == 0 {
		return nil
	}
	if p.vectors {
		staged, err := tx.StagedTable()
		if err != nil {
			return err
		}
		rowID := staged.Metadata().NextRowID()
		for i, df := range add { // which iceberg-go wants to be told here, and finds itself above
			b, err := builderOf(df, df.FilePath(), df.FileSizeBytes())
			if err != nil {
				return err
			}
			add[i] = b.FirstRowID(rowID).Build()
			rowID += df.Count()
		}
	}
	return tx.ReplaceFiles(ctx, p.remove, add, p.removeDeletes, summary, table.WithoutAutoNameMapping())
}

// builderOf begins a copy of a file's manifest entry under another location. The table is
// not partitioned.
func builderOf(df iceberg.DataFile, uri string, size int64) (*iceberg.DataFileBuilder, error) {
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, df.ContentType(), uri, df.FileFormat(), df.Partition(), nil, nil, df.Count(), size)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "%s: %w", uri, err)
	}
	measured(b, df)
	if id := df.SortOrderID(); id != nil {
		b.SortOrderID(*id)
	}
	if id := df.FirstRowID(); id != nil {
		b.FirstRowID(*id)
	}
	return b, nil
}

// measured gives an entry what another says of a file's columns.
func measured(b *iceberg.DataFileBuilder, df iceberg.DataFile) *iceberg.DataFileBuilder {
	return b.ColumnSizes(df.ColumnSizes()).ValueCounts(df.ValueCounts()).NullValueCounts(df.NullValueCounts()).
		NaNValueCounts(df.NaNValueCounts()).LowerBoundValues(df.LowerBoundValues()).UpperBoundValues(df.UpperBoundValues()).
		SplitOffsets(df.SplitOffsets())
}

package imports

import (
	"cmp"
	"context"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// Request is what every import has in common. The files are on this machine.
type Request struct {
	Name          lake.Name
	Key           []string // primary key; for an existing dataset that of its schema, or nil
	OnDuplicate   string   // job.OnDuplicateError or OnDuplicateLast
	Files         []job.InputFile
	Schema        *lake.Schema // of a dataset to be made, with field ids; nil: inferred from the files
	Progress      func(job.Progress)
	FormatVersion int               // of a new table; 0: the importer's
	Properties    map[string]string // of a new table, besides tarn's own
	// Catalog edits the catalog version that makes the import current; it is
	// told the read point that the import will have. May be nil.
	Catalog func(next *format.Version, at lake.ReadPoint, rows int64)
}

// Done is what an import came to.
type Done struct {
	State *dataset.State
	Rows  int64 // taken in from the files
}

// Importer imports into one lake.
type Importer struct {
	Shop            *workshop.Workshop
	TargetFileBytes int64
	MaxRowBytes     int64 // of a row in a text file
	FormatVersion   int   // Iceberg's, of new tables
}

// read runs the job that turns the files into Parquet of the base's shape. A nil
// schema is inferred.
func (i *Importer) read(ctx context.Context, pad *workshop.Scratchpad, r Request, schema *lake.Schema, target int64) (job.Result, error) {
	return i.Shop.Run(ctx, pad, job.Spec{Kind: job.KindImport, TargetFileBytes: target, Import: &job.Import{
		Files: r.Files, Schema: schema, Key: r.Key, OnDuplicate: r.OnDuplicate, MaxRowBytes: int(i.MaxRowBytes),
	}}, r.Progress)
}

// Folder is where a table's base lives; it keeps its first name after a rename.
func Folder(name lake.Name, tableUUID string) string {
	return "base/" + name.Namespace + "/" + name.Dataset + "-" + tableUUID
}

// Create makes a dataset of the files. The state it gives is committed, and not
// yet known to anybody: the caller registers it.
func (i *Importer) Create(ctx context.Context, tableUUID string, r Request) (Done, error) {
	release := i.Shop.InUse(tableUUID)
	defer release()
	pad, err := i.Shop.NewScratchpad("import")
	if err != nil {
		return Done{}, err
	}
	defer pad.Remove()
	target := i.TargetFileBytes
	if target == 0 {
		target = importTarget(r.Files)
	}
	res, err := i.read(ctx, pad, r, r.Schema, target)
	if err != nil {
		return Done{}, err
	}
	if ctx.Err() != nil {
		return Done{}, lake.Step("commit", ctx.Err())
	}
	failpoint.Hit("import.executed")
	return i.CreateWith(i.Shop.Context, tableUUID, *res.Schema, res, r)
}

// CreateWith makes a dataset of a schema (with field ids) and the files that a
// job left; there may be none.
func (i *Importer) CreateWith(ctx context.Context, tableUUID string, schema lake.Schema, res job.Result, r Request) (Done, error) {
	release := i.Shop.InUse(tableUUID)
	defer release()
	table, err := base.CreateWith(ctx, i.Shop.FS, Folder(r.Name, tableUUID), schema, tableUUID, cmp.Or(r.FormatVersion, i.FormatVersion), r.Properties)
	if err != nil {
		return Done{}, lake.Step("create the base", err)
	}
	failpoint.Hit("create.base-created")
	at := lake.ReadPoint{TableUUID: tableUUID}
	makeCurrent := i.MakeKnown(r.Name, tableUUID, func(next *format.Version) {
		if r.Catalog != nil {
			r.Catalog(next, at, res.Rows)
		}
	})
	if len(res.Outputs) == 0 {
		err = makeCurrent(ctx, table.MetadataKey())
	} else {
		var added []base.NewFile
		if added, err = i.Shop.TakeIn(ctx, table, res.Outputs, 0); err != nil {
			return Done{}, err
		}
		table, err = table.Commit(ctx, base.Change{Kind: base.KindAppend, Add: added}, makeCurrent)
	}
	if err != nil {
		return Done{}, lake.Step("commit", err)
	}
	failpoint.Hit("create.committed")
	files, err := i.Shop.ReadableAfterCommit(ctx, table, nil)
	if err != nil {
		return Done{}, err
	}
	return Done{Rows: res.Rows, State: &dataset.State{
		Name: r.Name, UUID: tableUUID, Schema: table.Schema(), Table: table, Files: files,
	}}, nil
}

// MakeKnown gives the function that makes a new table, by its metadata, that of a new
// dataset by one catalog version; more, if set, edits the same version.
func (i *Importer) MakeKnown(name lake.Name, tableUUID string, more func(*format.Version)) func(ctx context.Context, metadataKey string) error {
	return func(ctx context.Context, metadataKey string) error {
		return i.Shop.CommitCatalog(ctx, func(next *format.Version) error {
			if next.FindName(name) != nil {
				return lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", name).
					WithHint("drop it, choose another name, or import with mode append or replace")
			}
			next.Datasets = append(next.Datasets, format.DatasetEntry{
				Namespace: name.Namespace, Name: name.Dataset, TableUUID: tableUUID, Metadata: metadataKey,
			})
			if more != nil {
				more(next)
			}
			return nil
		}, func(v *format.Version) bool { return v.Find(tableUUID) != nil })
	}
}

package base

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// KindSync is the kind of a commit after which the base is exactly a snapshot of a table that
// others own.
const KindSync Kind = "sync"

// propertyAttached is the table property of a table that stands on one of others: an
// Attachment as JSON.
const propertyAttached = "tarn.attached"

// propertyByID is the table property, true, of a table that has, or had, files of an owner:
// they may call columns otherwise than any schema that is known, as Iceberg's own writers do
// with names that Avro has not, and schemas that no snapshot has any more may be forgotten.
const propertyByID = "tarn.columns-by-id"

// attachedTag is the tag of the snapshot that holds exactly what the owner's does: what came
// since is tarn's own. A tagged snapshot stays in the metadata.
const attachedTag = "attached"

// Attachment says which table of others a table stands on, and as of when.
type Attachment struct {
	Location string `json:"location,omitempty"` // a metadata file or a folder; or
	Catalog  string `json:"catalog,omitempty"`  // the name of a catalog, and
	Table    string `json:"table,omitempty"`    // of the table in it
	UUID     string `json:"uuid"`               // the owner's table's
	Metadata string `json:"metadata"`           // the owner's metadata file that was taken
	Snapshot int64  `json:"snapshot,omitempty"` // and its snapshot, 0 for none
	Files    int    `json:"files"`              // data files in it
}

// Attached says which table of others the table stands on; nil: it is tarn's own.
func (t *Table) Attached() *Attachment { return t.attached }

func attachedOf(properties iceberg.Properties) (*Attachment, error) {
	text, ok := properties[propertyAttached]
	if !ok {
		return nil, nil
	}
	a := &Attachment{}
	if err := json.Unmarshal([]byte(text), a); err != nil {
		return nil, lake.Errorf(lake.CodeUnsupported, "table property %s: %w", propertyAttached, err)
	}
	return a, nil
}

// attachedName is the name of a data file of an owner in the table's folder: in it is which
// of the owner's files it is.
var attachedName = regexp.MustCompile(`^attached-([0-9a-f]{32})-[0-9a-f]{8}-x[0-9a-f]{32}\.parquet$`)

// OwnersFile is how the name of a data file says which of the owner's files it is, by the
// URI that the owner has for it.
func OwnersFile(uri string) string { return store.HashBytes([]byte(uri)) }

// FromOwner gives the OwnersFile of a data file that was taken from an owner; ok is false
// for others.
func FromOwner(key string) (id string, ok bool) {
	m := attachedName.FindStringSubmatch(path.Base(key))
	if m == nil {
		return "", false
	}
	return m[1], true
}

// Fixed says whether a data file of the table is its owner's: rows of it are marked dead,
// and it is not rewritten.
func (t *Table) Fixed(key string) bool {
	_, theirs := FromOwner(key)
	return theirs && t.attached != nil
}

// CreateAttached is CreateWith for a table that is to stand on one of others: its columns
// have the owner's field ids, its schemas are those that the owner's table had, then the
// current one as the dataset has it, and new columns get ids after the owner's last one. One
// that stays attached has deletion vectors.
func CreateAttached(ctx context.Context, fs *FS, folder string, schema lake.Schema, tableUUID string, version int, had []*iceberg.Schema, lastColumnID int) (*Table, error) {
	t, _, err := draft(fs, folder, schema, tableUUID, version, map[string]string{propertyByID: "true"})
	if err != nil {
		return nil, lake.Step("create table", err)
	}
	meta, err := withSchemas(t.meta, had, lastColumnID)
	if err != nil {
		return nil, lake.Step("create table", err)
	}
	t, body, err := newTable(fs, folder, 0, meta)
	if err != nil {
		return nil, lake.Step("create table", err)
	}
	return t, lake.Step("create table", fs.create(ctx, t.key, body))
}

// withSchemas gives metadata that had other schemas before. iceberg-go has no update for the
// last field id.
func withSchemas(meta table.Metadata, had []*iceberg.Schema, lastColumnID int) (table.Metadata, error) {
	b, err := table.MetadataBuilderFromBase(meta, "")
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "%w", err)
	}
	now := meta.CurrentSchema()
	for _, s := range had {
		if s.Equals(now) {
			continue
		}
		if err := b.AddSchema(s); err != nil {
			return nil, lake.Errorf(lake.CodeUnsupported, "a schema that the table had: %w", err)
		}
	}
	if meta, err = b.Build(); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "%w", err)
	}
	doc, err := documentOf(meta)
	if err != nil {
		return nil, err
	}
	doc["last-column-id"] = max(lastColumnID, meta.LastColumnID())
	return parseMetadata(doc)
}

// OwnersSchema is the schema of a table of others as that of a dataset with this primary key,
// whose columns may not be null then; nil: the identifier fields.
func OwnersSchema(s *iceberg.Schema, key []string) (lake.Schema, error) {
	out, err := plainSchema(s)
	if err != nil {
		return lake.Schema{}, err
	}
	out.ID = 0
	if key != nil {
		out.Key = key
	}
	if err := out.Check(); err != nil {
		return lake.Schema{}, err
	}
	if err := numbersHidden(out); err != nil {
		return lake.Schema{}, err
	}
	for _, i := range out.KeyIndexes() {
		out.Columns[i].Nullable = false
	}
	return out, nil
}

// numbersHidden refuses a column that is called as the number of a row in DuckDB's scans: files
// of an owner are not rewritten, and their rows are marked dead by these numbers.
func numbersHidden(s lake.Schema) error {
	if _, hidden := s.Column("file_row_number"); !hidden {
		return nil
	}
	return lake.Errorf(lake.CodeUnsupported, "it has a column file_row_number, and rows of files are numbered by that name").
		WithHint("have its owner rename the column and rewrite the files (rewrite_data_files): they keep the names that they were written with")
}

// Follow gives the operations that make the table's schema the one that its owner's table
// has now, none where it is that; the key stays. CodeUnsupported where there are none such.
func (t *Table) Follow(theirs *iceberg.Schema) ([]lake.SchemaOperation, error) {
	key := []string{} // by its names there
	for _, i := range t.schema.KeyIndexes() {
		f, ok := theirs.FindFieldByID(t.schema.Columns[i].ID)
		if !ok {
			return nil, cannotFollow("its column %q, of the primary key, was dropped", t.schema.Columns[i].Name)
		}
		key = append(key, f.Name)
	}
	wanted, err := OwnersSchema(theirs, key)
	if err != nil {
		return nil, err
	}
	if SameSchema(t.schema, wanted) {
		return nil, nil
	}
	operations := difference(t.schema, wanted)
	for i := range operations {
		if o := &operations[i]; o.Op == lake.OpAddColumn { // he may have dropped others since
			at, _ := wanted.Column(o.Name)
			o.ID = wanted.Columns[at].ID
		}
	}
	if len(operations) > 0 {
		got, err := t.schema.Evolve(operations, t.meta.LastColumnID())
		if err != nil {
			return nil, err
		}
		if SameSchema(got.Schema, wanted) {
			return operations, nil
		}
	}
	return nil, cannotFollow("its columns are %v now, and no schema change of tarn makes these of %v", wanted.Columns, t.schema.Columns)
}

func cannotFollow(format string, args ...any) error {
	return lake.Errorf(lake.CodeUnsupported, "the schema of the owner's table changed in a way that tarn cannot follow: "+format, args...).
		WithHint("the dataset stays on the snapshot that it has; detach it, and attach the table anew under another name")
}

// TakeInAttached is TakeIn for a data file of an owner, of which df is the owner's entry and
// uri the owner's name. The file must have the columns of the table, as far as it was written
// with them: they are found by field ids. Those of inPath, by field id, have to be in it: where a
// table is partitioned by them other programs may read them from paths.
func (t *Table) TakeInAttached(ctx context.Context, path, uri string, df iceberg.DataFile, inPath []int) (NewFile, error) {
	id := OwnersFile(uri)
	key, size, err := t.move(ctx, path, func(hash string) string {
		return fmt.Sprintf("attached-%s-%s-x%s.parquet", id, uuid.NewString()[:8], hash)
	})
	if err != nil {
		return NewFile{}, err
	}
	if size != df.FileSizeBytes() {
		return NewFile{}, lake.Errorf(lake.CodeRowsInvalid, "%s has %d bytes, and its manifest says %d", uri, size, df.FileSizeBytes())
	}
	if err := t.checkColumns(ctx, key, df.Count(), inPath); err != nil {
		return NewFile{}, lake.Step(uri, err)
	}
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, t.DataURI(key), iceberg.ParquetFile, nil, nil, nil, df.Count(), size)
	if err != nil {
		return NewFile{}, lake.Errorf(lake.CodeInternal, "take in %s: %w", uri, err)
	}
	ice := measured(b, df).Build()
	f, err := t.dataFile(key, ice, 0)
	if lake.CodeOf(err) == lake.CodeDamaged { // what the owner says of it, and no byte of ours
		err = lake.Errorf(lake.CodeRowsInvalid, "%s: %w", uri, err)
	}
	if err != nil {
		return NewFile{}, err
	}
	return NewFile{f.base, ice}, t.written(ctx, key)
}

// checkColumns holds the columns of a file of an owner against the table's. A column that
// came after the file was written is not in it, and one that may be null reads as null then.
func (t *Table) checkColumns(ctx context.Context, key string, rows int64, inPath []int) error {
	o, err := t.fs.store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer o.Close()
	columns, n, err := parquetColumns(o)
	if err != nil {
		return lake.Errorf(lake.CodeUnsupported, "its columns cannot be read: %w", err).
			WithHint("every column of a data file has its field id in the file; files that were added with a name mapping have none: rewrite them (rewrite_data_files)")
	}
	if n != rows {
		return lake.Errorf(lake.CodeRowsInvalid, "it has %d rows, and its manifest says %d", n, rows)
	}
	if err := numbersHidden(lake.Schema{Columns: columns}); err != nil {
		return err
	}
	had := map[int]lake.Column{}
	for _, c := range columns {
		had[c.ID] = c
	}
	for _, want := range t.schema.Columns {
		got, ok := had[want.ID]
		switch {
		case !ok && !want.Nullable:
			return lake.Errorf(lake.CodeUnsupported, "it has no column with the field id %d (%q), which may not be null", want.ID, want.Name)
		case !ok && slices.Contains(inPath, want.ID):
			return lake.Errorf(lake.CodeUnsupported, "it has no column with the field id %d (%q), and other programs do not read null for it", want.ID, want.Name).
				WithHint("the values of such a column are in the paths of the files; rewrite them (rewrite_data_files)")
		case ok && !got.Type.Equal(want.Type) && !got.Type.WidensTo(want.Type):
			return lake.Errorf(lake.CodeUnsupported, "its column %q is %s, and the table's %q is %s", got.Name, got.Type, want.Name, want.Type)
		}
	}
	return nil
}

// Overlay is what stands on top of the owner's snapshot: data files of tarn's own, and files
// of the owner with dead rows that they did not have, as they are and as they were.
type Overlay struct {
	Own    []lake.BaseFile
	Now    []lake.BaseFile
	Before []lake.BaseFile
}

// Overlay gives what came on top of the owner's snapshot since it was taken; without Path
// and Identity.
func (t *Table) Overlay(ctx context.Context) (Overlay, error) {
	now, err := t.content(ctx)
	if err != nil {
		return Overlay{}, err
	}
	tagged := t.meta.SnapshotByName(attachedTag)
	if t.attached == nil || tagged == nil && t.attached.Files > 0 {
		return Overlay{}, damaged(t.key, "it has no snapshot with the tag %s, which an owner's table with files gave it", attachedTag)
	}
	then, err := t.readContent(ctx, t.fs.view(ctx, t.root), tagged)
	if err != nil {
		return Overlay{}, err
	}
	was := map[string]lake.BaseFile{}
	for _, f := range then.files {
		was[f.base.Key] = f.base
	}
	var out Overlay
	for _, f := range now.files {
		old, theirs := was[f.base.Key]
		switch {
		case !theirs:
			out.Own = append(out.Own, f.base)
		case !slices.Equal(f.base.Deletes, old.Deletes):
			out.Now, out.Before = append(out.Now, f.base), append(out.Before, old)
		}
	}
	return out, nil
}

// DataURI is the location of a file of the table as its manifests have it.
func (t *Table) DataURI(key string) string { return t.root + "/" + key }

// Detach makes the table tarn's own: its files stay as they are. The rest is as with Commit.
func (t *Table) Detach(ctx context.Context, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	before, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := present(t.meta, time.Now())
	if err != nil {
		return nil, err
	}
	updates := []table.Update{table.NewRemovePropertiesUpdate([]string{propertyAttached})}
	if meta.SnapshotByName(attachedTag) != nil {
		updates = append(updates, table.NewRemoveSnapshotRefUpdate(attachedTag))
	}
	c := &committer{table: t, meta: meta, view: t.fs.view(ctx, t.root), makeCurrent: makeCurrent, files: len(before.files), rows: before.rows}
	return c.commit(ctx, nil, updates)
}

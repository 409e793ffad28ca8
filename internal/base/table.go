package base

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// propertyFolded is the table property, and the key in snapshot summaries, of
// folded-through. Where they differ the property is right: a snapshot that only
// rewrote manifests has no summary of ours.
const propertyFolded = "tarn.folded-through"

// Table is a base as one metadata file has it. It never changes: Commit gives
// the Table of the next metadata file.
type Table struct {
	fs      *FS
	key     string // of the metadata file
	number  int64  // in its name
	folder  string
	root    string // recorded
	meta    table.Metadata
	schema  lake.Schema
	folded  int64
	schemas []since // that it had, from which sequences on; none: it never changed
	// contentAt is the sequence of the newest commit of another program, 0 for none.
	contentAt int64
	attached  *Attachment // nil: the table is tarn's own

	mu struct {
		sync.Mutex
		content *content // read when it is first asked for
	}
}

// Create writes the first metadata file of a new table, without a snapshot.
// folder is its key without a slash at its end; schema has field ids as
// lake.Schema.WithFieldIDs gives them. Nothing refers to the table until its
// MetadataKey stands in the catalog.
func Create(ctx context.Context, fs *FS, folder string, schema lake.Schema, tableUUID string) (*Table, error) {
	return CreateWith(ctx, fs, folder, schema, tableUUID, VersionDefault, nil)
}

// CreateWith is Create with a format version of Iceberg, 0 for VersionDefault, and table
// properties besides tarn's own.
func CreateWith(ctx context.Context, fs *FS, folder string, schema lake.Schema, tableUUID string, version int, properties map[string]string) (*Table, error) {
	t, body, err := draft(fs, folder, schema, tableUUID, version, properties)
	if err != nil {
		return nil, lake.Step("create table", err)
	}
	if err := fs.create(ctx, t.key, body); err != nil {
		return nil, lake.Step("create table", err)
	}
	return t, nil
}

// draft is a new table that is not written yet, with the bytes of its metadata.
func draft(fs *FS, folder string, schema lake.Schema, tableUUID string, version int, properties map[string]string) (*Table, []byte, error) {
	id, err := uuid.Parse(tableUUID)
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInternal, "uuid %q: %w", tableUUID, err)
	}
	ice, err := icebergSchema(schema, false)
	if err != nil {
		return nil, nil, err
	}
	own, err := OwnProperties(schema)
	if err != nil {
		return nil, nil, err
	}
	props := iceberg.Properties{}
	maps.Copy(props, properties)
	maps.Copy(props, own)
	meta, err := newMetadata(cmp.Or(version, VersionDefault), ice, fs.store.Root()+"/"+folder, id, props)
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInternal, "%w", err)
	}
	got, err := lakeSchema(meta.CurrentSchema(), meta.Properties())
	if err != nil {
		return nil, nil, err
	}
	if !sameColumns(got.Columns, schema.Columns) {
		return nil, nil, lake.Errorf(lake.CodeInternal, "Iceberg numbered the columns otherwise: %v, not %v", got.Columns, schema.Columns)
	}
	return newTable(fs, folder, 0, meta)
}

// OwnProperties are the table properties that tarn gives a new table of a schema.
func OwnProperties(schema lake.Schema) (map[string]string, error) {
	key, err := json.Marshal(keyIDs(schema))
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "%w", err)
	}
	props := map[string]string{
		// One writer at a time: a commit that fails is our caller's to repeat.
		table.CommitNumRetriesKey: "0",
		// Clearing up is ours alone: iceberg-go would delete before the catalog
		// version exists.
		table.MetadataDeleteAfterCommitEnabledKey: "false",
		table.MetadataPreviousVersionsMaxKey:      "10",
		// Plain JSON, as the name says.
		table.MetadataCompressionKey: table.MetadataCompressionCodecNone,
		propertyKey:                  string(key),
		propertyFolded:               "0",
	}
	if schema.Keyed() {
		// Whole bounds of the column that files are found by. The default cuts texts
		// to 16 characters: keys with a common beginning would touch every file.
		props[table.MetricsModeColumnConfPrefix+"."+schema.Key[0]] = "full"
	}
	return props, nil
}

// newMetadata is the metadata of a new table with the field ids that the schema
// has: table.NewMetadata would number them afresh, and in another order where
// types are nested.
func newMetadata(version int, schema *iceberg.Schema, location string, id uuid.UUID, properties iceberg.Properties) (table.Metadata, error) {
	b, err := table.NewMetadataBuilder(version)
	if err != nil {
		return nil, err
	}
	sort := table.UnsortedSortOrder
	const added = -1 // the one added last
	for _, step := range []func() error{
		func() error { return b.SetUUID(id) },
		func() error { return b.AddSchema(schema) },
		func() error { return b.SetCurrentSchemaID(added) },
		func() error { return b.AddSortOrder(&sort) },
		func() error { return b.SetDefaultSortOrderID(added) },
		func() error { return b.AddPartitionSpec(iceberg.UnpartitionedSpec, true) },
		func() error { return b.SetDefaultSpecID(added) },
		func() error { return b.SetLoc(location) },
		func() error { return b.SetProperties(properties) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

// sameColumns compares columns with their ids, names, types and nullability.
func sameColumns(a, b []lake.Column) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if x.ID != y.ID || x.Name != y.Name || x.Nullable != y.Nullable || !x.Type.Equal(y.Type) || !sameColumns(x.Type.Fields, y.Type.Fields) {
			return false
		}
	}
	return true
}

// Load reads and verifies the table that a metadata file describes.
func Load(ctx context.Context, fs *FS, metadataKey string) (*Table, error) {
	folder, number, err := parseMetadataKey(metadataKey)
	if err != nil {
		return nil, err
	}
	body, err := fs.read(ctx, metadataKey)
	if err != nil {
		return nil, lake.Step("load table", err)
	}
	meta, err := table.ParseMetadataBytes(body)
	if err != nil {
		return nil, damaged(metadataKey, "%w", err)
	}
	return describe(fs, metadataKey, folder, number, meta)
}

// newTable gives the Table of metadata that is not written yet, with the bytes
// to write under its key.
func newTable(fs *FS, folder string, number int64, meta table.Metadata) (*Table, []byte, error) {
	body, err := json.Marshal(meta)
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInternal, "encode metadata: %w", err)
	}
	t, err := describe(fs, metadataKey(folder, number, body), folder, number, meta)
	return t, body, err
}

func describe(fs *FS, key, folder string, number int64, meta table.Metadata) (*Table, error) {
	root, ok := strings.CutSuffix(meta.Location(), "/"+folder)
	spec := meta.PartitionSpec()
	switch {
	case !ok:
		return nil, damaged(key, "its table lies at %s, not in the folder %s", meta.Location(), folder)
	case meta.Version() < VersionDefault || meta.Version() > VersionVectors:
		return nil, lake.Errorf(lake.CodeUnsupported, "%s: Iceberg format version %d; this build reads %d and %d", key, meta.Version(), VersionDefault, VersionVectors)
	case spec.NumFields() > 0:
		return nil, lake.Errorf(lake.CodeUnsupported, "%s: the table is partitioned, which this build does not read", key)
	}
	schema, err := lakeSchema(meta.CurrentSchema(), meta.Properties())
	if err != nil {
		return nil, lake.Step(key, err)
	}
	folded, err := strconv.ParseInt(meta.Properties().Get(propertyFolded, "0"), 10, 64)
	if err != nil {
		return nil, damaged(key, "table property %s: %w", propertyFolded, err)
	}
	schemas, err := schemasOf(meta.Properties())
	if err != nil {
		return nil, lake.Step(key, err)
	}
	contentAt, err := strconv.ParseInt(meta.Properties().Get(propertyContentAt, "0"), 10, 64)
	if err != nil {
		return nil, damaged(key, "table property %s: %w", propertyContentAt, err)
	}
	attached, err := attachedOf(meta.Properties())
	if err != nil {
		return nil, lake.Step(key, err)
	}
	return &Table{
		fs: fs, key: key, number: number, folder: folder, root: root, meta: meta, schema: schema, folded: folded, schemas: schemas, contentAt: contentAt,
		attached: attached,
	}, nil
}

// UUID is the table's own, which stays for its life.
func (t *Table) UUID() string { return t.meta.TableUUID().String() }

// Schema is the dataset's schema, with Iceberg's schema id and field ids.
func (t *Table) Schema() lake.Schema { return t.schema }

// MetadataKey is the key of the metadata file.
func (t *Table) MetadataKey() string { return t.key }

// Folder is the key of the table's folder, without a slash at its end.
func (t *Table) Folder() string { return t.folder }

// Location is the URI of the folder as Iceberg's metadata records it, which is
// not where it is in a lake that was moved.
func (t *Table) Location() string { return t.meta.Location() }

// FoldedThrough is the highest sequence that the base contains, 0 for none.
func (t *Table) FoldedThrough() int64 { return t.folded }

// SnapshotID is the id of the current snapshot, nil before the first.
func (t *Table) SnapshotID() *string {
	s := t.meta.CurrentSnapshot()
	if s == nil {
		return nil
	}
	id := strconv.FormatInt(s.SnapshotID, 10)
	return &id
}

// MetadataURI is the location of the metadata file where the lake is now, for
// readers of Iceberg.
func (t *Table) MetadataURI() string { return t.fs.store.Root() + "/" + t.key }

// OldSnapshots counts the snapshots from before an instant that the table could do
// without: all but the current one, and the owner's where it is attached.
func (t *Table) OldSnapshots(before time.Time) int {
	n := 0
	current, owners := t.meta.CurrentSnapshot(), t.meta.SnapshotByName(attachedTag)
	for _, s := range t.meta.Snapshots() {
		stays := current == nil || s.SnapshotID == current.SnapshotID || owners != nil && s.SnapshotID == owners.SnapshotID
		if !stays && s.TimestampMs < before.UnixMilli() {
			n++
		}
	}
	return n
}

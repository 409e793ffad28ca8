package foreign

import (
	"cmp"
	"context"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

// Table is a table of others as one metadata file of it says: the branch main, with its live
// files. Others may go on meanwhile; what is here does not change.
type Table struct {
	UUID     string // "" in old tables of format version 1, which need not have one
	Metadata string // URI of the metadata file
	Snapshot int64  // 0: it has none yet
	Version  int    // of the format: 1, 2 or 3
	Schemas  []*iceberg.Schema
	Schema   *iceberg.Schema // the current one of Schemas, which ascend by id

	LastColumnID int
	// InPath are the columns, by field id, by whose values the table is or was partitioned:
	// files that were not written by Iceberg may have them in their paths alone.
	InPath []int

	Files   []File   // live data files, all Parquet, in the order of their manifests; no location twice
	Deletes []Delete // position delete files and deletion vectors that may apply to at least one of them
}

// File is a live data file.
type File struct {
	URI  string // where it lies, and how position deletes name it
	Data iceberg.DataFile
	// Deletes are positions in Table.Deletes, ascending, of those that may have rows of it.
	// A deletion vector is the only one then.
	Deletes []int
}

// Delete is a position delete file, or one deletion vector of a file that may have many.
type Delete struct {
	URI    string
	Vector bool
	Rows   int64 // which it takes away; a vector no more than its data file has
	Data   iceberg.DataFile
}

// Load reads the newest state of a table. A Source whose location is a metadata file always
// gives what that file says; a folder and a catalog are looked at for the newest.
//
// Errors: CodeNotFound where table, metadata file or manifest are not there;
// CodeInvalidRequest for a source that makes no sense, and a folder of which nobody can say
// what is the newest; CodeUnsupported for what lies outside of the roots, and for tables with
// something that tarn does not read; CodeRowsInvalid for what does not hold what it should;
// CodeTooLarge for manifests of more than maxManifestBytes; CodeUnavailable where a place or
// catalog does not answer.
func (p *Places) Load(ctx context.Context, s Source) (*Table, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	t, err := p.load(ctx, s)
	return t, lake.Step("read the table "+s.String(), err)
}

func (p *Places) load(ctx context.Context, s Source) (*Table, error) {
	var uri string
	var meta table.Metadata
	var err error
	if s.Catalog != "" {
		uri, meta, err = p.ask(ctx, s)
	} else if uri, err = p.newest(ctx, s.Location); err == nil {
		meta, err = p.metadata(ctx, uri)
	}
	if err != nil {
		return nil, err
	}
	if err := checkPlain(uri, meta); err != nil {
		return nil, err
	}
	t := &Table{
		Metadata: uri, Version: meta.Version(), Schemas: meta.Schemas(), Schema: meta.CurrentSchema(), LastColumnID: meta.LastColumnID(),
	}
	for _, spec := range meta.PartitionSpecs() {
		for _, field := range spec.Fields() {
			if _, ok := field.Transform.(iceberg.IdentityTransform); ok {
				t.InPath = append(t.InPath, field.SourceID())
			}
		}
	}
	if id := meta.TableUUID(); id != uuid.Nil {
		t.UUID = id.String()
	}
	slices.SortFunc(t.Schemas, func(a, b *iceberg.Schema) int { return cmp.Compare(a.ID, b.ID) })
	snapshot := meta.CurrentSnapshot()
	if snapshot == nil {
		return t, nil
	}
	t.Snapshot = snapshot.SnapshotID
	return t, p.readContent(ctx, t, snapshot)
}

// checkPlain refuses tables that are encrypted by Iceberg.
func checkPlain(uri string, meta table.Metadata) error {
	encrypted := meta.Properties()["encryption.key-id"] != ""
	for range meta.EncryptionKeys() {
		encrypted = true
	}
	if encrypted {
		return isEncrypted(uri)
	}
	return nil
}

func isEncrypted(uri string) error {
	return refused("%s: the table is encrypted by Iceberg, and tarn has no keys", uri).WithHint("have its owner write a copy that is not encrypted")
}

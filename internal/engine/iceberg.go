package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/imports"
	"tarn/internal/lake"
)

// IcebergTable is the base of a dataset as Iceberg's own programs are given it.
type IcebergTable struct {
	Dataset          lake.Name
	MetadataLocation string          // "" of a table that is only staged
	Metadata         json.RawMessage // of Iceberg's table metadata
	FoldedThrough    int64           // the table has every change up to this sequence
	Sequence         int64           // the newest one as the table was asked for
}

// IcebergLoadRequest asks for a table.
type IcebergLoadRequest struct {
	Dataset  lake.Name
	RefsOnly bool // of its snapshots only those that a ref points at
}

// IcebergCreateRequest makes an empty dataset of an Iceberg schema, whose field ids are
// given afresh; the identifier fields are the key.
type IcebergCreateRequest struct {
	Dataset    lake.Name
	Schema     *iceberg.Schema
	Properties map[string]string // besides tarn's own
	// Stage gives what the table would be, and makes none: a commit with assert-create
	// does.
	Stage bool
}

// IcebergCommitRequest is a commit of another program to a dataset's table. One that
// asserts that the table is not there makes it, as it was staged.
type IcebergCommitRequest struct {
	Dataset      lake.Name
	Requirements table.Requirements
	Updates      table.Updates
}

// Creates says whether the commit makes a table.
func (r IcebergCommitRequest) Creates() bool {
	for _, q := range r.Requirements {
		if q.GetType() == table.AssertCreate().GetType() {
			return true
		}
	}
	return false
}

// IcebergNames lists the datasets of a set by name; nil is all. It counts nothing.
func (e *Engine) IcebergNames(_ context.Context, visible *lake.NameSet) ([]lake.Name, error) {
	if err := e.mayRead(); err != nil {
		return nil, err
	}
	out := []lake.Name{}
	for _, m := range e.members() {
		if s := m.ds.State(); !s.Dropped && visible.Has(s.Name) {
			out = append(out, s.Name)
		}
	}
	return out, nil
}

// IcebergLoad gives a dataset's table. What is pending is folded first, as far as
// Settings.IcebergFold goes; the answer says what the table has.
func (e *Engine) IcebergLoad(ctx context.Context, r IcebergLoadRequest) (IcebergTable, error) {
	if err := e.mayRead(); err != nil {
		return IcebergTable{}, err
	}
	m, err := e.member(r.Dataset)
	if err != nil {
		return IcebergTable{}, err
	}
	s, asked, err := e.foldAsked(ctx, m, r.Dataset)
	if err != nil {
		return IcebergTable{}, err
	}
	out, err := icebergTable(ctx, s, r.RefsOnly)
	out.Sequence = asked
	if err == nil {
		err = e.makeFolders(s.Table.Folder())
	}
	return out, lake.Step("load "+r.Dataset.String(), err)
}

func icebergTable(ctx context.Context, s *dataset.State, refsOnly bool) (IcebergTable, error) {
	metadata, err := s.Table.HandOut(ctx, refsOnly)
	return IcebergTable{
		Dataset: s.Name, MetadataLocation: s.Table.MetadataURI(), Metadata: metadata, FoldedThrough: wholeThrough(s), Sequence: s.Sequence,
	}, err
}

// wholeThrough is up to which sequence the base has every change: deltas without one
// are never folded for their own sake.
func wholeThrough(s *dataset.State) int64 {
	for _, d := range s.Pending() {
		if d.Rows > 0 {
			return d.First - 1
		}
	}
	return s.Sequence
}

// foldedAt is folded-through of a commit that has the sequence n. Where changes are pending
// they stay: the base is older than they are, and the sequence says that it is another.
func foldedAt(s *dataset.State, n int64) int64 {
	if pending, _, _ := s.PendingSize(); pending == 0 {
		return n
	}
	return s.FoldedThrough
}

// makeFolders makes the folders of a table on a local disk: some programs make none.
func (e *Engine) makeFolders(folder string) error {
	if e.remote != nil || e.opts.Store != nil || e.follower != nil {
		return nil
	}
	for _, sub := range []string{"data", "metadata"} {
		if err := os.MkdirAll(filepath.Join(e.opts.Data, filepath.FromSlash(folder), sub), 0o755); err != nil {
			return lake.Errorf(lake.CodeUnavailable, "make the table's folder: %w", err)
		}
	}
	return nil
}

// IcebergCreate makes an empty dataset, or says what its table would be.
func (e *Engine) IcebergCreate(ctx context.Context, r IcebergCreateRequest) (IcebergTable, error) {
	if err := e.mayWrite(); err != nil {
		return IcebergTable{}, err
	}
	schema, err := base.SchemaFrom(r.Schema)
	if err != nil {
		return IcebergTable{}, err
	}
	properties, version, err := base.Properties(r.Properties)
	if err != nil {
		return IcebergTable{}, err
	}
	version = cmp.Or(version, e.set.IcebergFormatVersion)
	schema.ID = 0
	if r.Stage {
		return e.stageTable(r.Dataset, schema.WithFieldIDs(), version, properties)
	}
	if _, err := e.Create(ctx, CreateRequest{Dataset: r.Dataset, Schema: schema, FormatVersion: version, Properties: properties}); err != nil {
		return IcebergTable{}, err
	}
	return e.IcebergLoad(ctx, IcebergLoadRequest{Dataset: r.Dataset})
}

func (e *Engine) stageTable(name lake.Name, schema lake.Schema, version int, properties map[string]string) (IcebergTable, error) {
	if _, err := e.member(name); err == nil {
		return IcebergTable{}, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", name)
	}
	id := uuid.NewString()
	folder := imports.Folder(name, id)
	metadata, err := base.Draft(e.shop.FS, folder, schema, id, version, properties)
	if err != nil {
		return IcebergTable{}, lake.Step("stage "+name.String(), err)
	}
	return IcebergTable{Dataset: name, Metadata: metadata}, e.makeFolders(folder)
}

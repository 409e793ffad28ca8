package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/dataset"
	"tarn/internal/imports"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// newOutside is a table that another program makes, as the updates of its commit say.
type newOutside struct {
	id         string
	location   string
	schema     *iceberg.Schema
	version    int
	properties map[string]string
	snapshots  []table.Update // what is left: its rows
}

// created reads the updates of a commit that makes a table.
func created(updates []table.Update) (n newOutside, err error) {
	n.properties = map[string]string{}
	for _, u := range updates {
		if err := n.take(u); err != nil {
			return n, err
		}
	}
	if n.id == "" || n.schema == nil || n.location == "" {
		return n, lake.Errorf(lake.CodeInvalidRequest, "a commit that makes a table has its uuid, location and schema").
			WithHint("stage the table first (POST tables with stage-create), and commit what that answers")
	}
	return n, nil
}

// take reads one update. The parts of its wire form say what it is; its Go types are
// iceberg-go's own.
func (n *newOutside) take(u table.Update) error {
	var wire struct {
		UUID    uuid.UUID              `json:"uuid"`
		Version int                    `json:"format-version"`
		Schema  *iceberg.Schema        `json:"schema"`
		Spec    struct{ Fields []any } `json:"spec"`
		Order   struct{ Fields []any } `json:"sort-order"`
		Updates map[string]string      `json:"updates"`
	}
	body, err := json.Marshal(u)
	if err == nil {
		err = json.Unmarshal(body, &wire)
	}
	if err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "the update %s: %w", u.Action(), err)
	}
	cannot := func(what string) error {
		return lake.Errorf(lake.CodeUnsupported, "a table cannot be made with %s", what)
	}
	switch u.Action() {
	case table.UpdateAssignUUID:
		n.id = wire.UUID.String()
	case table.UpdateUpgradeFormatVersion:
		if base.CheckFormatVersion(wire.Version) != nil {
			return cannot(fmt.Sprintf("the format version %d", wire.Version))
		}
		n.version = wire.Version
	case table.UpdateAddSchema:
		if n.schema != nil {
			return cannot("two schemas")
		}
		n.schema = wire.Schema
	case table.UpdateAddSpec:
		if len(wire.Spec.Fields) > 0 {
			return cannot("a partition spec")
		}
	case table.UpdateAddSortOrder:
		if len(wire.Order.Fields) > 0 {
			return cannot("a sort order")
		}
	case table.UpdateSetCurrentSchema, table.UpdateSetDefaultSpec, table.UpdateSetDefaultSortOrder:
	case table.UpdateSetLocation:
		n.location = base.LocationOf(u)
	case table.UpdateSetProperties:
		maps.Copy(n.properties, wire.Updates)
	case table.UpdateAddSnapshot, table.UpdateSetSnapshotRef:
		n.snapshots = append(n.snapshots, u)
	default:
		return cannot("the update " + u.Action())
	}
	return nil
}

// createOutside makes the dataset of a commit, with its rows, in one catalog version.
func (e *Engine) createOutside(ctx context.Context, r IcebergCommitRequest) (*dataset.State, error) {
	if _, err := e.member(r.Dataset); err == nil {
		return nil, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", r.Dataset)
	}
	n, err := created(r.Updates)
	if err != nil {
		return nil, err
	}
	folder := imports.Folder(r.Dataset, n.id)
	if n.location != e.store.Root()+"/"+folder {
		return nil, lake.Errorf(lake.CodeUnsupported, "the table lies at %s, and tarn keeps it at %s/%s", n.location, e.store.Root(), folder).
			WithHint("stage the table first, and use the location that this answers")
	}
	schema, err := base.SchemaFrom(n.schema)
	if err != nil {
		return nil, err
	}
	schema.ID = 0
	if !base.SameSchema(schema, schema.WithFieldIDs()) {
		return nil, lake.Errorf(lake.CodeUnsupported, "the field ids are not numbered as those of a new table").
			WithHint("stage the table first, and use the schema that this answers")
	}
	properties, version, err := othersOf(n.properties, schema)
	if err != nil {
		return nil, err
	}
	if version != 0 && n.version != 0 && version != n.version {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the table is to have the format version %d, and %d by its properties", n.version, version)
	}
	release := e.shop.InUse(n.id)
	defer release()
	leave, err := e.shop.EnterBulk(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	e.named.RLock()
	defer e.named.RUnlock()
	t, err := base.CreateWith(ctx, e.shop.FS, folder, schema, n.id, cmp.Or(n.version, version, e.set.IcebergFormatVersion), properties)
	if err != nil {
		return nil, err
	}
	p, err := t.Propose(ctx, nil, n.snapshots)
	if err != nil {
		return nil, err
	}
	makeCurrent := e.importer.MakeKnown(r.Dataset, n.id, nil)
	if p.Nothing {
		err = makeCurrent(e.ctx, t.MetadataKey())
	} else if err = e.checkNew(ctx, p, schema); err == nil {
		t, err = p.Commit(e.ctx, 0, 0, makeCurrent)
	}
	if err != nil {
		return nil, err
	}
	files, err := e.shop.ReadableAfterCommit(e.ctx, t, nil)
	if err != nil {
		return nil, err
	}
	m := e.register(&dataset.State{Name: r.Dataset, UUID: n.id, Schema: t.Schema(), Table: t, Files: files})
	return m.ds.State(), nil
}

// checkNew reads the rows of a table that is to be made.
func (e *Engine) checkNew(ctx context.Context, p *base.Proposal, schema lake.Schema) error {
	o := outside{brought: brought{e: e}, proposal: p}
	defer o.close()
	if err := o.ready(ctx); err != nil {
		return err
	}
	if len(o.added) == 0 {
		return nil
	}
	_, err := e.shop.Run(ctx, o.pad, job.Spec{Kind: job.KindCheck, Check: &job.Check{Schema: schema, Added: o.added}}, nil)
	return err
}

// othersOf is the properties of a staged table that its commit gives back, without those
// that tarn sets, and the format version among them, 0 for none.
func othersOf(properties map[string]string, schema lake.Schema) (kept map[string]string, version int, err error) {
	own, err := base.OwnProperties(schema)
	if err != nil {
		return nil, 0, err
	}
	out := map[string]string{}
	for name, value := range properties {
		if own[name] != value || value == "" {
			out[name] = value
		}
	}
	return base.Properties(out)
}

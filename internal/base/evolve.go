package base

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// propertySchemas is the table property that says from which sequence on which schema
// held, as a JSON array of [schema id, sequence], ascending by sequence. It is absent
// from a table whose schema never changed by tarn. A schema that comes back has its
// id again, as Iceberg has it.
const propertySchemas = "tarn.schemas"

// since is a schema's id and the sequence that it holds from.
type since [2]int64

// schemasOf reads the property.
func schemasOf(properties iceberg.Properties) ([]since, error) {
	text, ok := properties[propertySchemas]
	if !ok {
		return nil, nil
	}
	var all []since
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, lake.Errorf(lake.CodeUnsupported, "table property %s: %w", propertySchemas, err)
	}
	return all, nil
}

// Evolve writes the metadata of the table under another schema, whose columns keep
// their field ids, calls makeCurrent with its key, and gives the table as it is then.
// sequence is the one from which the schema holds. Files, snapshots and folded-through
// stay as they are: Iceberg's readers find columns in older files by field id. Errors
// are as those of Commit.
func (t *Table) Evolve(ctx context.Context, s lake.Schema, sequence int64, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	return t.evolve(ctx, s, sequence, nil, makeCurrent)
}

// evolve is Evolve with updates besides.
func (t *Table) evolve(ctx context.Context, s lake.Schema, sequence int64, besides []table.Update, makeCurrent func(ctx context.Context, metadataKey string) error) (*Table, error) {
	before, err := t.content(ctx)
	if err != nil {
		return nil, err
	}
	ice, err := icebergSchema(s, false)
	if err != nil {
		return nil, lake.Step("change the schema", err)
	}
	meta, err := present(t.meta, time.Now())
	if err != nil {
		return nil, err
	}
	set, remove, err := t.evolvedProperties(s, ice, sequence)
	if err != nil {
		return nil, err
	}
	const added = -1 // the one added last
	updates := append(slices.Clone(besides), table.NewAddSchemaUpdate(ice), table.NewSetCurrentSchemaUpdate(added), table.NewSetPropertiesUpdate(set))
	if len(remove) > 0 {
		updates = append(updates, table.NewRemovePropertiesUpdate(remove))
	}
	cat := &committer{
		table: t, meta: meta, view: t.fs.view(ctx, t.root), makeCurrent: makeCurrent, files: len(before.files), rows: before.rows,
		evolved: &s,
	}
	return cat.commit(ctx, []table.Requirement{
		table.AssertTableUUID(meta.TableUUID()), table.AssertCurrentSchemaID(meta.CurrentSchema().ID), table.AssertLastAssignedFieldID(meta.LastColumnID()),
	}, updates)
}

// evolvedProperties are the properties to set and to remove with another schema.
func (t *Table) evolvedProperties(s lake.Schema, ice *iceberg.Schema, sequence int64) (set iceberg.Properties, remove []string, err error) {
	id := int64(t.schemaID(ice))
	all := slices.Clone(t.schemas)
	if len(all) == 0 {
		all = append(all, since{int64(t.schema.ID), 0})
	}
	if last := all[len(all)-1]; sequence <= last[1] && len(t.schemas) > 0 {
		return nil, nil, lake.Errorf(lake.CodeInternal, "change the schema: it holds from sequence %d on already, and is to change at %d", last[1], sequence)
	}
	text, err := json.Marshal(append(all, since{id, sequence}))
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInternal, "change the schema: %w", err)
	}
	set = iceberg.Properties{propertySchemas: string(text)}
	if s.Keyed() && s.Key[0] != t.schema.Key[0] { // the mode goes with the name
		set[table.MetricsModeColumnConfPrefix+"."+s.Key[0]] = "full"
		if old := table.MetricsModeColumnConfPrefix + "." + t.schema.Key[0]; t.meta.Properties()[old] != "" {
			remove = append(remove, old)
		}
	}
	return set, remove, nil
}

// schemaID is the id that Iceberg gives to a schema: its own where the table had it
// before, else the next.
func (t *Table) schemaID(s *iceberg.Schema) int {
	next := 0
	for _, old := range t.meta.Schemas() {
		if s.Equals(old) {
			return old.ID
		}
		next = max(next, old.ID+1)
	}
	return next
}

// LastColumnID is the highest field id that the table ever gave out.
func (t *Table) LastColumnID() int { return t.meta.LastColumnID() }

// Evolved says whether the table ever had another schema, or was attached: its files may
// have other columns than the present one, or call them otherwise.
func (t *Table) Evolved() bool {
	return len(t.meta.Schemas()) > 1 || t.meta.Properties()[propertyByID] != ""
}

// Through is the highest sequence that the table tells of: the base contains it, another
// program's commit took it, or the schema holds from it on. Deltas up to it were there
// before the metadata was.
func (t *Table) Through() int64 {
	through := max(t.folded, t.contentAt)
	if n := len(t.schemas); n > 0 {
		through = max(through, t.schemas[n-1][1])
	}
	return through
}

// SchemaChangedAt says whether a schema change took a sequence.
func (t *Table) SchemaChangedAt(sequence int64) bool {
	return sequence > 0 && slices.ContainsFunc(t.schemas, func(s since) bool { return s[1] == sequence })
}

// SchemaAt is the schema that held at a sequence.
func (t *Table) SchemaAt(sequence int64) (lake.Schema, error) {
	id := int64(t.schema.ID)
	for i := len(t.schemas) - 1; i >= 0; i-- {
		if id = t.schemas[i][0]; t.schemas[i][1] <= sequence {
			break
		}
	}
	return t.SchemaByID(int(id))
}

// SchemaByID is one of the schemas that the table had.
func (t *Table) SchemaByID(id int) (lake.Schema, error) {
	for _, s := range t.meta.Schemas() {
		if s.ID == id {
			return lakeSchema(s, t.meta.Properties())
		}
	}
	return lake.Schema{}, damaged(t.key, "it has no schema %d", id)
}

package httpapi

import (
	"encoding/json"
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
)

// schemaBody asks for a change of a dataset's schema.
type schemaBody struct {
	Operations []operationBody `json:"operations" doc:"applied in their order, all or none"`
}

// operationBody is one step of a schema change.
type operationBody struct {
	Op          string          `json:"op" enum:"add_column,drop_column,rename_column,set_type,set_not_null,drop_not_null"`
	Name        string          `json:"name" doc:"of the column, without regard to case"`
	To          string          `json:"to,omitempty" doc:"rename_column: its new name"`
	Type        string          `json:"type,omitempty" doc:"add_column, and set_type: a wider type"`
	Default     json.RawMessage `json:"default,omitempty" doc:"refused: Iceberg v2 tables have no defaults"`
	IfNotExists bool            `json:"if_not_exists,omitempty" doc:"add_column: nothing to do where there is such a column"`
	IfExists    bool            `json:"if_exists,omitempty" doc:"drop_column: nothing to do where there is none"`
}

// operations reads the body's operations.
func (b schemaBody) operations() ([]lake.SchemaOperation, error) {
	out := make([]lake.SchemaOperation, len(b.Operations))
	for i, o := range b.Operations {
		var err error
		if out[i], err = o.operation(); err != nil {
			return nil, lake.Step(clip(o.Op+" "+o.Name), err)
		}
	}
	return out, nil
}

func (o operationBody) operation() (op lake.SchemaOperation, err error) {
	op = lake.SchemaOperation{Op: lake.SchemaOp(o.Op), Name: o.Name, To: o.To, Unless: o.IfNotExists || o.IfExists}
	typed := op.Op == lake.OpAddColumn || op.Op == lake.OpSetType
	if err := op.Op.Check(); err != nil {
		return op, err
	}
	switch {
	case o.Default != nil:
		return op, lake.Errorf(lake.CodeUnsupported, "Iceberg v2 tables have no defaults").
			WithHint("add the column, which is null in all rows, then UPDATE them; send the value with every new row")
	case o.Name == "":
		return op, lake.Errorf(lake.CodeInvalidRequest, "the field name is missing")
	case typed == (o.Type == ""):
		return op, lake.Errorf(lake.CodeInvalidRequest, "add_column and set_type need the field type, and no other takes it")
	case (op.Op == lake.OpRenameColumn) == (o.To == ""):
		return op, lake.Errorf(lake.CodeInvalidRequest, "rename_column needs the field to, and no other takes it")
	case o.IfNotExists && op.Op != lake.OpAddColumn || o.IfExists && op.Op != lake.OpDropColumn:
		return op, lake.Errorf(lake.CodeInvalidRequest, "if_not_exists is for add_column, and if_exists for drop_column")
	case typed:
		op.Type, err = lake.ParseType(o.Type)
	}
	return op, err
}

// alterDataset changes a schema. A client that goes away while the change waits for a
// job, or for its turn, ends it; not once it is being committed.
func (a *api) alterDataset(c *call) error {
	var body schemaBody
	name, idem, err := a.readNamed(c, &body)
	if err != nil {
		return err
	}
	ops, err := body.operations()
	if err != nil {
		return err
	}
	res, err := c.door.Alter(c.r.Context(), engine.AlterRequest{Dataset: name, Operations: ops, Idempotency: idem})
	if err != nil {
		return err
	}
	return c.replyAltered(res)
}

func (c *call) replyAltered(res engine.AlterResult) error {
	c.setETag(res.ETag)
	res.Columns, res.PrimaryKey = orEmpty(res.Columns), orEmpty(res.PrimaryKey)
	return c.reply(http.StatusOK, res)
}

// alterBySQL does what an ALTER TABLE says.
func (a *api) alterBySQL(c *call, body sqlBody, s *sqlddl.Alter) error {
	c.dataset = s.Table.String()
	if err := a.raise(c, writes(ofSQL)); err != nil {
		return err
	}
	switch {
	case !accepts(c.r.Header, rows.MediaJSON):
		return lake.Errorf(lake.CodeNotAcceptable, "ALTER TABLE answers application/json alone").
			WithHint("accept application/json; nothing was changed")
	case c.ifMatch() != "":
		return lake.Errorf(lake.CodeInvalidRequest, "ALTER TABLE takes no If-Match")
	case body.Params != nil:
		return lake.Errorf(lake.CodeInvalidRequest, "ALTER TABLE takes no parameters")
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	var res engine.AlterResult
	if s.RenameTo != nil {
		var d engine.Description
		d, err = c.door.Rename(c.lasting(), s.Table, *s.RenameTo, idem)
		res = engine.AlterResult{
			Dataset: d.Dataset, Changed: true, Columns: d.Columns, PrimaryKey: d.PrimaryKey,
			Sequence: d.ReadPoint.Sequence, ReadPoint: d.ReadPoint.ReadPoint, ETag: d.ETag,
		}
	} else {
		res, err = c.door.Alter(c.r.Context(), engine.AlterRequest{Dataset: s.Table, Operations: s.Operations, Idempotency: idem})
	}
	if s.IfExists && lake.CodeOf(err) == lake.CodeDatasetNotFound {
		res, err = engine.AlterResult{Dataset: s.Table.String()}, nil
	}
	if err != nil {
		return err
	}
	return c.replyAltered(res)
}

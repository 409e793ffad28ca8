package httpapi

import (
	"context"
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// columnBody is a column in a request to create a dataset.
type columnBody struct {
	Name     string `json:"name" doc:"any UTF-8 of 1 to 255 bytes, unique without regard to case"`
	Type     string `json:"type" doc:"in DuckDB's spelling: BIGINT, DECIMAL(10,2), VARCHAR[], STRUCT(a BIGINT)"`
	Nullable *bool  `json:"nullable,omitempty" doc:"true by default; false for key columns"`
}

// createBody asks for an empty dataset.
type createBody struct {
	Columns       []columnBody `json:"columns"`
	PrimaryKey    []string     `json:"primary_key,omitempty" doc:"key columns in key order; none: rows are added, and changed by SQL alone"`
	FormatVersion int          `json:"format_version,omitempty" doc:"of the Iceberg table: 2, or 3 with deletion vectors; none: as the setting iceberg_format_version says"`
}

// renameBody asks for another name.
type renameBody struct {
	To string `json:"to" doc:"[namespace.]name"`
}

type datasetsAnswer struct {
	Datasets []engine.Description `json:"datasets"`
}

type deltasAnswer struct {
	Deltas []engine.DeltaInfo `json:"deltas"`
}

func (a *api) listDatasets(c *call) error {
	list, err := c.door.List(c.r.Context(), nil)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, datasetsAnswer{orEmpty(list)})
}

// orEmpty makes nil an empty list, which JSON shows as [].
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *api) describeDataset(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	d, err := c.door.Describe(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.replyDescription(http.StatusOK, d)
}

func (c *call) replyDescription(status int, d engine.Description) error {
	c.setETag(d.ETag)
	d.Columns, d.PrimaryKey = orEmpty(d.Columns), orEmpty(d.PrimaryKey)
	return c.reply(status, d)
}

func (c *call) setETag(etag string) {
	if etag != "" {
		c.w.Header().Set("ETag", etag)
	}
}

// lasting is the context of a call that a client which goes away does not
// cancel.
func (c *call) lasting() context.Context { return context.WithoutCancel(c.r.Context()) }

func (a *api) createDataset(c *call) error {
	var body createBody
	name, idem, err := a.readNamed(c, &body)
	if err != nil {
		return err
	}
	schema, err := body.schema()
	if err != nil {
		return err
	}
	d, err := c.door.Create(c.lasting(), engine.CreateRequest{Dataset: name, Schema: schema, FormatVersion: body.FormatVersion, Idempotency: idem})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.prefix+"/datasets/"+d.Dataset)
	return c.replyDescription(http.StatusCreated, d)
}

// schema checks what the body says of nulls, types and key.
func (b createBody) schema() (lake.Schema, error) {
	s := lake.Schema{Key: b.PrimaryKey}
	for _, col := range b.Columns {
		t, err := lake.ParseType(col.Type)
		if err != nil {
			return lake.Schema{}, lake.Step("column "+clip(col.Name), err)
		}
		s.Columns = append(s.Columns, lake.Column{Name: col.Name, Type: t, Nullable: col.Nullable == nil || *col.Nullable})
	}
	if err := s.Check(); err != nil {
		return lake.Schema{}, err
	}
	for _, i := range s.KeyIndexes() {
		if n := b.Columns[i].Nullable; n != nil && *n {
			return lake.Schema{}, lake.Errorf(lake.CodeInvalidRequest, "column %q is part of the primary key and cannot be nullable", b.Columns[i].Name)
		}
	}
	return s, nil
}

func (a *api) renameDataset(c *call) error {
	var body renameBody
	name, idem, err := a.readNamed(c, &body)
	if err != nil {
		return err
	}
	to, err := lake.ParseName(body.To)
	if err != nil {
		return lake.Step("field to", err)
	}
	d, err := c.door.Rename(c.lasting(), name, to, idem)
	if err != nil {
		return err
	}
	return c.replyDescription(http.StatusOK, d)
}

func (a *api) dropDataset(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	if err := c.door.Drop(c.lasting(), name, idem); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) listDeltas(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	list, err := c.door.Deltas(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, deltasAnswer{orEmpty(list)})
}

package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// AttachOptions say which table of others to attach: one at a Location, or a Table of a
// Catalog that the server knows by its name.
type AttachOptions struct {
	Location   string // a metadata file, or the folder of a table
	Catalog    string
	Table      string   // namespace.name
	PrimaryKey []string // nil: the table's identifier fields
	Progress   func(Job)
}

// Attach makes a dataset whose base is a table that others own.
func (c *Client) Attach(ctx context.Context, name lake.Name, o AttachOptions) (engine.AttachResult, error) {
	body := map[string]any{}
	for field, value := range map[string]string{"location": o.Location, "catalog": o.Catalog, "table": o.Table} {
		if value != "" {
			body[field] = value
		}
	}
	if o.PrimaryKey != nil {
		body["primary_key"] = o.PrimaryKey
	}
	var out engine.AttachResult
	q, err := newRequest(http.MethodPost, datasetPath(name, "/attach")).json(body)
	if err != nil {
		return out, err
	}
	id, err := c.started(ctx, q)
	if err == nil {
		err = c.result(ctx, id, o.Progress, &out)
	}
	return out, err
}

// Sync takes the newest commit of the owner of an attached dataset's table. progress may
// be nil.
func (c *Client) Sync(ctx context.Context, name lake.Name, progress func(Job)) (engine.AttachResult, error) {
	var out engine.AttachResult
	id, err := c.started(ctx, newRequest(http.MethodPost, datasetPath(name, "/sync")))
	if err == nil {
		err = c.result(ctx, id, progress, &out)
	}
	return out, err
}

// Detach makes an attached dataset tarn's own.
func (c *Client) Detach(ctx context.Context, name lake.Name) (engine.Description, error) {
	q := newRequest(http.MethodPost, datasetPath(name, "/detach"))
	q.changes = true
	return c.description(ctx, q)
}

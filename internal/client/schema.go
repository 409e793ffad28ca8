package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// SchemaOperation is one step of a schema change; Op is add_column (Name, Type),
// drop_column (Name), rename_column (Name, To), set_type (Name, Type), set_not_null
// or drop_not_null (Name).
type SchemaOperation struct {
	Op          string `json:"op"`
	Name        string `json:"name"`
	To          string `json:"to,omitempty"`
	Type        string `json:"type,omitempty"` // in DuckDB's spelling
	IfNotExists bool   `json:"if_not_exists,omitempty"`
	IfExists    bool   `json:"if_exists,omitempty"`
}

// Alter changes a dataset's schema by operations in their order, all or none.
func (c *Client) Alter(ctx context.Context, name lake.Name, operations []SchemaOperation, idempotencyKey string) (engine.AlterResult, error) {
	q, err := newRequest(http.MethodPost, datasetPath(name, "/schema")).json(map[string]any{"operations": operations})
	if err != nil {
		return engine.AlterResult{}, err
	}
	return c.altered(ctx, q, idempotencyKey)
}

// AlterBySQL runs an ALTER TABLE.
func (c *Client) AlterBySQL(ctx context.Context, sql, idempotencyKey string) (engine.AlterResult, error) {
	q, err := Query{SQL: sql}.request()
	if err != nil {
		return engine.AlterResult{}, err
	}
	return c.altered(ctx, q, idempotencyKey)
}

func (c *Client) altered(ctx context.Context, q *request, idempotencyKey string) (engine.AlterResult, error) {
	var out engine.AlterResult
	q.changes = true
	h, err := c.call(ctx, q.idempotencyKey(idempotencyKey), &out)
	out.ETag = h.Get("ETag")
	return out, err
}

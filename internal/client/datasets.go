package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// Column is a column of a dataset to be created; Type is in DuckDB's spelling.
// A nil Nullable is the default: true, and false for key columns.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable *bool  `json:"nullable,omitempty"`
}

// Datasets lists all datasets.
func (c *Client) Datasets(ctx context.Context) ([]engine.Description, error) {
	var out struct {
		Datasets []engine.Description `json:"datasets"`
	}
	_, err := c.call(ctx, newRequest(http.MethodGet, "/datasets"), &out)
	return out.Datasets, err
}

func (c *Client) description(ctx context.Context, q *request) (engine.Description, error) {
	var out engine.Description
	h, err := c.call(ctx, q, &out)
	out.ETag = h.Get("ETag")
	return out, err
}

// Describe describes a dataset.
func (c *Client) Describe(ctx context.Context, name lake.Name) (engine.Description, error) {
	return c.description(ctx, newRequest(http.MethodGet, datasetPath(name, "")))
}

// Definition is what a new dataset is.
type Definition struct {
	Columns       []Column `json:"columns"`
	PrimaryKey    []string `json:"primary_key,omitempty"`
	FormatVersion int      `json:"format_version,omitempty"` // of its Iceberg table; 0: as the server has it
}

// Create makes an empty dataset.
func (c *Client) Create(ctx context.Context, name lake.Name, d Definition, idempotencyKey string) (engine.Description, error) {
	q, err := newRequest(http.MethodPut, datasetPath(name, "")).json(d)
	if err != nil {
		return engine.Description{}, err
	}
	q.changes = true
	return c.description(ctx, q.idempotencyKey(idempotencyKey))
}

// Rename gives a dataset another name.
func (c *Client) Rename(ctx context.Context, name, to lake.Name, idempotencyKey string) (engine.Description, error) {
	q, err := newRequest(http.MethodPost, datasetPath(name, "/rename")).json(map[string]string{"to": to.String()})
	if err != nil {
		return engine.Description{}, err
	}
	q.changes = true
	return c.description(ctx, q.idempotencyKey(idempotencyKey))
}

// Drop takes a dataset away.
func (c *Client) Drop(ctx context.Context, name lake.Name, idempotencyKey string) error {
	q := newRequest(http.MethodDelete, datasetPath(name, "")).idempotencyKey(idempotencyKey)
	q.changes = true
	_, err := c.call(ctx, q, nil)
	return err
}

// Deltas lists a dataset's deltas that are kept.
func (c *Client) Deltas(ctx context.Context, name lake.Name) ([]engine.DeltaInfo, error) {
	var out struct {
		Deltas []engine.DeltaInfo `json:"deltas"`
	}
	_, err := c.call(ctx, newRequest(http.MethodGet, datasetPath(name, "/deltas")), &out)
	return out.Deltas, err
}

// Row gives one row as a JSON object, and the ETag of the state read. key has
// the values of the key columns as text, in key order.
func (c *Client) Row(ctx context.Context, name lake.Name, key ...string) (row json.RawMessage, etag string, err error) {
	h, err := c.call(ctx, newRequest(http.MethodGet, datasetPath(name, "/rows/"+rowKey(key))), &row)
	return row, h.Get("ETag"), err
}

// rowKey writes a key for a path. Dots are encoded too, since a part of a path
// that is only dots means another path; so are commas, which part columns.
func rowKey(key []string) string {
	parts := make([]string, len(key))
	for i, v := range key {
		parts[i] = strings.NewReplacer(".", "%2E", ",", "%2C").Replace(url.PathEscape(v))
	}
	return strings.Join(parts, ",")
}

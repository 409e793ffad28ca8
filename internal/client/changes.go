package client

import (
	"context"
	"io"
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Body is rows or keys with their media type. Length is -1 where unknown.
type Body struct {
	ContentType string
	Reader      io.Reader
	Length      int64
}

// ChangeOptions are what else a change can say. The zero value says nothing.
type ChangeOptions struct {
	MissingNull    bool   // a column that a row does not have is null
	MissingKeep    bool   // of Upsert: it stays as it is
	IfMatch        string // the ETag the dataset must have
	IdempotencyKey string
}

// Upsert upserts rows, or appends them to a dataset without a key.
func (c *Client) Upsert(ctx context.Context, name lake.Name, body Body, o ChangeOptions) (engine.ChangeResult, error) {
	return c.change(ctx, name, "/rows", body, o)
}

// Delete deletes the rows of keys.
func (c *Client) Delete(ctx context.Context, name lake.Name, keys Body, o ChangeOptions) (engine.ChangeResult, error) {
	return c.change(ctx, name, "/delete", keys, o)
}

// Changes upserts and deletes in the order of an NDJSON body.
func (c *Client) Changes(ctx context.Context, name lake.Name, changes Body, o ChangeOptions) (engine.ChangeResult, error) {
	return c.change(ctx, name, "/changes", changes, o)
}

func (c *Client) change(ctx context.Context, name lake.Name, path string, body Body, o ChangeOptions) (engine.ChangeResult, error) {
	q := newRequest(http.MethodPost, datasetPath(name, path)).idempotencyKey(o.IdempotencyKey)
	q.put(body)
	q.changes = true
	switch {
	case o.MissingKeep:
		q.query.Set("missing", "keep")
	case o.MissingNull:
		q.query.Set("missing", "null")
	}
	if o.IfMatch != "" {
		q.header.Set("If-Match", o.IfMatch)
	}
	var out engine.ChangeResult
	h, err := c.call(ctx, q, &out)
	out.ETag = h.Get("ETag")
	return out, err
}

func (q *request) put(b Body) {
	q.body, q.length = b.Reader, b.Length
	q.header.Set("Content-Type", b.ContentType)
}

// Get asks for the rows of keys; they stream in the format.
func (c *Client) Get(ctx context.Context, name lake.Name, keys Body, format rows.OutFormat) (*Answer, error) {
	q := newRequest(http.MethodPost, datasetPath(name, "/get"))
	q.put(keys)
	return c.answer(ctx, q, format)
}

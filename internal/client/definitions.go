package client

import (
	"context"

	"tarn/internal/engine"
)

// Define runs a CREATE TABLE or DROP TABLE; Format and Fresh of the query are of no use
// here.
func (c *Client) Define(ctx context.Context, query Query, idempotencyKey string) (engine.DefinitionResult, error) {
	var out engine.DefinitionResult
	q, err := query.request()
	if err != nil {
		return out, err
	}
	q.idempotencyKey(idempotencyKey)
	q.changes = true
	h, err := c.call(ctx, q, &out)
	out.ETag = h.Get("ETag")
	return out, err
}

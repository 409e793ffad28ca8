package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
)

// Execute runs an INSERT, UPDATE or DELETE; Format and Fresh of the query are of no use
// here, nor is MissingNull of the options.
func (c *Client) Execute(ctx context.Context, query Query, o ChangeOptions) (engine.StatementResult, error) {
	var out engine.StatementResult
	q, err := query.request()
	if err != nil {
		return out, err
	}
	q.idempotencyKey(o.IdempotencyKey)
	q.changes = true
	if o.IfMatch != "" {
		q.header.Set("If-Match", o.IfMatch)
	}
	h, err := c.call(ctx, q, &out)
	out.ETag = h.Get("ETag")
	return out, err
}

// request is the call of a query.
func (query Query) request() (*request, error) {
	body := struct {
		SQL     string `json:"sql"`
		Params  any    `json:"params,omitempty"`
		Timeout string `json:"timeout,omitempty"`
	}{SQL: query.SQL, Params: query.Params}
	if query.Timeout > 0 {
		body.Timeout = query.Timeout.String()
	}
	return newRequest(http.MethodPost, "/query/sql").json(body)
}

package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
)

// Execute runs a statement that changes rows, without RETURNING; Format and Fresh of the
// query are of no use here, nor is what the options say of missing columns.
func (c *Client) Execute(ctx context.Context, query Query, o ChangeOptions) (engine.StatementResult, error) {
	var out engine.StatementResult
	q, err := query.statement(o)
	if err != nil {
		return out, err
	}
	h, err := c.call(ctx, q, &out)
	out.ETag = h.Get("ETag")
	return out, err
}

// ExecuteTransaction runs BEGIN; statements that change rows; COMMIT. Of the options
// IdempotencyKey alone is of use here.
func (c *Client) ExecuteTransaction(ctx context.Context, query Query, o ChangeOptions) (out engine.TransactionResult, err error) {
	q, err := query.statement(o)
	if err != nil {
		return out, err
	}
	_, err = c.call(ctx, q, &out)
	return out, err
}

// ExecuteReturning runs a statement with RETURNING: the answer is its rows in the
// query's Format, and Changed of it what the statement did. Sent again with the same
// Idempotency-Key it fails with CodeRowsNotKept once it was done.
func (c *Client) ExecuteReturning(ctx context.Context, query Query, o ChangeOptions) (*Answer, error) {
	q, err := query.statement(o)
	if err != nil {
		return nil, err
	}
	return c.answer(ctx, q, query.Format)
}

// statement is the call of a statement that changes rows.
func (query Query) statement(o ChangeOptions) (*request, error) {
	q, err := query.request()
	if err != nil {
		return nil, err
	}
	q.idempotencyKey(o.IdempotencyKey)
	q.changes = true
	if o.IfMatch != "" {
		q.header.Set("If-Match", o.IfMatch)
	}
	return q, nil
}

// request is the call of a query.
func (query Query) request() (*request, error) {
	body := struct {
		SQL     string `json:"sql"`
		Params  any    `json:"params,omitempty"`
		Timeout string `json:"timeout,omitempty"`
		Engine  string `json:"engine,omitempty"`
	}{SQL: query.SQL, Params: query.Params, Engine: query.Engine}
	if query.Timeout > 0 {
		body.Timeout = query.Timeout.String()
	}
	return newRequest(http.MethodPost, "/query/sql").json(body)
}

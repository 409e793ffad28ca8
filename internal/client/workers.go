package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
)

// Workers tells of the processes that answer the server's queries.
func (c *Client) Workers(ctx context.Context) (engine.WorkersInfo, error) {
	var out engine.WorkersInfo
	_, err := c.call(ctx, newRequest(http.MethodGet, "/workers"), &out)
	return out, err
}

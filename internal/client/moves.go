package client

import (
	"context"
	"net/http"

	"tarn/internal/engine"
)

// Backup copies the lake into a folder of the server's machine, where keep backups
// stay (0: all). progress may be nil.
func (c *Client) Backup(ctx context.Context, path string, keep int, progress func(Job)) (engine.BackupResult, error) {
	q, err := newRequest(http.MethodPost, "/backups").json(map[string]any{"path": path, "keep": keep})
	if err != nil {
		return engine.BackupResult{}, err
	}
	var out engine.BackupResult
	id, err := c.started(ctx, q)
	if err == nil {
		err = c.result(ctx, id, progress, &out)
	}
	return out, err
}

// Reroot makes the lake's place its root. progress may be nil.
func (c *Client) Reroot(ctx context.Context, progress func(Job)) (engine.RerootResult, error) {
	var out engine.RerootResult
	id, err := c.started(ctx, newRequest(http.MethodPost, "/reroot"))
	if err == nil {
		err = c.result(ctx, id, progress, &out)
	}
	return out, err
}

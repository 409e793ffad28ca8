package httpapi

import (
	"net/http"

	"tarn/internal/engine"
)

func (a *api) workerRoutes() []*route {
	return []*route{{
		method: http.MethodGet, path: "/workers", id: "list-workers", tag: tagRunning, needs: inspects(),
		summary: "Show the processes that answer queries", handle: a.listWorkers,
		doc:     "Those that live and the last 20 that died: how they ended, what they take, which limits and walls are around them.",
		answers: []answer{{status: http.StatusOK, doc: "counts since the server's start, and the workers, newest first", content: jsonOf(engine.WorkersInfo{})}},
	}}
}

func (a *api) listWorkers(c *call) error {
	workers, err := c.door.Workers(c.r.Context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, workers)
}

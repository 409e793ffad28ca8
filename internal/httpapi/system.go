package httpapi

import (
	"net/http"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

const (
	mediaHTML    = "text/html; charset=utf-8"
	mediaMetrics = "text/plain; version=0.0.4; charset=utf-8"
)

// statusAnswer is what /health and /ready say.
type statusAnswer struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// health says that the process answers; it asks nothing of the lake.
func (a *api) health(c *call) error {
	return c.reply(http.StatusOK, statusAnswer{Status: "ok", Version: a.version})
}

// ready says whether the lake has recovered and every way works.
func (a *api) ready(c *call) error {
	if err := c.door.Ready(); err != nil {
		if a.access != nil { // anybody may ask this, and the reason is for the operator
			a.log.Debug("not ready", "error", err)
			return lake.Errorf(lake.CodeOf(err), "the lake is not ready").WithHint("the server's log says why")
		}
		return err
	}
	return c.reply(http.StatusOK, statusAnswer{Status: "ready"})
}

func (a *api) showMetrics(c *call) error {
	a.scrape.ServeHTTP(c.w, c.r)
	return nil
}

func (a *api) showOpenAPI(c *call) error {
	c.w.Header().Set("Content-Type", rows.MediaJSON)
	_, _ = c.w.Write(a.openapi) // a client that is gone needs no answer
	return nil
}

func (a *api) showDocs(c *call) error {
	h := c.w.Header()
	h.Set("Content-Type", mediaHTML)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = c.w.Write(a.docs) // a client that is gone needs no answer
	return nil
}

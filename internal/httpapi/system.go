package httpapi

import (
	"net/http"
	"time"

	"tarn/internal/engine"
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

	Following *followAnswer `json:"following,omitempty" doc:"of a server that follows the lake (--read-only)"`
}

// followAnswer says how far a follower is.
type followAnswer struct {
	AsOf           time.Time `json:"as_of" doc:"answers hold all that was acknowledged before"`
	StalenessMS    int64     `json:"staleness_ms" doc:"how long ago that is"`
	MaxStalenessMS int64     `json:"max_staleness_ms" doc:"beyond it the server answers 503 behind"`
	Problem        string    `json:"problem,omitempty" doc:"why the last look failed"`
}

func following(now engine.Following) *followAnswer {
	out := &followAnswer{AsOf: now.AsOf, StalenessMS: now.Staleness().Milliseconds(), MaxStalenessMS: now.MaxStaleness.Milliseconds()}
	if now.Problem != nil {
		out.Problem = now.Problem.Error()
	}
	return out
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
	out := statusAnswer{Status: "ready"}
	if now, ok := c.door.Following(); ok {
		out.Following = following(now)
		if a.access != nil { // as above
			out.Following.Problem = ""
		}
	}
	return c.reply(http.StatusOK, out)
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

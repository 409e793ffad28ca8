package httpapi

import (
	"io"
	"net/http"
	"strings"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/lake"
)

// Mount is an API of another protocol below a path of its own. Its requests get all that
// tarn's own get, in this package: an id, log, metrics and audit, the refusal of pages of
// other origins, tokens with their limits, and the lake as whoever calls may see it. Its
// answers and errors are written in its own shape, and the OpenAPI document is not of it.
type Mount struct {
	Prefix string // "/iceberg/": everything below it is the mount's
	Routes []MountRoute
	// Fail answers with an error; status is what HTTP says of its code here.
	Fail func(w http.ResponseWriter, r *http.Request, status int, err error)
}

// MountRoute is one call of a Mount.
type MountRoute struct {
	Method, Path string      // as the mux takes it, with the mount's prefix
	Open         bool        // nobody is asked who he is
	Role         access.Role // that whoever calls has on some dataset; the door asks further
	Changes      bool        // it goes into the audit log
	Handle       func(c *MountCall) error
}

// MountCall is one request to a Mount.
type MountCall struct {
	W    http.ResponseWriter
	R    *http.Request
	Door engine.Door // the lake as whoever calls may see it

	api  *api
	call *call
}

// Named notes the datasets that the call is about, for the audit log.
func (c *MountCall) Named(names ...lake.Name) {
	c.call.about(names)
}

// Body reads the request's body whole, up to a limit and the token's own.
func (c *MountCall) Body(limit int64) ([]byte, error) {
	u, err := c.api.upload(c.call, limit, "")
	if err != nil {
		return nil, err
	}
	return io.ReadAll(u)
}

// Token gives whose a token is: nil where it is not known. asked is false where this server
// asks nobody who he is.
func (c *MountCall) Token(token string) (who *access.Principal, asked bool) {
	if c.api.access == nil {
		return nil, false
	}
	return c.api.access.Find(token), true
}

// mount gives the mux the routes of a mount.
func (a *api) mount(m *Mount) {
	allowed := map[string][]string{}
	for _, rt := range m.Routes {
		a.mux.HandleFunc(rt.Method+" "+rt.Path, a.serveMounted(rt))
		allowed[rt.Path] = append(allowed[rt.Path], rt.Method)
	}
	for path, methods := range allowed {
		a.mux.Handle(path, a.refuseMethod(strings.Join(methods, ", ")))
	}
	a.mux.HandleFunc(m.Prefix, a.refusePath)
}

func (a *api) serveMounted(rt MountRoute) http.HandlerFunc {
	needs := need{open: rt.Open, role: rt.Role, of: ofPath, changes: rt.Changes}
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{exchange: exchangeOf(r), w: w, r: r}
		c.route = rt.Path
		leave, err := a.enter(c, needs)
		defer leave()
		if err == nil {
			err = rt.Handle(&MountCall{W: w, R: r, Door: c.door, api: a, call: c})
		}
		if err != nil {
			a.writeProblem(w, c.exchange, err)
		}
	}
}

// mountOf gives the mount that a path belongs to, nil for tarn's own.
func (a *api) mountOf(path string) *Mount {
	for _, m := range a.mounts {
		if strings.HasPrefix(path, m.Prefix) {
			return m
		}
	}
	return nil
}

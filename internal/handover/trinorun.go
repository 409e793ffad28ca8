package handover

import (
	"context"
	"net/http"
	"strings"
	"sync"
)

// trinoRun is a query as the calls for it show it: the client ends one in Trino only where
// the context ends while it waits for a page, so that it is ended here as well.
type trinoRun struct {
	mu struct {
		sync.Mutex
		last *http.Request // for a page
	}
}

type trinoRunKey struct{}

// trinoNoting notes the calls of each query.
type trinoNoting struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n trinoNoting) RoundTrip(r *http.Request) (*http.Response, error) {
	if run, ok := r.Context().Value(trinoRunKey{}).(*trinoRun); ok && r.Method == http.MethodGet {
		run.mu.Lock()
		run.mu.last = r
		run.mu.Unlock()
	}
	return n.next.RoundTrip(r)
}

// trinoPages begins the path of a page: /v1/statement/executing/ID/….
const trinoPages = "/v1/statement/"

// ending is the call that ends the query; nil where no page was asked for: then it has not
// begun.
func (run *trinoRun) ending(ctx context.Context) *http.Request {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.mu.last == nil {
		return nil
	}
	_, rest, _ := strings.Cut(run.mu.last.URL.Path, trinoPages)
	parts := strings.Split(rest, "/")
	if len(parts) < 2 {
		return nil
	}
	r := run.mu.last.Clone(ctx)
	r.Method, r.Body = http.MethodDelete, nil
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/v1/query/"+parts[1], "", ""
	return r
}

// end ends a query in Trino, in the background: nobody waits for it but Close.
func (t *trino) end(run *trinoRun) {
	t.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		r := run.ending(ctx)
		if r == nil {
			return
		}
		// Where it does not come through, Trino ends a query whose pages nobody fetches.
		if res, err := t.transport.RoundTrip(r); err == nil {
			res.Body.Close()
		}
	})
}

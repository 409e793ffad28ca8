package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	base string // without a slash at its end
	rt   http.RoundTripper
}

// New gives a client of the server at base, such as http://127.0.0.1:7070. A
// nil rt is a transport of its own with the defaults of net/http.
func New(base string, rt http.RoundTripper) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "%q is not the URL of a server", base).
			WithHint("such as http://127.0.0.1:7070")
	}
	if rt == nil {
		rt = defaultTransport()
	}
	return &Client{base: strings.TrimRight(u.String(), "/"), rt: rt}, nil
}

// Close closes connections that are kept for later calls.
func (c *Client) Close() {
	if t, ok := c.rt.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// request is one call to be sent.
type request struct {
	method, path string // path percent-encoded
	query        url.Values
	header       http.Header
	body         io.Reader
	length       int64 // of the body; -1 unknown
	changes      bool  // a lost connection leaves the outcome unknown
}

func newRequest(method, path string) *request {
	return &request{method: method, path: path, query: url.Values{}, header: http.Header{}}
}

// datasetPath is a path below a dataset.
func datasetPath(name lake.Name, more string) string {
	return "/datasets/" + url.PathEscape(name.String()) + more
}

// json gives the request a JSON body.
func (q *request) json(v any) (*request, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "encode the request: %w", err)
	}
	q.header.Set("Content-Type", "application/json")
	q.body, q.length = bytes.NewReader(b), int64(len(b))
	return q, nil
}

// idempotencyKey gives the request a key, unless it is empty.
func (q *request) idempotencyKey(key string) *request {
	if key != "" {
		q.header.Set("Idempotency-Key", key)
	}
	return q
}

// sent remembers an error of a body's source, so that it is not taken for one
// of the connection.
type sent struct {
	src io.Reader
	err error
}

func (s *sent) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// do sends a request. Answers other than 2xx become errors.
func (c *Client) do(ctx context.Context, q *request) (*http.Response, error) {
	target := c.base + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	var body io.Reader
	src := &sent{src: q.body}
	if q.body != nil && q.length != 0 {
		body = src
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target, body)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "%w", err)
	}
	if body != nil {
		r.ContentLength = q.length
	}
	for k, v := range q.header {
		r.Header[k] = v
	}
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "application/json")
	}
	res, err := c.rt.RoundTrip(r)
	if err != nil {
		return nil, c.lost(ctx, q, src, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, problemOf(res)
}

// lost says what a connection that broke means for the caller.
func (c *Client) lost(ctx context.Context, q *request, src *sent, err error) error {
	var dial *net.OpError
	refused := errors.As(err, &dial) && dial.Op == "dial"
	switch {
	case src.err != nil:
		return lake.Step("read what is to be sent", src.err)
	case refused && ctx.Err() == nil:
		return lake.Errorf(lake.CodeUnavailable, "no connection to %s: %w", c.base, err).
			WithHint("is the server running? start it with: tarn serve")
	case refused:
		return ctx.Err()
	case q.changes:
		return lake.Errorf(lake.CodeUnknownOutcome, "the connection to %s was lost before the answer: %w", c.base, err).
			WithHint("look whether it was done, or send it again with the same Idempotency-Key")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return lake.Errorf(lake.CodeUnavailable, "the connection to %s was lost: %w", c.base, err)
}

// call sends a request and decodes its JSON answer into out, unless out is nil.
func (c *Client) call(ctx context.Context, q *request, out any) (http.Header, error) {
	res, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, c.lost(ctx, q, &sent{}, err)
	}
	if out == nil {
		return res.Header, nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "the answer of %s %s is not what a tarn server says: %w", q.method, q.path, err).
			WithHint("is %s a tarn server, and of this version?", c.base)
	}
	return res.Header, nil
}

// Health gives the server's version; it fails where no server answers.
func (c *Client) Health(ctx context.Context) (version string, err error) {
	var out struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}
	_, err = c.call(ctx, newRequest(http.MethodGet, "/health"), &out)
	return out.Version, err
}

// Ready fails with CodeNotReady until every way works.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.call(ctx, newRequest(http.MethodGet, "/ready"), nil)
	return err
}

// Queries lists the queries that wait or run.
func (c *Client) Queries(ctx context.Context) ([]engine.QueryInfo, error) {
	var out struct {
		Queries []engine.QueryInfo `json:"queries"`
	}
	_, err := c.call(ctx, newRequest(http.MethodGet, "/queries"), &out)
	return out.Queries, err
}

// CancelQuery ends a query.
func (c *Client) CancelQuery(ctx context.Context, id string) (engine.QueryInfo, error) {
	var out engine.QueryInfo
	_, err := c.call(ctx, newRequest(http.MethodDelete, "/queries/"+url.PathEscape(id)), &out)
	return out, err
}

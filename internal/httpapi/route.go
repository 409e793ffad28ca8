package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// route is one row of the table of calls. What it says of parameters, bodies
// and answers is what the OpenAPI document shows; query parameters that it does
// not name are refused.
type route struct {
	method, path string
	also         string // another path of the same route that the document does not show
	id, tag      string
	summary, doc string
	query        []queryParam
	idempotent   bool // takes Idempotency-Key
	ifMatch      bool // takes If-Match
	fresh        bool // takes Cache-Control: no-cache
	asQuery      bool // is a query, with an id in every answer
	body         []content
	bodyOptional bool
	answers      []answer
	errors       []lake.Code // besides those that every route can give
	needs        need        // of whoever calls it, where the server has tokens
	handle       func(c *call) error
}

// queryParam is one query parameter that a route takes.
type queryParam struct {
	name, doc string
	values    []string // the allowed ones; nil: any text
	fallback  string   // what its absence means, for the document
}

// content is one media type of a body with the Go type that stands for its
// schema; nil is a schema of its own kind (rows, files).
type content struct {
	media string
	typ   any
	or    []any // other Go types, where a body has one of several shapes
	doc   string
}

// answer is one successful answer.
type answer struct {
	status  int
	doc     string
	content []content
	headers []string // names of entries of headerDocs
}

// json is the media of an answer that is JSON and nothing else.
func jsonOf(typ any) []content { return []content{{media: rows.MediaJSON, typ: typ}} }

func (rt *route) patterns() []string {
	if rt.also == "" {
		return []string{rt.path}
	}
	return []string{rt.path, rt.also}
}

// onlyJSON says whether the route's answers are JSON, so that an Accept without
// it can be refused before anything is done.
func (rt *route) onlyJSON() bool {
	for _, a := range rt.answers {
		for _, c := range a.content {
			if c.media != rows.MediaJSON {
				return false
			}
		}
	}
	return true
}

// call is one request being handled: the exchange, the request, and the query
// parameters, which are known to be ones that the route takes.
type call struct {
	*exchange
	w      http.ResponseWriter
	r      *http.Request
	door   engine.Door // the lake as whoever calls may see it
	params map[string]string
}

// name reads the dataset's name in the path.
func (c *call) name() (lake.Name, error) { return lake.ParseName(c.r.PathValue("name")) }

// named notes the dataset that a body names, for the audit log.
func (c *call) named(name lake.Name, err error) (lake.Name, error) {
	if err == nil {
		c.dataset = name.String()
	}
	return name, err
}

// about notes the datasets that a request is about, each once, for the audit log.
func (c *call) about(names []lake.Name) {
	var all []string
	for _, n := range names {
		if text := n.String(); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	c.dataset = strings.Join(all, ", ")
}

// serve is the handler of a route: strictness first, then its handle. An error
// becomes a problem.
func (a *api) serve(rt *route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{exchange: exchangeOf(r), w: w, r: r}
		c.route = rt.path
		if rt.asQuery {
			c.queryID = a.newQueryID()
			w.Header().Set(headerQueryID, c.queryID)
		}
		if name, err := c.name(); err == nil {
			c.dataset = name.String() // for the audit log, also where the call is refused
		}
		leave, err := a.enter(c, rt.needs)
		defer leave()
		if err == nil {
			err = c.admit(rt)
		}
		if err == nil {
			c.sayAsOf(rt)
			err = rt.handle(c)
		}
		if err != nil {
			a.writeProblem(w, c.exchange, err)
		}
	}
}

// sayAsOf says how old the answer of a follower may be. It is taken before the lake is
// asked, so that the answer is at least as new.
func (c *call) sayAsOf(rt *route) {
	if rt.tag != tagQueries && rt.tag != tagDatasets && rt.tag != tagRows {
		return
	}
	if now, ok := c.door.Following(); ok {
		h := c.w.Header()
		h.Set(headerAsOf, now.AsOf.Format(time.RFC3339Nano))
		h.Set(headerStaleness, strconv.FormatInt(now.Staleness().Milliseconds(), 10))
	}
}

func (c *call) admit(rt *route) (err error) {
	if c.params, err = readQuery(c.r.URL.RawQuery, rt.query); err != nil {
		return err
	}
	if enc := c.r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return lake.Errorf(lake.CodeUnsupportedMedia, "Content-Encoding %s is not supported", clip(enc)).
			WithHint("send the body as it is; Parquet and Arrow compress within")
	}
	if c.r.Header.Get("If-Match") != "" && !rt.ifMatch && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return lake.Errorf(lake.CodeInvalidRequest, "this call takes no If-Match").
			WithHint("the calls that change rows do; nothing was done")
	}
	if rt.onlyJSON() && !accepts(c.r.Header, rows.MediaJSON) {
		return lake.Errorf(lake.CodeNotAcceptable, "this call answers application/json alone").
			WithHint("accept application/json")
	}
	return nil
}

// readQuery reads the query strictly: known names, once each, known values.
func readQuery(raw string, known []queryParam) (map[string]string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the query of the URL does not parse: %w", err)
	}
	out := make(map[string]string, len(values))
	for name, vs := range values {
		p, ok := findParam(known, name)
		switch {
		case !ok:
			return nil, lake.Errorf(lake.CodeInvalidRequest, "query parameter %q is not known", clip(name)).
				WithHint("%s", knownParams(known))
		case len(vs) > 1:
			return nil, lake.Errorf(lake.CodeInvalidRequest, "query parameter %q appears %d times", name, len(vs))
		case vs[0] == "":
			return nil, lake.Errorf(lake.CodeInvalidRequest, "query parameter %q is empty", name).
				WithHint("leave it out, or give it a value")
		case p.values != nil && !contains(p.values, vs[0]):
			return nil, lake.Errorf(lake.CodeInvalidRequest, "query parameter %s=%q is not known", name, clip(vs[0])).
				WithHint("%s is one of %s", name, strings.Join(p.values, ", "))
		}
		out[name] = vs[0]
	}
	return out, nil
}

func findParam(known []queryParam, name string) (queryParam, bool) {
	for _, p := range known {
		if p.name == name {
			return p, true
		}
	}
	return queryParam{}, false
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func knownParams(known []queryParam) string {
	if len(known) == 0 {
		return "this call takes no query parameters"
	}
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.name
	}
	return "this call takes " + strings.Join(names, ", ")
}

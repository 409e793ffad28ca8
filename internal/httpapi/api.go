package httpapi

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tarn/internal/access"
	"tarn/internal/audit"
	"tarn/internal/engine"
	"tarn/internal/lake"
)

// Options are what a handler needs besides the lake. The zero value works.
type Options struct {
	Version  string // of the program, shown by /health and the OpenAPI document
	Log      *slog.Logger
	Registry *prometheus.Registry // what /metrics shows; nil: only HTTP's own
	// UploadIdle ends a request whose body stands still for so long; 0 is a
	// minute.
	UploadIdle   time.Duration
	NewQueryID   func() string // nil: random UUIDs
	NewRequestID func() string // likewise
	// Access says who may do what; nil: nobody is asked who he is, and everybody may do
	// everything.
	Access *access.Keeper
	Audit  *audit.Log // of changes and refusals; nil: none
	// LocalOnly is for a server that only this machine reaches and that asks nobody
	// who he is: a request must call it by an address or as localhost. A web page that
	// has a name of its own resolve to this machine cannot.
	LocalOnly bool
	Mounts    []*Mount // APIs of other protocols
}

// api is the handler. Nothing in it changes after New.
type api struct {
	door         engine.Door
	log          *slog.Logger
	version      string
	uploadIdle   time.Duration
	newQueryID   func() string
	newRequestID func() string
	access       *access.Keeper
	audit        *audit.Log
	localOnly    bool
	mounts       []*Mount
	codes        codes
	metrics      *metrics
	scrape       http.Handler
	origin       *http.CrossOriginProtection
	mux          *http.ServeMux
	openapi      []byte
	docs         []byte
	buffers      sync.Pool // *[]byte of streamBufferBytes
}

// New gives the handler of a lake's HTTP.
func New(door engine.Door, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.UploadIdle <= 0 {
		o.UploadIdle = time.Minute
	}
	if o.NewQueryID == nil {
		o.NewQueryID = uuid.NewString
	}
	if o.NewRequestID == nil {
		o.NewRequestID = uuid.NewString
	}
	a := &api{
		door: door, log: o.Log, version: o.Version, uploadIdle: o.UploadIdle, newQueryID: o.NewQueryID, newRequestID: o.NewRequestID,
		access: o.Access, audit: o.Audit, localOnly: o.LocalOnly, mounts: o.Mounts,
		codes: newCodes(), metrics: newMetrics(o.Registry), mux: http.NewServeMux(),
		scrape: promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}),
		origin: http.NewCrossOriginProtection(),
	}
	if a.access != nil {
		registered(o.Registry, newAccessMetrics(a.access))
	}
	a.buffers.New = func() any { b := make([]byte, streamBufferBytes); return &b }
	routes := a.routes()
	a.register(routes)
	for _, m := range a.mounts {
		a.mount(m)
	}
	doc := a.describe(routes)
	a.openapi = mustJSON(doc)
	a.docs = renderDocs(doc, routes)
	return a.observe(a.front)
}

// register gives the mux every route, and for each path what answers its other
// methods. The latter also keeps the mux from redirecting.
func (a *api) register(routes []*route) {
	allowed := map[string][]string{}
	for _, rt := range routes {
		for _, path := range rt.patterns() {
			a.mux.Handle(rt.method+" "+path, a.serve(rt))
			allowed[path] = append(allowed[path], rt.method)
			if rt.method == http.MethodGet {
				allowed[path] = append(allowed[path], http.MethodHead)
			}
		}
	}
	for path, methods := range allowed {
		slices.Sort(methods)
		a.mux.Handle(path, a.refuseMethod(strings.Join(methods, ", ")))
	}
	if _, taken := allowed["/"]; !taken {
		a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.refusePath(w, r) })
	}
}

// front takes /v1 off the path, refuses what the mux would answer in HTML, and
// hands over to the mux.
func (a *api) front(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	x.path = r.URL.EscapedPath()
	x.mount = a.mountOf(x.path)
	if rest, ok := strings.CutPrefix(x.path, "/v1/"); ok {
		x.prefix, x.path = "/v1", "/"+rest
		u := *r.URL
		u.Path = strings.TrimPrefix(u.Path, "/v1")
		u.RawPath = strings.TrimPrefix(u.RawPath, "/v1")
		short := *r
		short.URL = &u
		r = &short
	}
	if a.localOnly && !isLocalHost(r.Host) {
		a.writeProblem(w, x, lake.Errorf(lake.CodeForbidden, "the request calls this server %q, which is no name of it", clip(r.Host)).
			WithHint("call it by its address, or as localhost; a proxy sets the Host header, or serve with --insecure"))
		return
	}
	if err := a.origin.Check(r); err != nil {
		a.writeProblem(w, x, lake.Errorf(lake.CodeForbidden, "a browser sent this for a page of another origin: %w", err).
			WithHint("call from the server's own origin, or from a program"))
		return
	}
	if !cleanPath(x.path) {
		a.refusePath(w, r)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// isLocalHost says whether a Host header is an address or localhost: nobody else can
// have these names resolve to what he likes.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, err := netip.ParseAddr(host)
	host = strings.ToLower(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// cleanPath says whether the mux takes the path as it is, rather than
// redirecting to a shorter one.
func cleanPath(escaped string) bool {
	if !strings.HasPrefix(escaped, "/") || strings.Contains(escaped, "//") {
		return false
	}
	for part := range strings.SplitSeq(escaped, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return true
}

func (a *api) refusePath(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	a.writeProblem(w, x, lake.Errorf(lake.CodeNotFound, "there is no %s", clip(x.prefix+x.path)).
		WithHint("GET /docs lists every path"))
}

func (a *api) refuseMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		w.Header().Set("Allow", allow)
		a.writeProblem(w, x, lake.Errorf(lake.CodeMethodNotAllowed, "%s is not a method of %s", clip(r.Method), clip(x.prefix+x.path)).
			WithHint("use %s", allow))
	}
}

// clip bounds what a message repeats of a request.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

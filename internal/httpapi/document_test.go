package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/lake"
)

// lakeCodes reads all codes out of the source of package lake.
func lakeCodes(t *testing.T) []lake.Code {
	file, err := parser.ParseFile(token.NewFileSet(), "../lake/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []lake.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Values) == 1 && strings.HasPrefix(spec.Names[0].Name, "Code") {
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, lake.Code(s))
			}
		}
		return true
	})
	if len(out) < 30 {
		t.Fatalf("only %d codes found", len(out))
	}
	return out
}

func TestEveryCodeHasOneStatus(t *testing.T) {
	seen := map[lake.Code]int{}
	for _, c := range codeTable() {
		seen[c.code]++
		if c.status < 400 || c.title == "" || c.meaning == "" {
			t.Errorf("%+v", c)
		}
	}
	for _, code := range lakeCodes(t) {
		if seen[code] != 1 {
			t.Errorf("%s stands %d times in the table", code, seen[code])
		}
		delete(seen, code)
	}
	for code := range seen {
		t.Errorf("%s is no code of the lake's", code)
	}
}

// The reference for people tells of each code with its status, and of each
// route.
func TestReferenceIsWhole(t *testing.T) {
	text, err := os.ReadFile("../../docs/HTTP.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range codeTable() {
		if want := fmt.Sprintf("| `%s` | %d |", c.code, c.status); !bytes.Contains(text, []byte(want)) {
			t.Errorf("docs/HTTP.md has no line with %s", want)
		}
	}
	for _, rt := range newTestAPI().routes() {
		if want := "`" + rt.method + " " + rt.path + "`"; !bytes.Contains(text, []byte(want)) {
			t.Errorf("docs/HTTP.md does not tell of %s", want)
		}
	}
}

func newTestAPI() *api { return &api{codes: newCodes()} }

// contract is what the server promises: every path also under /v1.
var contract = []string{
	"POST /query/cache/pin", "POST /query/cache/unpin", "POST /query/cache/evict", "GET /query/cache/stats",
	"POST /query/sql", "GET /datasets", "GET /datasets/{name}", "PUT /datasets/{name}", "DELETE /datasets/{name}",
	"POST /datasets/{name}/rename", "POST /datasets/{name}/schema", "POST /datasets/{name}/import", "POST /datasets/{name}/rows", "POST /datasets/{name}/changes", "GET /datasets/{name}/changes",
	"POST /datasets/{name}/delete", "POST /datasets/{name}/get", "GET /datasets/{name}/rows/{key}", "GET /datasets/{name}/deltas",
	"POST /datasets/{name}/attach", "POST /datasets/{name}/sync", "POST /datasets/{name}/detach",
	"POST /query/compact", "POST /backups", "POST /reroot", "GET /jobs", "GET /jobs/{id}", "DELETE /jobs/{id}", "GET /queries", "GET /workers", "DELETE /queries/{id}",
	"GET /health", "GET /ready", "GET /metrics", "GET /openapi.json", "GET /docs",
}

// served fetches a path of a handler over a lake that is never asked.
func served(t *testing.T, path string) (http.Header, []byte) {
	rec := httptest.NewRecorder()
	New(struct{ engine.Door }{}, Options{Version: "1.2.3"}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Header(), rec.Body.Bytes()
}

func TestOpenAPIListsEveryRoute(t *testing.T) {
	_, body := served(t, "/v1/openapi.json")
	var doc struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name, In string }
			RequestBody *struct{ Content map[string]json.RawMessage }
			Responses   map[string]json.RawMessage
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("openapi %s, version %s", doc.OpenAPI, doc.Info.Version)
	}
	listed := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			call := strings.ToUpper(method) + " " + path
			listed[call] = true
			if op.OperationID == "" || op.Responses["400"] == nil || (op.Responses["200"] == nil && op.Responses["201"] == nil && op.Responses["204"] == nil) {
				t.Errorf("%s: id %q, responses %v", call, op.OperationID, op.Responses)
			}
		}
	}
	for _, call := range contract {
		if !listed[call] {
			t.Errorf("%s is missing", call)
		}
	}
	routes := newTestAPI().routes()
	if len(listed) != len(routes) || len(routes) != len(contract) {
		t.Errorf("%d documented, %d routed, %d promised", len(listed), len(routes), len(contract))
	}
	for _, rt := range routes {
		op := doc.Paths[rt.path][strings.ToLower(rt.method)]
		for _, p := range rt.query {
			if !strings.Contains(fmt.Sprint(op.Parameters), "{"+p.name+" query}") {
				t.Errorf("%s %s: parameter %s is not documented", rt.method, rt.path, p.name)
			}
		}
		if (op.RequestBody != nil) != (rt.body != nil) {
			t.Errorf("%s %s: body %v", rt.method, rt.path, op.RequestBody)
		}
	}
	// Every reference leads somewhere.
	for _, part := range strings.Split(string(body), `"$ref":"#/components/schemas/`)[1:] {
		if name, _, _ := strings.Cut(part, `"`); doc.Components.Schemas[name] == nil {
			t.Errorf("schema %s is referred to and missing", name)
		}
	}
}

// Every documented route is one that the mux answers by itself.
func TestMuxKnowsEveryRoute(t *testing.T) {
	a := newTestAPI()
	a.mux = http.NewServeMux()
	a.register(a.routes())
	for _, rt := range a.routes() {
		for _, path := range rt.patterns() {
			example := strings.NewReplacer("{name}", "ts", "{key}", "a%2Fb", "{id}", "x", "{$}", "").Replace(path)
			_, pattern := a.mux.Handler(httptest.NewRequest(rt.method, example, nil))
			if pattern != rt.method+" "+path {
				t.Errorf("%s %s leads to %q", rt.method, example, pattern)
			}
		}
	}
}

// The page works offline: nothing is loaded, nothing is run.
func TestDocsPageIsWholeInItself(t *testing.T) {
	h, body := served(t, "/docs")
	page := string(body)
	for _, foreign := range []string{"http://", "https://", "//cdn", "<script", "src=", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
	if !strings.HasPrefix(h.Get("Content-Type"), "text/html") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers %v", h)
	}
	for _, rt := range newTestAPI().routes() {
		if !strings.Contains(page, `id="`+rt.id+`"`) {
			t.Errorf("%s is not on the page", rt.id)
		}
	}
	for _, c := range codeTable() {
		if !strings.Contains(page, `id="`+string(c.code)+`"`) {
			t.Errorf("%s is not on the page, where problems point", c.code)
		}
	}
}

func TestProblemKeepsStepsApart(t *testing.T) {
	c := newCodes()
	base := lake.Errorf(lake.CodeOutOfDisk, "no space: %w", io.ErrShortWrite).WithHint("free some")
	tests := []struct {
		err                      error
		code                     lake.Code
		step, detail, hint, text string
	}{
		{base, lake.CodeOutOfDisk, "", "no space: short write", "free some", ""},
		{lake.Step("a", lake.Step("b", base)), lake.CodeOutOfDisk, "a: b", "no space: short write", "free some", ""},
		{fmt.Errorf("around: %w", lake.Step("a", base)), lake.CodeOutOfDisk, "", "around: a: no space: short write", "free some", ""},
		{&lake.Error{Code: lake.CodeDamaged, Step: "a", Msg: "m", Err: base}, lake.CodeDamaged, "a", "m: no space: short write", "free some", ""},
		{lake.Step("a", io.ErrUnexpectedEOF), lake.CodeInternal, "a", "unexpected EOF", "", ""},
		{&lake.Error{Code: lake.CodeNotReady}, lake.CodeNotReady, "", "Not ready", "", ""},
		{&lake.Error{Code: "made_up", Msg: "x"}, lake.CodeInternal, "", "x", "", ""},
	}
	for _, test := range tests {
		p := c.problem(test.err)
		if p.Code != test.code || p.Step != test.step || p.Detail != test.detail || p.Hint != test.hint {
			t.Errorf("%v: %+v", test.err, p)
		}
	}
}

// Handlers have the lake as whoever calls may see it; the whole lake only the one who
// makes that.
func TestHandlersGoThroughTheGuard(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file != "admit.go" && !strings.HasSuffix(file, "_test.go") && bytes.Contains(text, []byte("a.door")) {
			t.Errorf("%s has the whole lake", file)
		}
	}
}

// Every route says what it takes of whoever calls it, and the document says it too.
func TestEveryRouteSaysWhatItTakes(t *testing.T) {
	_, body := served(t, "/openapi.json")
	var doc struct {
		Paths map[string]map[string]struct {
			Security    *[]map[string][]string
			Responses   map[string]json.RawMessage
			Description string
		}
		Components struct {
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if s := doc.Components.SecuritySchemes["bearer"]; s.Type != "http" || s.Scheme != "bearer" {
		t.Errorf("the scheme is %+v", s)
	}
	open := map[string]bool{"/health": true, "/ready": true, "/openapi.json": true, "/docs": true}
	for _, rt := range newTestAPI().routes() {
		at := rt.method + " " + rt.path
		if !rt.needs.said() {
			t.Errorf("%s does not say what it takes", at)
			continue
		}
		if rt.needs.open != open[rt.path] {
			t.Errorf("%s is open: %v", at, rt.needs.open)
		}
		// What is not a read is written down, except those that answer a question.
		asks := rt.method == http.MethodGet || rt.id == "query-sql" || rt.id == "get-rows"
		if rt.needs.changes == asks {
			t.Errorf("%s goes into the audit log: %v", at, rt.needs.changes)
		}
		op := doc.Paths[rt.path][strings.ToLower(rt.method)]
		switch {
		case !strings.Contains(op.Description, "it takes "+rt.needs.String()):
			t.Errorf("%s: the document does not say %q", at, rt.needs)
		case op.Security == nil:
			t.Errorf("%s has no security", at)
		case rt.needs.open != (len(*op.Security) == 0):
			t.Errorf("%s: security %v", at, op.Security)
		case !rt.needs.open && (op.Responses["401"] == nil || op.Responses["403"] == nil || op.Responses["429"] == nil):
			t.Errorf("%s does not say what a token may meet", at)
		}
	}
	if (need{}).met(&access.Principal{Role: access.Admin}) {
		t.Error("a route that says nothing is for somebody")
	}
}

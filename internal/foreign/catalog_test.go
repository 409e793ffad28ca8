package foreign

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tarn/internal/lake"
)

// fakeCatalog speaks the two routes that are asked.
type fakeCatalog struct {
	*httptest.Server
	token     string
	config    string
	warehouse string
	tables    map[string]string // answers by the path after /v1/, as it came
	asked     []string
}

func newFakeCatalog(t *testing.T) *fakeCatalog {
	f := &fakeCatalog{token: "secret", config: `{"defaults":{},"overrides":{}}`, tables: map[string]string{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeCatalog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.URL.EscapedPath())
	fail := func(status int, kind, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"code":%d}}`, message, kind, status)
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v1/")
	answer, known := f.tables[path]
	switch {
	case !ok:
		http.NotFound(w, r)
	case f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token:
		fail(http.StatusUnauthorized, "NotAuthorizedException", "the token is old")
	case path == "config" && r.URL.Query().Get("warehouse") != f.warehouse:
		fail(http.StatusNotFound, "NotFoundException", "no such warehouse")
	case path == "config":
		fmt.Fprint(w, f.config)
	case !known:
		fail(http.StatusNotFound, "NoSuchTableException", "Table does not exist: orders")
	case strings.HasPrefix(answer, "status "):
		var status int
		fmt.Sscanf(answer, "status %d", &status)
		fail(status, "SomeException", "as it is: "+answer)
	default:
		fmt.Fprint(w, answer)
	}
}

// catalogOf opens places with one catalog, named prod.
func catalogOf(t *testing.T, root string, c Catalog) *Places {
	t.Helper()
	c.Name = "prod"
	p, err := Open([]string{root}, []Catalog{c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func tokenFile(t *testing.T, token string) string {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loaded is the answer of a catalog for a metadata file.
func (o *theirs) loaded(uri string) string {
	return fmt.Sprintf(`{"metadata-location":%q,"metadata":%s,"config":{"s3.access-key-id":"not used"}}`, uri, readFile(o.T, strings.TrimPrefix(uri, "file://")))
}

// TestCatalog: the catalog says which metadata is the newest, by its own prefix and for the
// configured warehouse; namespaces may be nested.
func TestCatalog(t *testing.T) {
	o := newTheirs(t, 2)
	first := o.entries("00001-a.metadata.json", o.file("a.parquet", 1, 0))
	f := newFakeCatalog(t)
	f.warehouse, f.config = "main house", `{"defaults":{"prefix":"no"},"overrides":{"prefix":"ws/main%7Cx"}}`
	token := tokenFile(t, "secret\n")
	p := catalogOf(t, o.root(), Catalog{URI: f.URL + "/api/", Warehouse: "main house", TokenFile: token})
	for name, path := range map[string]string{
		"sales.orders":     "ws/main%7Cx/namespaces/sales/tables/orders",
		"eu.sales.a b/c":   "ws/main%7Cx/namespaces/eu%1Fsales/tables/a%20b%2Fc",
		"eu.sales.2024.ü?": "ws/main%7Cx/namespaces/eu%1Fsales%1F2024/tables/%C3%BC%3F",
	} {
		f.tables = map[string]string{path: o.loaded(first)}
		got, err := p.Load(t.Context(), Source{Catalog: "prod", Table: name})
		if err != nil || said(got) != "a.parquet\n" || got.Metadata != first {
			t.Errorf("%s: %+v, %v; asked %q", name, got, err, f.asked)
		}
	}
	f.config = `{"defaults":{"namespace-separator":"%2E"},"overrides":{}}`
	f.tables = map[string]string{"namespaces/eu%2Esales/tables/orders": o.loaded(o.entries("00002-b.metadata.json", o.file("a.parquet", 1, 0), o.file("b.parquet", 1, 0)))}
	got, err := p.Load(t.Context(), Source{Catalog: "prod", Table: "eu.sales.orders"})
	if err != nil || said(got) != "a.parquet\nb.parquet\n" {
		t.Errorf("%+v, %v; asked %q", got, err, f.asked)
	}

	// The token is read at each use.
	f.token = "new"
	_, err = p.Load(t.Context(), Source{Catalog: "prod", Table: "eu.sales.orders"})
	wantRefused(t, err, lake.CodeUnavailable, "prod", "401", "the token is old", "token file")
	if err := os.WriteFile(token, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = p.Load(t.Context(), Source{Catalog: "prod", Table: "eu.sales.orders"}); err != nil {
		t.Error(err)
	}
}

// TestCatalogFails: what a catalog says that has no table to give, and what is wrong with it.
func TestCatalogFails(t *testing.T) {
	o := newTheirs(t, 2)
	uri := o.entries("00001-a.metadata.json", o.file("a.parquet", 1, 0))
	const path = "namespaces/sales/tables/orders"
	for name, c := range map[string]struct {
		make  func(f *fakeCatalog, c *Catalog)
		code  lake.Code
		words []string
	}{
		"no such table":     {func(f *fakeCatalog, _ *Catalog) { f.tables = nil }, lake.CodeNotFound, []string{"Table does not exist: orders"}},
		"no such warehouse": {func(_ *fakeCatalog, c *Catalog) { c.Warehouse = "other" }, lake.CodeUnavailable, []string{"no such warehouse"}},
		"no such catalog":   {func(f *fakeCatalog, c *Catalog) { c.URI = f.URL + "/other" }, lake.CodeUnavailable, []string{"404", "URI"}},
		"not allowed":       {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = "status 403" }, lake.CodeUnavailable, []string{"403", "as it is", "token"}},
		"a bad request":     {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = "status 400" }, lake.CodeUnavailable, []string{"400", "as it is"}},
		"it fails":          {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = "status 503" }, lake.CodeUnavailable, []string{"503", "as it is", "try again"}},
		"too many":          {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = "status 429" }, lake.CodeUnavailable, []string{"429", "try again"}},
		"garbage":           {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = "<html>" }, lake.CodeUnavailable, []string{"not of an Iceberg REST catalog"}},
		"garbage at first":  {func(f *fakeCatalog, _ *Catalog) { f.config = "[]" }, lake.CodeUnavailable, []string{"not of an Iceberg REST catalog"}},
		"a prefix of none":  {func(f *fakeCatalog, _ *Catalog) { f.config = `{"overrides":{"prefix":"%zz"}}` }, lake.CodeUnavailable, []string{"%zz"}},
		"no location":       {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = `{"metadata":{}}` }, lake.CodeUnsupported, []string{"metadata"}},
		"no metadata":       {func(f *fakeCatalog, _ *Catalog) { f.tables[path] = fmt.Sprintf(`{"metadata-location":%q}`, uri) }, lake.CodeUnsupported, []string{"metadata"}},
		"broken metadata": {func(f *fakeCatalog, _ *Catalog) {
			f.tables[path] = fmt.Sprintf(`{"metadata-location":%q,"metadata":{"format-version":2}}`, uri)
		}, lake.CodeRowsInvalid, []string{uri}},
		"metadata elsewhere": {func(f *fakeCatalog, _ *Catalog) {
			f.tables[path] = strings.ReplaceAll(f.tables[path], `"metadata-location":"file://`, `"metadata-location":"s3://b`)
		}, lake.CodeUnsupported, []string{"attach_roots"}},
		"no token file":    {func(_ *fakeCatalog, c *Catalog) { c.TokenFile += ".gone" }, lake.CodeUnavailable, []string{"token file", ".gone"}},
		"an empty token":   {func(_ *fakeCatalog, c *Catalog) { c.TokenFile = tokenFile(t, " \n") }, lake.CodeUnavailable, []string{"no token"}},
		"a token of lines": {func(_ *fakeCatalog, c *Catalog) { c.TokenFile = tokenFile(t, "a\r\nX-Other: b") }, lake.CodeUnavailable, []string{"no token"}},
		"nobody there":     {func(_ *fakeCatalog, c *Catalog) { c.URI = "http://127.0.0.1:1" }, lake.CodeUnavailable, []string{"127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCatalog(t)
			f.tables[path] = o.loaded(uri)
			at := Catalog{URI: f.URL + "/api", TokenFile: tokenFile(t, "secret")}
			c.make(f, &at)
			_, err := catalogOf(t, o.root(), at).Load(t.Context(), Source{Catalog: "prod", Table: "sales.orders"})
			wantRefused(t, err, c.code, append(c.words, "catalog")...)
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the token is told: %v", err)
			}
		})
	}
}

// TestCatalogIsSlow: an answer that does not come ends with the time limit, and with the
// caller.
func TestCatalogIsSlow(t *testing.T) {
	for _, stuck := range []string{"head", "body"} {
		end := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if stuck == "body" {
				fmt.Fprint(w, `{"defaults":`)
				w.(http.Flusher).Flush()
			}
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}))
		p := catalogOf(t, t.TempDir(), Catalog{URI: s.URL})
		p.client.Timeout = 50 * time.Millisecond
		_, err := p.Load(t.Context(), Source{Catalog: "prod", Table: "a.b"})
		wantRefused(t, err, lake.CodeUnavailable, "prod", "in time")
		close(end)
		s.Close()
	}
}

// TestCatalogIsLarge: an answer is not read without an end.
func TestCatalogIsLarge(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := bytes.Repeat([]byte(" "), 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	_, err := catalogOf(t, t.TempDir(), Catalog{URI: s.URL}).Load(t.Context(), Source{Catalog: "prod", Table: "a.b"})
	wantRefused(t, err, lake.CodeTooLarge, "prod")
}

// TestNoCatalogs: what is configured and makes no sense.
func TestNoCatalogs(t *testing.T) {
	for _, all := range [][]Catalog{
		{{URI: "http://h"}}, {{Name: "a/b", URI: "http://h"}}, {{Name: "a"}}, {{Name: "a", URI: "h:80"}}, {{Name: "a", URI: "ftp://h"}}, {{Name: "a", URI: "http://h?x=y"}}, {{Name: "a", URI: "http://user:secret@h"}},
		{{Name: "a", URI: "http://h"}, {Name: "a", URI: "http://i"}},
	} {
		_, err := Open(nil, all, nil)
		wantRefused(t, err, lake.CodeInvalidRequest, "catalog")
	}
}

package icebergrest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/access"
	"tarn/internal/engine"
)

// TestReading: what there is is listed and loaded as Iceberg's OpenAPI says, what there is
// not is refused in its shape.
func TestReading(t *testing.T) {
	l := newLab(t, "")
	l.create("orders", []string{"id"}, "id BIGINT", "v VARCHAR")
	l.create("log", nil, "n BIGINT")
	l.create("shop.items", []string{"sku"}, "sku VARCHAR")
	l.change("orders", engine.OpUpsert, `{"id":1,"v":"a"}`)

	endpoints := fmt.Sprint(l.expect("GET", "/config?warehouse=any", "", "", 200, "").body["endpoints"])
	for _, want := range []string{"GET /v1/{prefix}/namespaces/{namespace}/tables/{table} ", "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics", "HEAD /v1/{prefix}/namespaces/{namespace} "} {
		if !strings.Contains(endpoints, want) {
			t.Errorf("the endpoints lack %q: %s", want, endpoints)
		}
	}
	if strings.Contains(endpoints, "views") {
		t.Errorf("the endpoints promise too much: %s", endpoints)
	}
	list := func(path string) string { return fmt.Sprint(l.expect("GET", path, "", "", 200, "").body) }
	for path, want := range map[string]string{
		"/namespaces":                                              "map[namespaces:[[main] [shop]] next-page-token:<nil>]",
		"/namespaces?pageToken=":                                   "map[namespaces:[[main] [shop]] next-page-token:<nil>]",
		"/namespaces?parent=shop":                                  "map[namespaces:[] next-page-token:<nil>]",
		"/namespaces/SHOP":                                         "map[namespace:[shop] properties:map[]]",
		"/namespaces/shop/tables":                                  "map[identifiers:[map[name:items namespace:[shop]]] next-page-token:<nil>]",
		"/namespaces/main/tables?pageToken=":                       "map[identifiers:[map[name:log namespace:[main]] map[name:orders namespace:[main]]] next-page-token:<nil>]",
		"/namespaces/main/views":                                   "map[identifiers:[] next-page-token:<nil>]",
		"/namespaces/main/tables?pageSize=1":                       "map[identifiers:[map[name:log namespace:[main]]] next-page-token:bWFpbi5sb2c]",
		"/namespaces/main/tables?pageToken=bWFpbi5sb2c&pageSize=1": "map[identifiers:[map[name:orders namespace:[main]]] next-page-token:<nil>]",
	} {
		if got := list(path); got != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, want)
		}
	}
	nested := url.PathEscape("shop\x1fitems")
	for _, c := range []struct {
		method, path string
		status       int
		kind         string
	}{
		{"GET", "/namespaces/" + nested, 404, "NoSuchNamespaceException"},
		{"GET", "/namespaces/nobody", 404, "NoSuchNamespaceException"},
		{"GET", "/namespaces?parent=nobody", 404, "NoSuchNamespaceException"},
		{"GET", "/namespaces?parent=" + url.QueryEscape("shop\x1fitems"), 404, "NoSuchNamespaceException"},
		{"GET", "/namespaces/nobody/tables", 404, "NoSuchNamespaceException"},
		{"GET", "/namespaces/" + nested + "/tables/snapshots", 404, "NoSuchTableException"},
		{"GET", "/namespaces/main/tables/none", 404, "NoSuchTableException"},
		{"GET", "/namespaces/main/tables/no.name", 404, "NoSuchTableException"},
		{"GET", "/namespaces/main/tables/orders?snapshots=some", 400, "BadRequestException"},
		{"GET", "/namespaces/main/views/v", 404, "NoSuchViewException"},
		{"POST", "/namespaces/main/views", 406, "UnsupportedOperationException"},
		{"POST", "/namespaces/main/register", 400, "BadRequestException"},
		{"GET", "/namespaces/main/tables?pageSize=0", 400, "BadRequestException"},
		{"GET", "/nothing", 404, "NotFoundException"},
		{"PUT", "/namespaces", 405, "UnsupportedOperationException"},
		{"POST", "/namespaces/main/tables/none/metrics", 404, "NoSuchTableException"},
	} {
		l.expect(c.method, c.path, "", "", c.status, c.kind)
	}
	if a := l.expect("POST", "/namespaces/main/register", "", `{"name":"t","metadata-location":"file:///srv/wh/t/metadata/v1.metadata.json"}`, 406, "UnsupportedOperationException"); !strings.Contains(fmt.Sprint(a.body), "attach_roots") {
		t.Errorf("register is refused by %v", a.body)
	}
	for path, status := range map[string]int{
		"/namespaces/main": 204, "/namespaces/none": 404, "/namespaces/" + nested: 404, "/namespaces/main/tables/orders": 204,
		"/namespaces/main/tables/ORDERS": 204, "/namespaces/main/tables/none": 404, "/namespaces/" + nested + "/tables/snapshots": 404,
	} {
		l.expect("HEAD", path, "", "", status, "")
	}
	l.expect("POST", "/namespaces/main/tables/orders/metrics", "", `{"report-type":"scan-report"}`, 204, "")
	l.expect("POST", "/namespaces", "", `{"namespace":["shop"]}`, 409, "AlreadyExistsException")
	l.expect("POST", "/namespaces", "", `{"namespace":["fresh"]}`, 406, "UnsupportedOperationException")
	l.expect("DELETE", "/namespaces/shop", "", "", 409, "NamespaceNotEmptyException")
	l.expect("DELETE", "/namespaces/main", "", "", 406, "UnsupportedOperationException")

	a := l.expect("GET", "/namespaces/main/tables/orders?snapshots=all", "", "", 200, "")
	meta := a.body["metadata"].(map[string]any)
	location, _ := a.body["metadata-location"].(string)
	if !strings.HasPrefix(location, "file://"+l.dir+"/base/main/orders-") || meta["location"] != location[:strings.Index(location, "/metadata/")] {
		t.Errorf("metadata at %s, table at %v", location, meta["location"])
	}
	if properties := meta["properties"].(map[string]any); properties["commit.retry.num-retries"] != nil {
		t.Errorf("clients are kept from trying again: %v", properties)
	}
}

// loaded is what a load says of how far the table goes.
func (l *lab) loaded(dataset string) (folded, sequence string, rows any) {
	l.t.Helper()
	a := l.expect("GET", "/namespaces/main/tables/"+dataset, "", "", 200, "")
	config := a.body["config"].(map[string]any)
	folded, sequence = a.header.Get("Tarn-Folded-Through"), a.header.Get("Tarn-Sequence")
	if config["tarn.folded-through"] != folded || config["tarn.sequence"] != sequence {
		l.t.Fatalf("config %v and headers %s, %s", config, folded, sequence)
	}
	meta := a.body["metadata"].(map[string]any)
	snapshots, _ := meta["snapshots"].([]any)
	for _, s := range snapshots {
		if one := s.(map[string]any); one["snapshot-id"] == meta["current-snapshot-id"] {
			rows = one["summary"].(map[string]any)["total-records"]
		}
	}
	return folded, sequence, rows
}

// TestFoldOnLoad: a load has what was acknowledged before it, within its bounds, and says
// how far it goes.
func TestFoldOnLoad(t *testing.T) {
	fill := func(l *lab) {
		l.create("d", []string{"id"}, "id BIGINT", "v VARCHAR")
		l.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
		l.change("d", engine.OpDelete, `{"id":2}`)
		l.change("d", engine.OpUpsert, `{"id":3,"v":"c"}`)
	}
	expect := func(t *testing.T, l *lab, folded, sequence string, rows any) {
		t.Helper()
		if f, s, r := l.loaded("d"); f != folded || s != sequence || r != rows {
			t.Fatalf("folded %s at %s with %v rows, want %s at %s with %v", f, s, r, folded, sequence, rows)
		}
	}
	t.Run("bounded", func(t *testing.T) {
		l := newLab(t, "")
		fill(l)
		expect(t, l, "3", "3", "2")
		expect(t, l, "3", "3", "2") // nothing is pending: nothing to do
		l.change("d", engine.OpUpsert, `{"id":4,"v":"d"}`)
		expect(t, l, "4", "4", "3")
		l.whole()
	})
	t.Run("asked for credentials", func(t *testing.T) { // which DuckDB takes any config for
		l := newLab(t, "")
		fill(l)
		r, err := http.NewRequest("GET", l.uri+"/v1/namespaces/main/tables/d", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Iceberg-Access-Delegation", "vended-credentials")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || strings.Contains(string(body), `"config"`) || res.Header.Get("Tarn-Folded-Through") != "3" {
			t.Errorf("%v: %s", res.Header, body)
		}
	})
	t.Run("too much", func(t *testing.T) {
		l := newLab(t, "", func(s *engine.Settings) { s.IcebergFoldBytes = 1 })
		fill(l)
		expect(t, l, "0", "3", nil)
		l.compact("d")
		expect(t, l, "3", "3", "2")
	})
	t.Run("no time", func(t *testing.T) {
		l := newLab(t, "", func(s *engine.Settings) { s.IcebergFoldWait = time.Nanosecond })
		fill(l)
		expect(t, l, "0", "3", nil)
	})
	t.Run("off", func(t *testing.T) {
		l := newLab(t, "", func(s *engine.Settings) { s.IcebergFold = engine.FoldOff })
		fill(l)
		expect(t, l, "0", "3", nil)
		l.want("select id from d order by id", "[1]", "[3]")
	})
	t.Run("always", func(t *testing.T) {
		l := newLab(t, "", func(s *engine.Settings) { s.IcebergFold, s.IcebergFoldBytes = engine.FoldAlways, 1 })
		fill(l)
		expect(t, l, "3", "3", "2")
	})
	t.Run("a setting that is none", func(t *testing.T) {
		_, err := engine.Open(t.Context(), engine.Options{Data: t.TempDir(), Settings: engine.Settings{IcebergFold: "sometimes"}, Log: quiet()})
		if err == nil || !strings.Contains(err.Error(), "iceberg_fold") {
			t.Fatal(err)
		}
	})
	t.Run("refs", func(t *testing.T) {
		l := newLab(t, "")
		fill(l)
		l.loaded("d")
		l.change("d", engine.OpUpsert, `{"id":4,"v":"d"}`)
		l.loaded("d")
		count := func(which string) int {
			a := l.expect("GET", "/namespaces/main/tables/d?snapshots="+which, "", "", 200, "")
			return len(a.body["metadata"].(map[string]any)["snapshots"].([]any))
		}
		if all, refs := count("all"), count("refs"); all < 2 || refs != 1 {
			t.Errorf("%d snapshots, %d with a ref", all, refs)
		}
	})
}

// TestAccess: tokens are tarn's, by hand or by OAuth2, and what a token may not read is
// not there.
func TestAccess(t *testing.T) {
	all, shop, writer, ended := access.NewToken(), access.NewToken(), access.NewToken(), access.NewToken()
	entry := func(id, token, more string) string {
		return fmt.Sprintf("- id: %s\n  sha256: %x\n  %s\n", id, access.HashOf(token), more)
	}
	l := newLab(t, "tokens:\n"+entry("all", all, "role: admin")+entry("shop", shop, "grants: {shop.*: read}")+
		entry("writer", writer, "grants: {shop.*: write}\n  expires: "+time.Now().Add(time.Hour).UTC().Format(time.RFC3339))+
		entry("ended", ended, "role: admin\n  expires: 2020-01-01T00:00:00Z"))
	l.create("orders", []string{"id"}, "id BIGINT")
	l.create("shop.items", []string{"id"}, "id BIGINT")

	l.expect("GET", "/config", "", "", 401, "NotAuthorizedException")
	l.expect("GET", "/config", ended, "", 401, "NotAuthorizedException")
	l.expect("GET", "/namespaces/main/tables/orders", "tarn_wrong", "", 401, "NotAuthorizedException")
	if got := fmt.Sprint(l.expect("GET", "/namespaces", shop, "", 200, "").body["namespaces"]); got != "[[main] [shop]]" {
		t.Error(got)
	}
	if got := fmt.Sprint(l.expect("GET", "/namespaces/main/tables", shop, "", 200, "").body["identifiers"]); got != "[]" {
		t.Error(got)
	}
	hidden := l.expect("GET", "/namespaces/main/tables/orders", shop, "", 404, "NoSuchTableException")
	never := l.expect("GET", "/namespaces/main/tables/others", shop, "", 404, "NoSuchTableException")
	if a, b := fmt.Sprint(hidden.body), fmt.Sprint(never.body); strings.ReplaceAll(a, "orders", "others") != b {
		t.Errorf("a hidden dataset answers otherwise than one that never was:\n%s\n%s", a, b)
	}
	l.expect("HEAD", "/namespaces/main/tables/orders", shop, "", 404, "")
	l.expect("GET", "/namespaces/shop/tables/items", shop, "", 200, "")
	schema := `{"name":"more","schema":{"type":"struct","fields":[{"id":1,"name":"id","required":true,"type":"long"}],"identifier-field-ids":[1]}}`
	l.expect("POST", "/namespaces/shop/tables", shop, schema, 403, "ForbiddenException")
	l.expect("POST", "/namespaces/shop/tables/items", shop, `{"requirements":[],"updates":[]}`, 403, "ForbiddenException")
	l.expect("POST", "/namespaces/main/tables", writer, schema, 403, "ForbiddenException")
	l.expect("POST", "/namespaces/main/tables/orders", writer, `{"requirements":[],"updates":[]}`, 404, "NoSuchTableException")
	l.expect("POST", "/namespaces/main/tables/mine", writer, `{"requirements":[{"type":"assert-create"}],"updates":[]}`, 403, "ForbiddenException")
	l.expect("POST", "/namespaces/shop/tables", writer, schema, 200, "")
	l.expect("DELETE", "/namespaces/shop/tables/more?purgeRequested=true", shop, "", 403, "ForbiddenException")
	l.expect("DELETE", "/namespaces/shop/tables/more?purgeRequested=true", writer, "", 204, "")

	form := func(grant, name, value string) string {
		return url.Values{"grant_type": {grant}, "client_id": {"anybody"}, name: {value}, "scope": {"catalog"}}.Encode()
	}
	sorted := func(s string) string { // grant_type first, as lab.call tells a form by it
		parts := strings.Split(s, "&")
		slices.SortFunc(parts, func(a, b string) int {
			return strings.Compare(fmt.Sprint(!strings.HasPrefix(a, "grant_type"), a), fmt.Sprint(!strings.HasPrefix(b, "grant_type"), b))
		})
		return strings.Join(parts, "&")
	}
	got := l.expect("POST", "/oauth/tokens", "", sorted(form("client_credentials", "client_secret", writer)), 200, "")
	if got.body["access_token"] != writer || got.body["token_type"] != "bearer" || got.body["expires_in"].(float64) > 3600 || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", got.body)
	}
	l.expect("GET", "/namespaces/shop/tables", got.body["access_token"].(string), "", 200, "")
	l.expect("POST", "/oauth/tokens", "", sorted(form("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", shop)), 200, "")
	for _, bad := range []string{form("client_credentials", "client_secret", "tarn_wrong"), form("client_credentials", "client_secret", ended), form("client_credentials", "nothing", "x")} {
		a := l.expect("POST", "/oauth/tokens", "", sorted(bad), 401, "")
		if a.body["error"] != "invalid_client" || strings.Contains(fmt.Sprint(a.body), "tarn_wrong") {
			t.Errorf("%v", a.body)
		}
	}
	if a := l.expect("POST", "/oauth/tokens", "", sorted(form("password", "password", all)), 400, ""); a.body["error"] != "invalid_request" {
		t.Errorf("%v", a.body)
	}
	open := newLab(t, "")
	open.expect("POST", "/oauth/tokens", "", sorted(form("client_credentials", "client_secret", all)), http.StatusBadRequest, "")
}

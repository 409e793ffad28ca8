package httpapi_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/access"
	"tarn/internal/audit"
	"tarn/internal/client"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

func TestAttachByClient(t *testing.T) {
	d := newDoor()
	c := serve(t, d)
	name := lake.Name{Namespace: "ns", Dataset: "trips"}
	looks := 0
	r, err := c.Attach(t.Context(), name, client.AttachOptions{Location: "/srv/wh/trips", PrimaryKey: []string{"a", "b,c"}, Progress: func(client.Job) { looks++ }})
	if err != nil || r.Dataset != "ns.trips" || r.Rows != 300 || r.FilesLinked != 4 || r.Attached.Snapshot != "77" || looks == 0 {
		t.Errorf("%+v, %v, looked %d times", r, err, looks)
	}
	r, err = c.Attach(t.Context(), name, client.AttachOptions{Catalog: "prod", Table: "sales.trips"})
	if err != nil || r.Attached.Source != "catalog:prod/sales.trips" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = c.Sync(t.Context(), ts(), nil); err != nil || !r.Changed || r.RowsOnTop != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	about, err := c.Detach(t.Context(), ts())
	if err != nil || about.Rows != 3 || about.ETag == "" {
		t.Errorf("%+v, %v", about, err)
	}
	if got := strings.Join(d.heard(), "; "); got != `attach ns.trips source=/srv/wh/trips key=["a" "b,c"]; `+
		`attach ns.trips source=catalog:prod/sales.trips key=[]; sync ts; detach ts` {
		t.Error(got)
	}
	for code, call := range map[lake.Code]func() error{
		lake.CodeInvalidRequest: func() error { _, err := c.Attach(t.Context(), name, client.AttachOptions{}); return err },
		lake.CodeKeyConflict: func() error {
			_, err := c.Attach(t.Context(), name, client.AttachOptions{Location: "/late:key_conflict"})
			return err
		},
		lake.CodeDatasetNotFound: func() error { _, err := c.Sync(t.Context(), name, nil); return err },
	} {
		if err := call(); lake.CodeOf(err) != code {
			t.Errorf("%s: %v", code, err)
		}
	}
	if _, err := c.Detach(t.Context(), name); lake.CodeOf(err) != lake.CodeDatasetNotFound {
		t.Error(err)
	}
}

// Who may attach, sync and detach; what nobody may does not reach the lake, and is in the
// audit log as what may is.
func TestRolesOfAttach(t *testing.T) {
	d := newDoor()
	trail := &lockedBuffer{}
	g := &guarded{t: t, tokens: map[string]string{}, file: filepath.Join(t.TempDir(), "tokens.yaml"), audit: trail}
	for _, e := range []*access.Entry{
		{ID: "boss", Role: "admin"}, {ID: "all-writer", Role: "write"}, {ID: "all-reader", Role: "read"},
		{ID: "writer", Grants: map[string]string{"ts": "write", "new": "write"}}, {ID: "reader", Grants: map[string]string{"ts": "read"}}, {ID: "other", Grants: map[string]string{"orders": "write"}},
	} {
		g.add(e)
	}
	var err error
	if g.keeper, err = access.Open(g.file, nil); err != nil {
		t.Fatal(err)
	}
	hc, end := client.InMemory(httpapi.New(d, httpapi.Options{Access: g.keeper, Audit: audit.To(trail, nil, func() {})}))
	t.Cleanup(end)
	g.hc = hc
	const ok, denied, no, none = lake.Code(""), lake.CodeAccessDenied, lake.CodeDatasetNotFound, lake.CodeUnauthorized
	whos := []string{"boss", "all-writer", "all-reader", "writer", "reader", "other", ""}
	for _, c := range []struct {
		line, body string
		want       []lake.Code // by whos
	}{
		{"POST /datasets/new/attach", `{"location":"/srv/wh/t"}`, []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"POST /datasets/new/attach?wait=false", `{"catalog":"prod","table":"a.b"}`, []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"POST /datasets/ts/sync", ``, []lake.Code{ok, ok, denied, ok, denied, no, none}},
		{"POST /datasets/ts/detach", ``, []lake.Code{ok, ok, denied, ok, denied, no, none}},
	} {
		for i, who := range whos {
			r := g.call(who, c.line, c.body)
			if r.code(t) != c.want[i] {
				t.Errorf("%s of %q: %s, want %q", c.line, who, r, c.want[i])
			}
			if reached := len(d.heard()) > 0; reached != (c.want[i] == ok) {
				t.Errorf("%s of %q reached the lake: %v", c.line, who, reached)
			}
		}
	}
	lines := g.auditLines()
	for _, want := range []string{
		`"principal":"boss","method":"POST","route":"/datasets/{name}/attach","dataset":"new","outcome":"ok","status":200`,
		`"principal":"boss","method":"POST","route":"/datasets/{name}/attach","dataset":"new","outcome":"ok","status":202`,
		`"principal":"writer","method":"POST","route":"/datasets/{name}/attach","dataset":"new","outcome":"access_denied","status":403`,
		`"principal":"writer","method":"POST","route":"/datasets/{name}/sync","dataset":"ts","outcome":"ok","status":200`,
		`"principal":"writer","method":"POST","route":"/datasets/{name}/detach","dataset":"ts","outcome":"ok","status":200`,
		`"principal":"other","method":"POST","route":"/datasets/{name}/detach","dataset":"ts","outcome":"dataset_not_found","status":404`,
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("the audit log has no %s", want)
		}
	}
	if r := g.call("boss", "POST /datasets/new/attach", `{"location":"/srv/wh/t"}`, "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"); r.status != http.StatusForbidden || len(d.heard()) > 0 {
		t.Errorf("for a page of another origin: %s", r)
	}
}

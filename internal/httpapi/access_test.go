package httpapi_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"

	"tarn/internal/access"
	"tarn/internal/audit"
	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

func (r reply) code(t *testing.T) lake.Code {
	t.Helper()
	var p struct{ Code lake.Code }
	if r.status/100 == 2 {
		return ""
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	return p.Code
}

// Who may do what: a line a call, with the code that each principal gets.
func TestRoles(t *testing.T) {
	g := openGuarded(t)
	const ok, denied, none, no = lake.Code(""), lake.CodeAccessDenied, lake.CodeUnauthorized, lake.CodeDatasetNotFound
	whos := []string{"boss", "all-writer", "all-reader", "reader", "writer", "scraper", ""}
	create := `{"columns":[{"name":"id","type":"BIGINT"}],"primary_key":["id"]}`
	for _, c := range []struct {
		line, body string
		want       []lake.Code // by whos
	}{
		{"GET /datasets", "", []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"GET /datasets/orders", "", []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"GET /datasets/hqzxkvwj", "", []lake.Code{ok, ok, ok, no, no, denied, none}},
		{"GET /datasets/orders/rows/1", "", []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"POST /datasets/orders/get", `[{"id":1}]`, []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"POST /query/sql", `{"sql":"FROM orders"}`, []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"POST /query/sql", `{"sql":"FROM hqzxkvwj"}`, []lake.Code{ok, ok, ok, no, no, denied, none}},
		{"POST /query/sql", `{"sql":"UPDATE orders SET n = 1 WHERE id = 1"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/sql", `{"sql":"EXPLAIN UPDATE orders SET n = 1 WHERE id = 1"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/sql", `{"sql":"DELETE FROM clients WHERE id = 99"}`, []lake.Code{ok, ok, denied, denied, denied, denied, none}},
		{"POST /query/sql", `{"sql":"DELETE FROM hqzxkvwj WHERE id = 99"}`, []lake.Code{ok, ok, denied, denied, no, denied, none}},
		{"POST /query/sql", `{"sql":"INSERT OR IGNORE INTO orders SELECT * FROM clients"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/sql", `{"sql":"INSERT OR IGNORE INTO orders SELECT * FROM hqzxkvwj"}`, []lake.Code{ok, ok, denied, denied, no, denied, none}},
		{"POST /query/sql", `{"sql":"BEGIN; UPDATE orders SET n = 1 WHERE id = 1; INSERT OR IGNORE INTO orders SELECT * FROM clients; COMMIT"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/sql", `{"sql":"BEGIN; UPDATE orders SET n = 1 WHERE id = 1; DELETE FROM clients WHERE id = 99; COMMIT"}`, []lake.Code{ok, ok, denied, denied, denied, denied, none}},
		{"POST /query/sql", `{"sql":"BEGIN; UPDATE orders SET n = 1 WHERE id = 1; DELETE FROM hqzxkvwj WHERE id = 99; ROLLBACK"}`, []lake.Code{ok, ok, denied, denied, no, denied, none}},
		{"POST /query/sql", `{"sql":"BEGIN; INSERT OR IGNORE INTO orders SELECT * FROM hqzxkvwj; COMMIT"}`, []lake.Code{ok, ok, denied, denied, no, denied, none}},
		{"POST /datasets/orders/rows", `[{"id":9,"note":"x","n":1}]`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /datasets/clients/rows", `[{"id":9,"note":"x","n":1}]`, []lake.Code{ok, ok, denied, denied, denied, denied, none}},
		{"POST /datasets/hqzxkvwj/rows", `[]`, []lake.Code{ok, ok, denied, denied, no, denied, none}},
		{"POST /datasets/orders/delete", `[{"id":9}]`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"PUT /datasets/sales.new", create, []lake.Code{ok, lake.CodeDatasetExists, denied, denied, lake.CodeDatasetExists, denied, none}},
		{"PUT /datasets/other.new", create, []lake.Code{ok, lake.CodeDatasetExists, denied, denied, denied, denied, none}},
		{"POST /datasets/sales.new/rename", `{"to":"elsewhere.new"}`, []lake.Code{ok, no, denied, denied, denied, denied, none}},
		{"POST /datasets/sales.items/rename", `{"to":"elsewhere.new"}`, []lake.Code{lake.CodeDatasetExists, lake.CodeDatasetExists, denied, denied, denied, denied, none}},
		{"POST /datasets/orders/schema", `{"operations":[{"op":"drop_column","name":"none","if_exists":true}]}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /datasets/clients/schema", `{"operations":[{"op":"add_column","name":"id","type":"DATE"}]}`, []lake.Code{lake.CodeInvalidRequest, lake.CodeInvalidRequest, denied, denied, denied, denied, none}},
		{"POST /datasets/hqzxkvwj/schema", `{"operations":[{"op":"add_column","name":"id","type":"DATE"}]}`, []lake.Code{lake.CodeInvalidRequest, lake.CodeInvalidRequest, denied, denied, no, denied, none}},
		{"POST /query/sql", `{"sql":"ALTER TABLE orders DROP COLUMN IF EXISTS none"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/sql", `{"sql":"ALTER TABLE clients DROP COLUMN IF EXISTS none"}`, []lake.Code{ok, ok, denied, denied, denied, denied, none}},
		{"POST /query/sql", `{"sql":"ALTER TABLE IF EXISTS hqzxkvwj DROP COLUMN IF EXISTS none"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/sql", `{"sql":"ALTER TABLE orders RENAME TO clients"}`, []lake.Code{lake.CodeDatasetExists, lake.CodeDatasetExists, denied, denied, denied, denied, none}},
		{"DELETE /datasets/elsewhere.new", "", []lake.Code{ok, no, denied, denied, no, denied, none}},
		{"POST /datasets/sales.new/attach", `{}`, []lake.Code{lake.CodeInvalidRequest, denied, denied, denied, denied, denied, none}},
		{"POST /query/compact", `{"dataset":"orders"}`, []lake.Code{ok, ok, denied, denied, ok, denied, none}},
		{"POST /query/compact", "", []lake.Code{ok, ok, denied, denied, denied, denied, none}},
		{"POST /query/cache/pin", `{"dataset":"orders"}`, []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"POST /query/cache/unpin", `{"dataset":"orders"}`, []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"POST /query/cache/evict", `{"all":true}`, []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"GET /query/cache/stats", "", []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"GET /jobs", "", []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"GET /queries", "", []lake.Code{ok, ok, ok, ok, ok, denied, none}},
		{"DELETE /queries/none", "", []lake.Code{lake.CodeQueryNotFound, lake.CodeQueryNotFound, lake.CodeQueryNotFound, lake.CodeQueryNotFound, lake.CodeQueryNotFound, denied, none}},
		{"DELETE /jobs/none", "", []lake.Code{lake.CodeJobNotFound, lake.CodeJobNotFound, denied, denied, lake.CodeJobNotFound, denied, none}},
		{"GET /metrics", "", []lake.Code{ok, denied, denied, denied, denied, ok, none}},
		{"POST /reroot", "", []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"POST /backups", `{"path":"relative"}`, []lake.Code{lake.CodeInvalidRequest, denied, denied, denied, denied, denied, none}},
		{"GET /workers", "", []lake.Code{ok, denied, denied, denied, denied, denied, none}},
		{"GET /health", "", []lake.Code{ok, ok, ok, ok, ok, ok, ok}},
		{"GET /ready", "", []lake.Code{ok, ok, ok, ok, ok, ok, ok}},
		{"GET /openapi.json", "", []lake.Code{ok, ok, ok, ok, ok, ok, ok}},
		{"GET /docs", "", []lake.Code{ok, ok, ok, ok, ok, ok, ok}},
	} {
		for i, who := range whos {
			if r := g.call(who, c.line, c.body); r.code(t) != c.want[i] {
				t.Errorf("%s of %q %s: %q, want %q", c.line, who, c.body, r.code(t), c.want[i])
			}
		}
	}
}

// Lists show what somebody may see, and nothing more.
func TestListsShowWhatIsVisible(t *testing.T) {
	g := openGuarded(t)
	g.must("boss", http.StatusOK, "POST /query/compact", "")
	g.must("writer", http.StatusOK, "POST /query/compact", `{"dataset":"orders"}`)
	for _, who := range []string{"boss", "all-reader"} {
		for _, line := range []string{"GET /datasets", "GET /query/cache/stats", "GET /jobs"} {
			if r := g.call(who, line, ""); !strings.Contains(r.body, "hqzxkvwj") || !strings.Contains(r.body, "orders") {
				t.Errorf("%s of %s shows %s", line, who, r)
			}
		}
	}
	for _, line := range []string{"GET /datasets", "GET /query/cache/stats", "GET /jobs"} {
		if r := g.call("reader", line, ""); strings.Contains(r.body, "hqzx") || !strings.Contains(r.body, "orders") {
			t.Errorf("%s shows %s", line, r)
		}
	}
	var jobs struct {
		Jobs []struct{ ID, Dataset string }
	}
	if err := json.Unmarshal([]byte(g.call("boss", "GET /jobs", "").body), &jobs); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, j := range jobs.Jobs {
		if j.Dataset == "orders" {
			g.must("reader", http.StatusOK, "GET /jobs/"+j.ID, "")
			if r := g.call("writer", "DELETE /jobs/"+j.ID, ""); r.status != http.StatusOK {
				t.Errorf("the writer's own job: %s", r)
			}
			continue
		}
		checked++
		absent := "00000000-0000-4000-8000-000000000000"
		for _, method := range []string{"GET", "DELETE"} {
			there, none := g.call("writer", method+" /jobs/"+j.ID, ""), g.call("writer", method+" /jobs/"+absent, "")
			if a, b := there.plain(j.ID), none.plain(absent); a != b {
				t.Errorf("%s of a hidden job (%q): %s\nabsent: %s", method, j.Dataset, a, b)
			}
		}
	}
	if checked < 2 { // of all datasets, and of the hidden one
		t.Errorf("%d hidden jobs", checked)
	}
}

// A token sees and ends its own queries; an administrator all.
func TestQueriesAreOnesOwn(t *testing.T) {
	g := openGuarded(t)
	ended, told := make(chan struct{}), []byte(nil)
	go func() {
		defer close(ended)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://tarn/query/sql",
			strings.NewReader(`{"sql":"SELECT a.range FROM range(1000000000) a, range(1000000) b WHERE hash(a.range + b.range) % 1000000 = 7","timeout":"60s"}`))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "text/csv")
		req.Header.Set("Authorization", "Bearer "+g.tokens["reader"])
		res, err := g.hc.Transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK { // before the first row, as is one that is cancelled then
			told, _ = io.ReadAll(res.Body)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body) // cut when it is cancelled
	}()
	var running struct{ Queries []engine.QueryInfo }
	for len(running.Queries) == 0 {
		select {
		case <-ended:
			t.Fatalf("the query ended: %s", told)
		default:
		}
		if err := json.Unmarshal([]byte(g.call("boss", "GET /queries", "").body), &running); err != nil {
			t.Fatal(err)
		}
	}
	id := running.Queries[0].ID
	if running.Queries[0].Owner != "reader" {
		t.Errorf("%+v", running)
	}
	for who, sees := range map[string]bool{"reader": true, "boss": true, "writer": false, "all-writer": false, "all-reader": false} {
		if r := g.call(who, "GET /queries", ""); strings.Contains(r.body, id) != sees {
			t.Errorf("%s sees %s", who, r)
		}
	}
	absent := "00000000-0000-4000-8000-000000000000"
	there, none := g.call("all-writer", "DELETE /queries/"+id, ""), g.call("all-writer", "DELETE /queries/"+absent, "")
	if a, b := there.plain(id), none.plain(absent); a != b {
		t.Errorf("another's query: %s\nabsent: %s", a, b)
	}
	g.must("reader", http.StatusOK, "DELETE /queries/"+id, "")
	<-ended
}

// A key of one token says nothing of another's.
func TestIdempotencyKeysAreOnesOwn(t *testing.T) {
	g := openGuarded(t)
	key := "Idempotency-Key: k-1"
	body := `[{"id":5,"note":"x","n":1}]`
	sequence := func(r reply) float64 {
		var out struct{ Sequence float64 }
		if err := json.Unmarshal([]byte(r.body), &out); err != nil {
			t.Fatal(err)
		}
		return out.Sequence
	}
	first := sequence(g.must("boss", http.StatusOK, "POST /datasets/orders/rows", body, key))
	if again := sequence(g.must("boss", http.StatusOK, "POST /datasets/orders/rows", body, key)); again != first {
		t.Errorf("a retry has sequence %v, the first %v", again, first)
	}
	if r := g.call("boss", "POST /datasets/orders/rows", "[]", key); r.code(t) != lake.CodeIdempotencyReused || !strings.Contains(r.body, `\"k-1\"`) {
		t.Errorf("another request: %s", r)
	}
	if other := sequence(g.must("second", http.StatusOK, "POST /datasets/orders/rows", body, key)); other == first {
		t.Error("the same key of another token is the same request")
	}
	if r := g.call("writer", "POST /datasets/orders/rows", "[]", key); r.status != http.StatusOK {
		t.Errorf("the same key of another token with another request: %s", r)
	}
	create := `{"columns":[{"name":"id","type":"BIGINT"}]}`
	g.must("boss", http.StatusCreated, "PUT /datasets/sales.x", create, key)
	g.must("boss", http.StatusCreated, "PUT /datasets/sales.x", create, key)
	for _, who := range []string{"second", "writer"} {
		if r := g.call(who, "PUT /datasets/sales.x", create, key); r.code(t) != lake.CodeDatasetExists {
			t.Errorf("the same key of %s: %s", who, r)
		}
	}
	if r := g.call("boss", "DELETE /datasets/sales.x", "", key); r.code(t) != lake.CodeIdempotencyReused || !strings.Contains(r.body, `\"k-1\"`) {
		t.Errorf("another request: %s", r)
	}
}

func TestWhatIsNoToken(t *testing.T) {
	g := openGuarded(t)
	for _, header := range []string{
		"Bearer", "Bearer ", "Bearer x", "Basic " + g.tokens["boss"], g.tokens["boss"], "Bearer " + g.tokens["boss"] + "x", "Bearer " + g.tokens["boss"][1:],
		"Bearer " + strings.ToUpper(g.tokens["boss"]), "Bearer " + g.tokens["boss"] + ", Bearer " + g.tokens["reader"], "Bearer " + strings.Repeat("a", 100_000),
	} {
		r := g.call("", "GET /datasets", "", "Authorization: "+header)
		if r.code(t) != lake.CodeUnauthorized || r.header.Get("WWW-Authenticate") != `Bearer realm="tarn", error="invalid_token"` {
			t.Errorf("%.60s: %s", header, r)
		}
	}
	if r := g.call("", "GET /datasets", ""); r.code(t) != lake.CodeUnauthorized || r.header.Get("WWW-Authenticate") != `Bearer realm="tarn"` {
		t.Errorf("no token: %s", r)
	}
	for _, path := range []string{"/datasets?access_token=" + g.tokens["boss"], "/datasets?token=" + g.tokens["boss"]} {
		if r := g.call("", "GET "+path, ""); r.code(t) != lake.CodeUnauthorized {
			t.Errorf("a token in the URL: %s", r)
		}
	}
	for _, scheme := range []string{"bearer ", "BEARER ", "Bearer  "} {
		if r := g.call("", "GET /datasets", "", "Authorization: "+scheme+g.tokens["boss"]); r.status != http.StatusOK {
			t.Errorf("%q: %s", scheme, r)
		}
	}
	for who, token := range g.tokens {
		if strings.Contains(g.audit.buf.String(), token) {
			t.Errorf("the token of %s stands in the audit log", who)
		}
	}
}

// A token is nowhere: in no log, answer or metric. (A token in a URL is in the log of
// requests, as every URL is; none is taken from there.)
func TestTokensAreNowhere(t *testing.T) {
	g := openGuarded(t)
	var all strings.Builder
	for who := range g.tokens {
		for _, line := range []string{"GET /datasets", "GET /nothing", "POST /query/sql", "PUT /datasets/a-b", "GET /metrics", "GET /jobs/1", "BREW /jobs"} {
			all.WriteString(g.call(who, line, "{").String())
		}
	}
	all.WriteString(g.log.String())
	all.WriteString(strings.Join(g.auditLines(), "\n"))
	for who, token := range g.tokens {
		if strings.Contains(all.String(), token) || strings.Contains(all.String(), token[5:25]) {
			t.Errorf("the token of %s stands in an answer or a log", who)
		}
	}
}

func TestLimitsOfAToken(t *testing.T) {
	g := openGuarded(t)
	if r := g.call("few", "POST /datasets/orders/rows", `[{"id":1,"note":"`+strings.Repeat("x", 100)+`","n":1}]`); r.code(t) != lake.CodeTooLarge || !strings.Contains(r.body, "body_bytes") {
		t.Errorf("a long body: %s", r)
	}
	g.must("few", http.StatusOK, "POST /datasets/orders/rows", `[{"id":1,"note":"x","n":1}]`)
	if r := g.call("few", "POST /query/sql", `{"sql":"SELECT 1 -- `+strings.Repeat("x", 100)+`"}`); r.code(t) != lake.CodeTooLarge {
		t.Errorf("a long query: %s", r)
	}
	g.add(&access.Entry{ID: "slow", Role: "read", Limits: &access.EntryLimits{RequestsPerSecond: 0.001, Burst: 3}})
	g.add(&access.Entry{ID: "narrow", Role: "write", Limits: &access.EntryLimits{Concurrent: 1}})
	g.keeper.Look()
	for range 3 {
		g.must("slow", http.StatusOK, "GET /datasets/orders", "")
	}
	r := g.call("slow", "GET /datasets/orders", "")
	if r.code(t) != lake.CodeRateLimited || len(r.header.Get("Retry-After")) < 3 {
		t.Errorf("beyond the rate: %s", r)
	}
	g.must("slow", http.StatusOK, "GET /health", "")

	// A body that does not end is a request that runs.
	body, write := io.Pipe()
	done := make(chan int, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://tarn/datasets/orders/rows", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+g.tokens["narrow"])
	req.Header.Set("Expect", "100-continue") // which the server says when it takes the body
	taken := make(chan struct{})
	trace := &httptrace.ClientTrace{Got100Continue: func() { close(taken) }}
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), trace))
	go func() {
		res, err := g.hc.Transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			done <- 0
			return
		}
		res.Body.Close()
		done <- res.StatusCode
	}()
	select {
	case <-taken:
	case status := <-done:
		t.Fatalf("the first request: %d", status)
	}
	if r := g.call("narrow", "GET /datasets/orders", ""); r.code(t) != lake.CodeRateLimited || r.header.Get("Retry-After") != "1" {
		t.Errorf("a second request: %s", r)
	}
	_, _ = io.WriteString(write, `[{"id":1,"note":"x","n":1}]`)
	write.Close()
	if status := <-done; status != http.StatusOK {
		t.Errorf("the first request: %d", status)
	}
	g.must("narrow", http.StatusOK, "GET /datasets/orders", "")
}

// A file that is wrong leaves what held; a token that is taken out holds no more.
func TestRevoking(t *testing.T) {
	g := openGuarded(t)
	g.must("reader", http.StatusOK, "GET /datasets/orders", "")
	g.rewrite("tokens: [{id: x, sha256: no}]\n")
	if g.keeper.Look() {
		t.Error("a wrong file is good")
	}
	g.must("reader", http.StatusOK, "GET /datasets/orders", "")
	if r := g.must("boss", http.StatusOK, "GET /metrics", ""); !strings.Contains(r.body, "tarn_access_file_good 0") {
		t.Error("the metric does not tell")
	}
	g.rewrite("tokens: []\n")
	g.add(&access.Entry{ID: "boss", Role: "admin"})
	if !g.keeper.Look() {
		t.Error("the new file is wrong")
	}
	if r := g.call("reader", "GET /datasets/orders", ""); r.code(t) != lake.CodeUnauthorized {
		t.Errorf("a revoked token: %s", r)
	}
	g.must("boss", http.StatusOK, "GET /datasets/orders", "")
}

func TestRequestIDs(t *testing.T) {
	g := openGuarded(t)
	for given, taken := range map[string]bool{
		"a": true, "0190-x_y.z:/+=@": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\"b": false, "ä": false, "a,b": false, "<x>": false,
	} {
		r := g.call("boss", "GET /datasets/absent", "", "X-Request-Id: "+given)
		got := r.header.Get("X-Request-Id")
		if (got == given) != taken || got == "" || !strings.Contains(r.body, `"request_id":"`+got+`"`) {
			t.Errorf("%q: %s", given, r)
		}
		if !strings.Contains(g.log.String(), `"request_id":"`+got+`"`) {
			t.Errorf("%q is not in the log", got)
		}
	}
	if a, b := g.call("", "GET /health", "").header.Get("X-Request-Id"), g.call("", "GET /health", "").header.Get("X-Request-Id"); a == b {
		t.Error("two requests have one id")
	}
}

func TestAuditTellsOfChangesAndRefusals(t *testing.T) {
	g := openGuarded(t)
	before := len(g.auditLines())
	id := func(s string) string { return "X-Request-Id: " + s }
	secret := "not-to-be-seen"
	for _, c := range []struct {
		who, line, body, id string
		status              int
	}{
		{"writer", "POST /datasets/orders/rows", `[{"id":1,"note":"` + secret + `","n":1},{"id":2,"note":"y","n":1}]`, "a-change", 200},
		{"writer", "POST /datasets/orders/rows", `[{"id":"` + secret + `"}]`, "a-bad-change", 422},
		{"reader", "POST /datasets/orders/rows", `[]`, "a-denied", 403},
		{"reader", "GET /datasets/hqzxkvwj", "", "a-hidden", 404},
		{"reader", "POST /query/sql", `{"sql":"SELECT '` + secret + `' FROM hqzxkvwj"}`, "a-hidden-sql", 404},
		{"", "GET /datasets", "", "a-stranger", 401},
		{"boss", "DELETE /datasets/absent", "", "a-missed-drop", 404},
		{"boss", "POST /query/cache/pin", `{"dataset":"orders"}`, "a-pin", 200},
		{"writer", "POST /query/sql", `{"sql":"UPDATE orders SET note = '` + secret + `' WHERE id < 3"}`, "a-statement", 200},
		{"writer", "POST /query/sql", `{"sql":"INSERT INTO orders VALUES (1, '` + secret + `', 1)"}`, "a-bad-statement", 409},
		{"reader", "POST /query/sql", `{"sql":"DELETE FROM orders"}`, "a-denied-statement", 403},
		{"writer", "POST /query/sql", `{"sql":"EXPLAIN DELETE FROM orders"}`, "not-told", 200},
		{"reader", "GET /datasets/orders", "", "not-told", 200},
		{"boss", "GET /datasets/absent", "", "not-told", 404},
		{"reader", "POST /query/sql", `{"sql":"FROM orders"}`, "not-told", 200},
	} {
		g.must(c.who, c.status, c.line, c.body, id(c.id))
	}
	g.must("boss", http.StatusOK, "GET /health", "") // and with it all before were handled
	got := map[string]map[string]any{}
	lines := g.auditLines()[before:]
	for _, line := range lines {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got[e["request_id"].(string)] = e
		if strings.Contains(line, secret) {
			t.Errorf("a body is in %s", line)
		}
	}
	for id, want := range map[string]map[string]any{
		"a-change":           {"principal": "writer", "outcome": "ok", "status": 200.0, "rows": 2.0, "dataset": "orders", "route": "/datasets/{name}/rows", "method": "POST"},
		"a-bad-change":       {"principal": "writer", "outcome": "rows_invalid", "rows": 0.0},
		"a-denied":           {"principal": "reader", "outcome": "access_denied", "dataset": "orders"},
		"a-hidden":           {"principal": "reader", "outcome": "dataset_not_found", "dataset": "hqzxkvwj"},
		"a-hidden-sql":       {"principal": "reader", "outcome": "dataset_not_found", "route": "/query/sql"},
		"a-stranger":         {"principal": "", "outcome": "unauthorized", "status": 401.0},
		"a-missed-drop":      {"principal": "boss", "outcome": "dataset_not_found", "dataset": "absent"},
		"a-statement":        {"principal": "writer", "outcome": "ok", "status": 200.0, "rows": 2.0, "dataset": "orders", "route": "/query/sql", "method": "POST"},
		"a-bad-statement":    {"principal": "writer", "outcome": "key_conflict", "dataset": "orders", "rows": 0.0},
		"a-denied-statement": {"principal": "reader", "outcome": "access_denied", "dataset": "orders"},
		"a-pin":              {"principal": "boss", "outcome": "ok", "dataset": "orders"},
	} {
		for k, v := range want {
			if got[id][k] != v {
				t.Errorf("%s: %s is %v, want %v", id, k, got[id][k], v)
			}
		}
		for _, k := range []string{"time", "remote", "received_bytes", "sent_bytes", "elapsed_ms"} {
			if _, ok := got[id][k]; !ok {
				t.Errorf("%s has no %s", id, k)
			}
		}
	}
	if got["not-told"] != nil || len(lines) != 11 {
		t.Errorf("%d lines: %v", len(lines), got["not-told"])
	}
}

// full is a disk that can be full.
type full struct {
	is  atomic.Bool
	log lockedBuffer
}

func (f *full) Write(b []byte) (int, error) {
	if f.is.Load() {
		return 0, errors.New("no space left on device")
	}
	return f.log.Write(b)
}

// Where changes cannot be written down, none is made; reads go on.
func TestNoAuditNoChange(t *testing.T) {
	disk := &full{}
	lost := 0
	g := openGuarded(t, func(o *httpapi.Options) { o.Audit = audit.To(disk, slog.New(slog.DiscardHandler), func() { lost++ }) })
	disk.is.Store(true)
	change := `[{"id":7,"note":"x","n":1}]`
	g.must("writer", http.StatusOK, "POST /datasets/orders/rows", change) // the one under way when the disk filled
	g.must("reader", http.StatusOK, "GET /datasets/orders", "")
	for range 2 {
		if r := g.call("writer", "POST /datasets/orders/delete", `[{"id":7}]`); r.code(t) != lake.CodeUnavailable || r.header.Get("Retry-After") == "" {
			t.Errorf("a change: %s", r)
		}
	}
	g.must("reader", http.StatusOK, "GET /datasets/orders/rows/7", "")
	disk.is.Store(false)
	g.must("writer", http.StatusOK, "POST /datasets/orders/delete", `[{"id":7}]`)
	g.must("boss", http.StatusOK, "GET /health", "")
	if !strings.Contains(disk.log.String(), `"event":"resumed"`) || lost == 0 {
		t.Errorf("%d lost; %s", lost, disk.log.String())
	}
}

// Without tokens nothing is asked, whatever a client sends.
func TestWithoutTokensNobodyIsAsked(t *testing.T) {
	d := newDoor()
	hc, end := client.InMemory(httpapi.New(d, httpapi.Options{}))
	t.Cleanup(end)
	for _, header := range []string{"", "Bearer x", "Basic y"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://tarn/datasets", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		res, err := hc.Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", header, res.Status)
		}
	}
}

var _ engine.Door = (*engine.Engine)(nil)

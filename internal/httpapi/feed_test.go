package httpapi_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/access"
	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

var times = regexp.MustCompile(`"time":"2[0-9-]+T[0-9:.]+Z"`)

// TestChangeFeed: the feed of a real lake, in both formats, with its refusals.
func TestChangeFeed(t *testing.T) {
	ctx := t.Context()
	e := openLake(t)
	hc, endHTTP := client.InMemory(httpapi.New(e, httpapi.Options{}))
	defer endHTTP()
	c, end := client.NewInMemory(httpapi.New(e, httpapi.Options{}))
	defer end()
	name := lake.Name{Namespace: "main", Dataset: "people"}
	if _, err := c.Create(ctx, name, client.Definition{Columns: []client.Column{{Name: "id", Type: "BIGINT"}, {Name: "k", Type: "VARCHAR"}, {Name: "u", Type: "UUID"}, {Name: "tags", Type: "VARCHAR[]"}}, PrimaryKey: []string{"k", "id"}}, ""); err != nil {
		t.Fatal(err)
	}
	change := func(text string) {
		t.Helper()
		if _, err := c.Changes(ctx, name, client.Body{ContentType: rows.MediaNDJSON, Reader: strings.NewReader(text), Length: int64(len(text))}, client.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	change(`{"op":"upsert","row":{"id":1,"k":"a\"b","u":"0190d9a8-0000-7000-8000-000000000001","tags":["x",null]}}`)
	change(`{"op":"delete","key":{"id":1,"k":"a\"b"}}`)
	if _, err := c.Import(ctx, name, []client.File{csvFile("a.csv", "id,k,u,tags\n2,c,,\n")}, client.ImportOptions{Mode: engine.ImportReplace}); err != nil {
		t.Fatal(err)
	}

	a, err := c.Feed(ctx, name, client.FeedOptions{Format: rows.OutNDJSON})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(a)
	a.Close()
	const when = `"time":"T"`
	want := `{"op":"upsert","sequence":1,"position":1,"time":"T","row":{"id":1,"k":"a\"b","u":"0190d9a8-0000-7000-8000-000000000001","tags":["x",null]}}
{"op":"commit","sequence":1,"time":"T","changes":1}
{"op":"delete","sequence":2,"position":1,"time":"T","key":{"k":"a\"b","id":1}}
{"op":"commit","sequence":2,"time":"T","changes":1}
{"op":"content","sequence":3,"time":"T"}
{"op":"end","sequence":3,"time":"T","reason":"current"}
`
	if got := times.ReplaceAllString(string(text), when); err != nil || got != want || a.Tail().RowCount != 2 || a.TableUUID == "" {
		t.Errorf("%v, %d rows, table %q:\n%s", err, a.Tail().RowCount, a.TableUUID, got)
	}

	if a, err = c.Feed(ctx, name, client.FeedOptions{Since: 1, TableUUID: a.TableUUID, Format: rows.OutArrow}); err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(a)
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for r.Next() {
		rec := r.RecordBatch()
		for i := range int(rec.NumRows()) {
			op := rec.Column(0).(*array.String).Value(i)
			if isKey := !rec.Column(6).IsNull(i); isKey != (op == "delete") || op == "delete" && rec.Column(6).(*array.Int64).Value(i) != 1 {
				t.Errorf("%s has the key %v", op, rec.Column(6))
			}
			ops = append(ops, strings.Clone(op))
		}
	}
	if got := strings.Join(ops, " "); r.Err() != nil || got != "delete commit content end" {
		t.Errorf("%s, %v", got, r.Err())
	}
	r.Release()
	a.Close()

	for call, want := range map[string]string{
		"/changes":                                "400 invalid_request",
		"/changes?since=x":                        "400 invalid_request",
		"/changes?since=-1":                       "400 invalid_request",
		"/changes?since=0&limit=0":                "400 invalid_request",
		"/changes?since=0&follow=yes":             "400 invalid_request",
		"/changes?since=4":                        "410 changes_gone",
		"/changes?since=0&table_uuid=other":       "410 changes_gone",
		"/changes?since=9223372036854775808":      "400 invalid_request",
		"/changes?since=0&follow=true&accept=csv": "400 invalid_request",
	} {
		res, err := hc.Get("http://tarn/datasets/people" + call)
		if err != nil {
			t.Fatal(err)
		}
		var p httpapi.Problem
		err = json.NewDecoder(res.Body).Decode(&p)
		res.Body.Close()
		if got := res.Status[:4] + string(p.Code); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", call, got, err, want)
		}
	}
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://tarn/datasets/people/changes?since=0", nil)
	req.Header.Set("Accept", "text/csv")
	if res, err := hc.Do(req); err != nil || res.StatusCode != http.StatusNotAcceptable {
		t.Errorf("CSV: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	if res, err := hc.Head("http://tarn/datasets/people/changes?since=0&follow=true"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %v, %v", res, err)
	}
}

// TestFeedsAndTokens: who may not read a dataset gets no feed of it, and who may not any
// more is cut from the one that he follows.
func TestFeedsAndTokens(t *testing.T) {
	g := openGuarded(t)
	g.must("boss", http.StatusOK, "GET /datasets/orders/changes?since=0", "")
	hidden := "GET /datasets/hqzxkvwj/changes?since=0"
	if a, b := g.call("reader", hidden, ""), g.call("reader", strings.Replace(hidden, "hqzxkvwj", "absent00", 1), ""); a.status != http.StatusNotFound || b.status != a.status {
		t.Errorf("hidden: %d, absent: %d", a.status, b.status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://tarn/datasets/orders/changes?since=0&follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.add(&access.Entry{ID: "leaves", Role: "read"})
	g.keeper.Look()
	req.Header.Set("Authorization", "Bearer "+g.tokens["leaves"])
	res, err := g.hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for { // until it waits
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "heartbeat") {
			break
		}
	}
	if err := access.Remove(g.file, "leaves"); err != nil {
		t.Fatal(err)
	}
	g.keeper.Look()
	g.must("boss", http.StatusOK, "POST /datasets/orders/rows", `[{"id":99,"note":"after","n":1}]`)
	rest, err := io.ReadAll(lines)
	if err == nil || strings.Contains(string(rest), "after") {
		t.Errorf("a revoked token went on reading: %q, %v", rest, err)
	}
}

package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/engine"
)

// ok runs a program that must do what it is asked.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	out := run(t, nil, args...)
	if out.code != 0 {
		t.Fatalf("tarn %s: exit code %d: %s", strings.Join(args, " "), out.code, out.stderr)
	}
	return out.stdout
}

// refused runs a program that must fail with a code, in one line.
func refused(t *testing.T, code string, args ...string) string {
	t.Helper()
	out := run(t, nil, args...)
	if out.code != 1 || !strings.Contains(out.stderr, "("+code+")") || strings.Count(out.stderr, "\n") != 1 {
		t.Fatalf("tarn %s: exit code %d, stdout %q, stderr %q, want code %s in one line", strings.Join(args, " "), out.code, out.stdout, out.stderr, code)
	}
	return out.stderr
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// cached pins, looks, and evicts the dataset trips.
func cached(t *testing.T, where ...string) {
	t.Helper()
	cache := func(args ...string) string {
		t.Helper()
		return ok(t, append(append([]string{"cache"}, args...), where...)...)
	}
	if got := cache("pin", "trips"); !strings.Contains(got, "pinned, hot") {
		t.Errorf("pin says %q", got)
	}
	var s engine.CacheStats
	if err := json.Unmarshal([]byte(cache("stats", "-o", "json")), &s); err != nil || len(s.Datasets) != 1 || !s.Datasets[0].Pinned {
		t.Errorf("%+v, %v", s, err)
	}
	if got := cache("stats"); !strings.Contains(got, "[░") || !strings.Contains(got, "used;") || !strings.Contains(got, "trips") {
		t.Errorf("stats show %q", got)
	}
	if got := cache("unpin", "trips"); strings.Contains(got, "pinned") {
		t.Errorf("unpin says %q", got)
	}
	if got := cache("evict", "trips"); !strings.Contains(got, "cold") {
		t.Errorf("evict says %q", got)
	}
	if got := cache("evict", "--all", "--pinned"); !strings.Contains(got, "cold") {
		t.Errorf("evict --all says %q", got)
	}
	refused(t, "dataset_not_found", append([]string{"cache", "pin", "nothing"}, where...)...)
}

// backedUp backs a lake up, restores it beside, and looks at both.
func backedUp(t *testing.T, want string, where ...string) {
	t.Helper()
	to, data := filepath.Join(t.TempDir(), "backups"), filepath.Join(t.TempDir(), "restored")
	with := func(args ...string) []string { return append(args, where...) }
	if got := ok(t, with("backup", to, "--keep", "2")...); !strings.Contains(got, "backup 1 in "+to) {
		t.Errorf("backup says %q", got)
	}
	if got := ok(t, with("backup", to, "-o", "json")...); !strings.Contains(got, `"backup": 2`) && !strings.Contains(got, `"backup":2`) {
		t.Errorf("backup says %q", got)
	}
	if got := ok(t, "verify", "--data", to); !strings.Contains(got, "2 backups; the newest: ") || !strings.Contains(got, "all of it is right") {
		t.Errorf("verify says %q", got)
	}
	if got := ok(t, "restore", to, "--data", data, "--backup", "1"); !strings.Contains(got, "restored backup 1 of ") {
		t.Errorf("restore says %q", got)
	}
	refused(t, "invalid_request", "restore", to, "--data", data)
	if got := ok(t, "sql", "select trip_id, city from trips order by trip_id", "--data", data); got != want {
		t.Errorf("restored: %q, want %q", got, want)
	}
	if got := ok(t, "reroot", "--data", data); !strings.HasPrefix(got, "0 of 1 datasets") {
		t.Errorf("reroot of a restored lake says %q", got)
	}
	if got := ok(t, with("reroot")...); !strings.HasPrefix(got, "0 of 1 datasets") {
		t.Errorf("reroot says %q", got)
	}
}

// session walks through the commands on a lake, however it is reached.
func session(t *testing.T, where ...string) {
	t.Helper()
	dir := t.TempDir()
	with := func(args ...string) []string { return append(args, where...) }
	sql := func(query string, more ...string) string {
		t.Helper()
		return ok(t, with(append([]string{"sql", query}, more...)...)...)
	}
	csv := writeFile(t, dir, "trips.csv", "trip_id,city,fare\n1,Oslo,12.50\n2,Rome,7.25\n3,Oslo,3.00\n")
	if got := ok(t, with("import", "trips", csv, "--primary-key", "trip_id")...); !strings.Contains(got, "3 rows of 1 files") {
		t.Errorf("import says %q", got)
	}
	refused(t, "dataset_exists", with("import", "trips", csv, "--primary-key", "trip_id")...)
	if got := sql("select city, count(*) as n from trips group by city order by city"); got != "city,n\nOslo,2\nRome,1\n" {
		t.Errorf("csv: %q", got)
	}
	rows := writeFile(t, dir, "more.ndjson", `{"trip_id":2,"city":"Roma","fare":7.25}`+"\n"+`{"trip_id":4,"city":"Lima","fare":1}`+"\n")
	if got := ok(t, with("upsert", "trips", rows)...); !strings.Contains(got, "2 rows taken in") {
		t.Errorf("upsert says %q", got)
	}
	keys := writeFile(t, dir, "gone.csv", "trip_id\n3\n99\n")
	if got := ok(t, with("delete", "trips", keys)...); !strings.Contains(got, "2 keys deleted") {
		t.Errorf("delete says %q", got)
	}
	want := "trip_id,city\n1,Oslo\n2,Roma\n4,Lima\n"
	if got := sql("select trip_id, city from trips order by trip_id"); got != want {
		t.Errorf("after the changes: %q, want %q", got, want)
	}
	if got := sql("select city from trips where trip_id = $id", "--param", "id=4", "-o", "ndjson"); strings.TrimSpace(got) != `{"city":"Lima"}` {
		t.Errorf("ndjson with a parameter: %q", got)
	}
	cached(t, where...)
	backedUp(t, want, where...)
	var answer struct {
		Rows     [][]any `json:"rows"`
		RowCount int     `json:"row_count"`
	}
	if err := json.Unmarshal([]byte(sql("select * from trips where trip_id = ?", "--param", "1", "-o", "json")), &answer); err != nil || answer.RowCount != 1 || len(answer.Rows) != 1 {
		t.Errorf("json: %+v, %v", answer, err)
	}
	if got := sql("select trip_id from trips order by 1", "-o", "table", "--max-rows", "2"); !strings.Contains(got, "3 rows, the first 2 shown") {
		t.Errorf("table: %q", got)
	}
	if got := sql("show tables"); !strings.Contains(got, "trips") {
		t.Errorf("show tables: %q", got)
	}
	refused(t, "dataset_not_found", with("sql", "select * from nothing")...)
	refused(t, "sql_refused", with("sql", "attach 'trips'")...)
	refused(t, "sql_invalid", with("sql", "selec 1")...)

	if got := ok(t, with("compact", "trips", "--dry-run")...); !strings.Contains(got, "trips") {
		t.Errorf("dry run says %q", got)
	}
	var results []struct {
		BaseRows  int64 `json:"base_rows"`
		DeltaRows int64 `json:"delta_rows"`
		FinalRows int64 `json:"final_rows"`
	}
	if err := json.Unmarshal([]byte(ok(t, with("compact", "trips", "-o", "json")...)), &results); err != nil || len(results) != 1 ||
		results[0].BaseRows != 3 || results[0].DeltaRows != 4 || results[0].FinalRows != 3 {
		t.Errorf("compact: %+v, %v", results, err)
	}
	if got := sql("select trip_id, city from trips order by trip_id"); got != want {
		t.Errorf("after compaction: %q, want %q", got, want)
	}
	if got := sql("delete from trips where trip_id = 77 returning *", "--idempotency-key", "k2"); got != "trip_id,city,fare\n" {
		t.Errorf("RETURNING of nothing: %q", got)
	}
	for _, step := range [][]string{
		{"trips: 1 row inserted in", "insert into trips values (9, ?, 1.5)", "--param", "Lomé"},
		{"trips: 2 rows would be updated; nothing was changed", "explain update trips set fare = 0 where trip_id > 3"},
		{"trips: 2 rows updated in", "update trips set fare = fare + 1 where trip_id > 3", "--idempotency-key", "k"},
		{"trips: 2 rows updated in", "update trips set fare = fare + 1 where trip_id > 3", "--idempotency-key", "k"},
		{"trips: no row deleted in", "delete from trips where trip_id = 77"},
		{"trip_id,fare\n9,2.5\n", "update trips set fare = fare where trip_id = 9 returning trip_id, fare"},
		{"trips: 1 row merged in", "merge into trips using trips t on t.trip_id = trips.trip_id and t.trip_id = 9 when matched then update set city = 'Lomé'"},
		{`{"statement":"delete","rows":1,"sequence":`, "delete from trips where trip_id = 9 and fare = 2.5", "-o", "json"},
	} {
		if got := sql(step[1], step[2:]...); !strings.HasPrefix(got, step[0]) {
			t.Errorf("%v says %q", step, got)
		}
	}
	refused(t, "key_conflict", with("sql", "insert into trips (trip_id) values (1)")...)
	refused(t, "precondition_failed", with("sql", "delete from trips", "--if-match", `"x.1.1"`)...)
	refused(t, "sql_invalid", with("sql", "delete trips")...)
	refused(t, "sql_refused", with("sql", "truncate trips")...)
	refused(t, "sql_invalid", with("sql", "merge into trips using trips t on true when not matched then delete")...)
	refused(t, "rows_not_kept", with("sql", "delete from trips where trip_id = 77 returning *", "--idempotency-key", "k2")...)
	if got := run(t, nil, with("sql", "select 1", "--if-match", "x")...); got.code != 2 {
		t.Errorf("a query with --if-match: %d", got.code)
	}
	if got := sql("select trip_id, city from trips order by trip_id"); got != want {
		t.Errorf("after the statements: %q, want %q", got, want)
	}
	for _, step := range [][]string{
		{"trips (trip_id BIGINT NOT NULL, city VARCHAR, amount ", "alter", "trips", "--rename-column", "fare=amount", "--add-column", "note VARCHAR"},
		{"trips (trip_id BIGINT NOT NULL, city VARCHAR, amount ", "alter", "trips", "--drop-column", "note", "--add-column", `"a note" DATE`},
		{"trips: nothing was to change", "sql", "alter table trips alter city drop not null"},
		{"trips (trip_id BIGINT NOT NULL, city VARCHAR, fare ", "sql", "alter table trips rename amount to fare, drop \"a note\""},
		{`{"dataset":"trips","changed":false,`, "sql", "alter table trips add if not exists fare double", "-o", "json"},
		{"trips2 (trip_id ", "sql", "alter table trips rename to trips2"},
		{"trips (trip_id ", "sql", "alter table trips2 rename to trips"},
	} {
		if got := ok(t, with(step[1:]...)...); !strings.HasPrefix(got, step[0]) {
			t.Errorf("%v says %q", step, got)
		}
	}
	if got := sql("select trip_id, city from trips order by trip_id"); got != want {
		t.Errorf("after the schema changes: %q, want %q", got, want)
	}
	refused(t, "invalid_request", with("alter", "trips", "--drop-column", "trip_id")...)
	refused(t, "rows_invalid", with("alter", "trips", "--add-column", "x DATE NOT NULL")...)
	refused(t, "unsupported", with("sql", "alter table trips add x date default now()")...)
	for _, args := range [][]string{{"alter", "trips"}, {"alter", "trips", "--add-column", "x"}, {"alter", "trips", "--rename-column", "x"}, {"sql", "alter table trips drop fare", "--if-match", "x"}} {
		if got := run(t, nil, with(args...)...); got.code != 2 {
			t.Errorf("%v: %d", args, got.code)
		}
	}
	ok(t, with("create", "notes", "--column", "at TIMESTAMP NOT NULL", "--column", `"a b" VARCHAR[]`)...)
	ok(t, with("rename", "notes", "archive.notes")...)
	if got := ok(t, with("datasets")...); !strings.Contains(got, "archive.notes") || !strings.Contains(got, "trips") {
		t.Errorf("datasets: %q", got)
	}
	if got := ok(t, with("datasets", "archive.notes")...); !strings.Contains(got, "none") || !strings.Contains(got, "VARCHAR[]") {
		t.Errorf("describe: %q", got)
	}
	ok(t, with("drop", "archive.notes")...)
	refused(t, "dataset_not_found", with("datasets", "archive.notes")...)
}

func TestCommandsOpenALakeThemselves(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	lake := filepath.Join(t.TempDir(), "lake")
	stderr := refused(t, "not_found", "sql", "select 1", "--data", lake)
	if !strings.Contains(stderr, "--data") {
		t.Errorf("the hint is %q", stderr)
	}
	if _, err := os.Stat(lake); err == nil {
		t.Error("a question made a lake")
	}
	session(t, "--data", lake)
	if got := ok(t, "verify", "--data", lake); !strings.Contains(got, "all of it is right") {
		t.Errorf("verify: %q", got)
	}
}

// served starts a server inside this process and gives its URL and what ends it.
func served(t *testing.T, lake string, args ...string) (url string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var stdout, stderr buffer
	code := make(chan int, 1)
	go func() {
		code <- program(nil, "", &stdout, &stderr, append([]string{"serve", "--data", lake, "--listen", "127.0.0.1:0"}, args...)...).Run(ctx)
	}()
	for {
		if line, _, found := strings.Cut(stdout.String(), "\n"); found {
			words := strings.Fields(line)
			url = words[len(words)-1]
			break
		}
		select {
		case c := <-code:
			cancel()
			t.Fatalf("serve ended with %d: %s", c, stderr.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if c := <-code; c != 0 {
			t.Errorf("serve ended with %d: %s", c, stderr.String())
		}
	}
	t.Cleanup(end)
	return url, end
}

func TestCommandsTalkToAServer(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	lake := filepath.Join(t.TempDir(), "lake")
	url, end := served(t, lake)
	session(t, "--server", url)
	end()
	refused(t, "unavailable", "sql", "select 1", "--server", url)
	if got := ok(t, "sql", "select count(*) as n from trips", "--data", lake); got != "n\n3\n" {
		t.Errorf("opened after the server: %q", got)
	}
}

func TestCommandsFindTheServerByTheLock(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	lake := filepath.Join(t.TempDir(), "lake")
	url, end := served(t, lake)
	defer end()
	session(t, "--data", lake)

	stderr := refused(t, "lake_locked", "serve", "--data", lake, "--listen", "127.0.0.1:0")
	if !strings.Contains(stderr, url) || !strings.Contains(stderr, fmt.Sprint(os.Getpid())) {
		t.Errorf("a second server is told %q, want pid %d and %s", stderr, os.Getpid(), url)
	}
	refused(t, "lake_locked", "verify", "--data", lake)
	for _, path := range []string{"/health", "/ready", "/metrics", "/openapi.json", "/docs"} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, res.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A port that is taken is said before the lake is touched.
func TestServeSaysThatAPortIsTaken(t *testing.T) {
	dir := t.TempDir()
	url, end := served(t, filepath.Join(dir, "one"))
	defer end()
	stderr := refused(t, "unavailable", "serve", "--data", filepath.Join(dir, "two"), "--listen", strings.TrimPrefix(url, "http://"))
	if !strings.Contains(stderr, "--listen") {
		t.Errorf("the hint is missing: %q", stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "two")); err == nil {
		t.Error("a lake was made")
	}
}

func TestStandardInput(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	ok(t, "create", "t", "--column", "id BIGINT", "--column", "v VARCHAR", "--primary-key", "id", "--data", lake)
	out := runWith(t.Context(), nil, `{"id":1}`, "upsert", "t", "-", "--data", lake)
	if out.code != 1 || !strings.Contains(out.stderr, "(rows_invalid)") {
		t.Errorf("a missing column: %+v", out)
	}
	if out := runWith(t.Context(), nil, `{"id":1}`, "upsert", "t", "-", "--missing-null", "--data", lake); out.code != 0 {
		t.Errorf("--missing-null: %+v", out)
	}
	if out := runWith(t.Context(), nil, "id,v\n2,x\n", "upsert", "t", "-", "--format", "csv", "--data", lake); out.code != 0 {
		t.Errorf("csv: %+v", out)
	}
	if out := runWith(t.Context(), nil, "select id, v from t order by id", "sql", "-", "--data", lake); out.stdout != "id,v\n1,\n2,x\n" {
		t.Errorf("sql of standard input: %+v", out)
	}
}

func TestACancelledCommandSaysSo(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	ok(t, "create", "t", "--column", "id BIGINT", "--data", lake)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := runWith(ctx, nil, "", "sql", "select 1", "--data", lake); out.code != 1 || strings.Count(out.stderr, "\n") != 1 {
		t.Errorf("%+v", out)
	}
	if got := ok(t, "sql", "select count(*) as n from t", "--data", lake); got != "n\n0\n" {
		t.Errorf("afterwards: %q", got)
	}
}

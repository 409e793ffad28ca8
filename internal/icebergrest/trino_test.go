package icebergrest_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/trinodb/trino-go-client/trino" // the driver

	"tarn/internal/engine"
	"tarn/internal/handover"
)

// TestTrino: queries handed over to a Trino that reads the lake by its catalog have tarn's
// own answers; and Trino itself reads and writes by the catalog.
func TestTrino(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a minute")
	}
	home := trinoHome(t)
	if home == "" {
		t.Skip("there is no Trino")
	}
	port := freePort(t)
	a := newAway(t, handover.Trino, func() (handover.Cluster, error) {
		return handover.NewTrino(handover.Options{TrinoURL: fmt.Sprintf("http://tarn@127.0.0.1:%d", port)})
	})
	if got := a.ask(a.token, a.cluster, "", "SELECT 1", ""); got.status != 503 || got.code != "engine_unavailable" {
		t.Errorf("before it runs: %d %s", got.status, got.code)
	}
	started(t, trinoServer(t, home, port, map[string][]string{"catalog/lake.properties": {
		"connector.name=iceberg", "iceberg.catalog.type=rest", "iceberg.rest-catalog.uri=" + a.uri, "iceberg.rest-catalog.security=OAUTH2",
		"iceberg.rest-catalog.oauth2.token=" + a.token, "iceberg.extended-statistics.collect-on-write=false", "fs.native-local.enabled=true", "local.location=/",
	}}), "SERVER STARTED")
	a.until("Trino has its node", func() bool { return a.ask(a.token, a.cluster, "", "SELECT count(*) FROM d", "").status == 200 })

	a.answers("SELECT count(*) FROM big a, big b, big c, big d WHERE a.id + b.id + d.id > c.id", func() int { return trinoRuns(t, port) })
	db, err := sql.Open("trino", fmt.Sprintf("http://writer@127.0.0.1:%d?catalog=lake&schema=main", port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a.written(trinoSession{t, db})
	a.vectors(trinoSession{t, db})
	a.whole()
}

// trinoHome is where Trino is installed; "": it is not.
func trinoHome(t testing.TB) string {
	t.Helper()
	homes, err := filepath.Glob(filepath.Join(os.Getenv("TARN_ENGINES"), "trino-*"))
	if os.Getenv("TARN_ENGINES") == "" || err != nil || len(homes) != 1 {
		t.Logf("without Trino: %d of them in TARN_ENGINES, %v; scripts/get-engines DIR trino gets one, which needs a JDK 25", len(homes), err)
		return ""
	}
	home, err := filepath.Abs(homes[0])
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// trinoServer is a Trino of one node with catalogs of files, or where there are none such
// as are made by SQL. Its JVM has no second compiler and does not verify its classes: half
// the work until it has started.
func trinoServer(t testing.TB, home string, port int, catalogs map[string][]string) *exec.Cmd {
	t.Helper()
	conf := t.TempDir()
	files := map[string][]string{"config.properties": {
		"coordinator=true", "node-scheduler.include-coordinator=true", fmt.Sprintf("http-server.http.port=%d", port), fmt.Sprintf("discovery.uri=http://127.0.0.1:%d", port),
		"node.internal-address=127.0.0.1", "query.max-memory=512MB", "query.max-memory-per-node=512MB", "task.concurrency=1",
	}}
	maps.Copy(files, catalogs)
	if len(catalogs) == 0 {
		files["config.properties"] = append(files["config.properties"], "catalog.management=dynamic", "catalog.store=memory")
	}
	for name, lines := range files {
		path := filepath.Join(conf, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(home, "jdk", "bin", "java"), "-Xmx2G", "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m", "-XX:+UseSerialGC", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote",
		"--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-Djdk.attach.allowAttachSelf=true",
		"-Dconfig="+filepath.Join(conf, "config.properties"), "-Dnode.environment=test", "-Dnode.id=n1", "-Dnode.data-dir="+filepath.Join(conf, "data"),
		"-Dcatalog.config-dir="+filepath.Join(conf, "catalog"), "-cp", "main:lib/*", "io.trino.server.TrinoServer")
	cmd.Dir = home
	return cmd
}

// trinoRuns counts the queries that run in Trino.
func trinoRuns(t *testing.T, port int) (n int) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/v1/query", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Trino-User", "test")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var queries []struct{ State string }
	if err := json.NewDecoder(res.Body).Decode(&queries); err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		if q.State == "RUNNING" {
			n++
		}
	}
	return n
}

// trinoSession is somebody who uses Trino.
type trinoSession struct {
	t  *testing.T
	db *sql.DB
}

func (s trinoSession) try(text string) (out []string, err error) {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out = append(out, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	return out, rows.Err()
}

func (s trinoSession) run(text string, want ...string) {
	s.t.Helper()
	if got, err := s.try(text); err != nil || len(want) > 0 && strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.t.Fatalf("%s: %v, %v\nwant %v", text, got, err, want)
	}
}

// written: what Trino writes is what tarn answers.
func (a *away) written(s trinoSession) {
	a.t.Helper()
	a.change("d", engine.OpUpsert, `{"id":20,"v":"mine"}`)
	s.run("SHOW SCHEMAS FROM lake", "information_schema", "main", "shop", "system")
	s.run("SELECT id, v FROM d WHERE id >= 9 ORDER BY id", "9 new", "20 mine")
	s.run(`SELECT count(*) > 1 FROM "d$snapshots"`, "true")
	s.run(`SELECT count(*) > 0 FROM "d$files"`, "true")
	s.run("INSERT INTO d VALUES (30, 'theirs'), (31, NULL)")
	a.want("SELECT id, v FROM d WHERE id >= 20 ORDER BY id", `[20,"mine"]`, `[30,"theirs"]`, `[31,null]`)
	if _, err := s.try("INSERT INTO d VALUES (20, 'double')"); err == nil || !strings.Contains(err.Error(), "in the table already") {
		a.t.Errorf("a double key: %v", err)
	}
	for _, c := range []struct{ text, sql, want string }{ // it marks rows by position deletes
		{"UPDATE d SET v = 'ours' WHERE id = 30", "SELECT v FROM d WHERE id = 30", `["ours"]`},
		{"DELETE FROM d WHERE id = 31", "SELECT count(*) FROM d WHERE id = 31", `[0]`},
		{"MERGE INTO d USING (VALUES (20, 'merged')) s(id, v) ON d.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v", "SELECT v FROM d WHERE id = 20", `["merged"]`},
		{"CREATE TABLE lake.main.made AS SELECT id AS a, v AS b FROM d WHERE id < 10", "SELECT count(*) FROM made", `[3]`},
		{"ALTER TABLE d ADD COLUMN w varchar", "SELECT count(w) FROM d", `[0]`},
		{"CREATE TABLE lake.main.empty (a bigint, b varchar)", "SELECT count(*) FROM empty", `[0]`},
	} {
		s.run(c.text)
		a.want(c.sql, c.want)
	}
	s.run("INSERT INTO empty VALUES (1, 'x')")
	a.want("SELECT * FROM empty", `[1,"x"]`)
	s.run("DROP TABLE lake.main.empty")
	if got := a.ask(a.token, "", "", "SELECT * FROM empty", ""); got.status != 404 {
		a.t.Errorf("dropped: %d", got.status)
	}
}

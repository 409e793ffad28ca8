package icebergrest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/handover"
)

// away is a lake with a cluster that reads it, and what its tests ask both.
type away struct {
	*lab
	cluster string
	token   string // of somebody who may read all, as the cluster may
	shop    string // of somebody who may read shop.items alone
}

// autoBytes is the threshold of engine=auto: the dataset big is above it, the others are
// below.
const autoBytes = 20_000

// newAway opens a lake for a cluster that connect makes the client of. The cluster's own
// token is that of who may read all.
func newAway(t *testing.T, cluster string, connect func() (handover.Cluster, error)) *away {
	t.Helper()
	all, shop := access.NewToken(), access.NewToken()
	tokens := fmt.Sprintf("tokens:\n- id: all\n  sha256: %x\n  role: write\n- id: shop\n  sha256: %x\n  grants: {shop.items: read}\n", access.HashOf(all), access.HashOf(shop))
	c, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the lake is closed
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	l := openLabWith(t, t.TempDir(), tokens, map[string]handover.Cluster{cluster: c}, func(s *engine.Settings) {
		s.HandoverBytes, s.QueryTimeout = autoBytes, 5*time.Minute
	})
	a := &away{lab: l, cluster: cluster, token: all, shop: shop}
	a.create("d", []string{"id"}, "id BIGINT", "v VARCHAR")
	a.create("shop.items", []string{"id"}, "id BIGINT", "price DECIMAL(10,2)")
	a.create("kinds", []string{"id"}, "id BIGINT", "b BOOLEAN", "i INTEGER", "f DOUBLE", "r FLOAT", "x DECIMAL(20,4)", "t VARCHAR", "bin BLOB", "dt DATE", "ts TIMESTAMP",
		"tz TIMESTAMP WITH TIME ZONE", "l BIGINT[]", "s STRUCT(a INTEGER, b VARCHAR)", "m MAP(VARCHAR, BIGINT)", "u UUID")
	a.change("kinds", engine.OpUpsert,
		`{"id":1,"b":true,"i":-7,"f":0.1,"r":1.5,"x":"1234567890.1234","t":"a \"b\" \\ ü","bin":"AAEC","dt":"1969-12-31","ts":"2024-02-29T12:34:56.123456","tz":"2024-02-29T12:34:56.5Z","l":[1,null,3],"s":{"a":1,"b":"x"},"m":[["k",5]],"u":"5c1d3f0e-8a3b-4c57-9f62-0d8f2f6f1a11"}`,
		`{"id":2,"b":null,"i":null,"f":null,"r":null,"x":null,"t":null,"bin":null,"dt":null,"ts":null,"tz":null,"l":null,"s":null,"m":null,"u":null}`)
	a.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`, `{"id":3,"v":null}`)
	a.change("shop.items", engine.OpUpsert, `{"id":1,"price":"9.50"}`, `{"id":2,"price":"0.25"}`)
	a.create("big", []string{"id"}, "id BIGINT", "t VARCHAR")
	a.execute("INSERT INTO big SELECT i, md5(i::VARCHAR) FROM range(5000) r(i)")
	return a
}

// replied is what a query came to.
type replied struct {
	status int
	header http.Header
	text   []byte
	code   string // of an error
	detail string
	body   struct {
		Rows       json.RawMessage
		ReadPoints map[string]struct{ Sequence int64 } `json:"read_points"`
		ServedFrom map[string]string                   `json:"served_from"`
		Columns    []struct{ Name, Type string }
		RowCount   int64 `json:"row_count"`
	}
}

func (a *away) send(ctx context.Context, token, engine, accept, sql, params string) (*http.Response, error) {
	body := map[string]any{"sql": sql}
	if engine != "" {
		body["engine"] = engine
	}
	if params != "" {
		body["params"] = json.RawMessage(params)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/query/sql", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return http.DefaultClient.Do(r)
}

func (a *away) ask(token, engine, accept, sql, params string) replied {
	a.t.Helper()
	res, err := a.send(a.t.Context(), token, engine, accept, sql, params)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	out := replied{status: res.StatusCode, header: res.Header}
	if out.text, err = io.ReadAll(res.Body); err != nil {
		a.t.Fatalf("%s: %v", sql, err)
	}
	if res.StatusCode != http.StatusOK {
		var problem struct{ Code, Detail string }
		if err := json.Unmarshal(out.text, &problem); err != nil {
			a.t.Fatalf("%s: %s", sql, out.text)
		}
		out.code, out.detail = problem.Code, problem.Detail
	} else if accept == "" {
		if err := json.Unmarshal(out.text, &out.body); err != nil {
			a.t.Fatalf("%s: %s: %v", sql, out.text, err)
		}
		var b bytes.Buffer
		if err := json.Compact(&b, out.body.Rows); err != nil {
			a.t.Fatal(err)
		}
		out.body.Rows = b.Bytes()
	}
	return out
}

// same holds the cluster's answer against tarn's own, and gives it.
func (a *away) same(sql, params string) replied {
	a.t.Helper()
	mine, theirs := a.ask(a.token, "", "", sql, params), a.ask(a.token, a.cluster, "", sql, params)
	if mine.status != 200 || theirs.status != 200 || !bytes.Equal(mine.body.Rows, theirs.body.Rows) {
		a.t.Errorf("%s: %d %s %s\n%s: %d %s %s\n%s", "tarn", mine.status, mine.detail, mine.body.Rows, a.cluster, theirs.status, theirs.detail, theirs.body.Rows, sql)
	}
	if theirs.header.Get("Tarn-Engine") != a.cluster || mine.header.Get("Tarn-Engine") != "" {
		a.t.Errorf("%s: Tarn-Engine is %q, and of tarn %q", sql, theirs.header.Get("Tarn-Engine"), mine.header.Get("Tarn-Engine"))
	}
	return theirs
}

// refusals are the same for every cluster.
func (a *away) refusals() {
	a.t.Helper()
	for _, c := range []struct {
		token, engine, sql string
		status             int
		code, detail       string
	}{
		{a.token, a.cluster, "SELECT nope FROM d", 400, "sql_invalid", "nope"},
		{a.token, a.cluster, "SELECT 1 / CAST(0 AS BIGINT) % CAST(0 AS BIGINT) FROM d", 400, "sql_invalid", ""},
		{a.token, a.cluster, "SELECT * FROM missing", 404, "dataset_not_found", "missing"},
		{a.shop, a.cluster, "SELECT * FROM d", 404, "dataset_not_found", `there is no dataset "d"`},
		{a.shop, a.cluster, "SELECT * FROM shop.items WHERE id IN (SELECT id FROM d)", 404, "dataset_not_found", `there is no dataset "d"`},
		// Each would read d, if the cluster read another text than the gate.
		{a.shop, a.cluster, `SELECT 'a\' , v, ' FROM main.d -- ' AS x FROM shop.items`, 400, "sql_invalid", ""},
		{a.shop, a.cluster, "WITH RECURSIVE d AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM d WHERE id < 3) SELECT * FROM d", 403, "sql_refused", "RECURSIVE"},
		{a.token, a.cluster, "SELECT * FROM read_parquet('/etc/passwd')", 403, "sql_refused", ""},
		{a.token, a.cluster, "SELECT reflect('java.lang.System', 'exit', 1)", 400, "sql_invalid", "no function reflect"},
		{a.token, a.cluster, "SELECT 1; SELECT 2", 403, "sql_refused", ""},
		{a.token, a.cluster, "EXPLAIN SELECT * FROM d", 403, "sql_refused", "EXPLAIN"},
		{a.token, a.cluster, "SHOW TABLES", 403, "sql_refused", "SHOW"},
		{a.token, a.cluster, "SELECT * FROM d AT (SEQUENCE => 1)", 403, "sql_refused", "AT"},
		{a.token, a.cluster, "SELECT * FROM d POSITIONAL JOIN kinds", 403, "sql_refused", "POSITIONAL"},
		{a.token, a.cluster, "DELETE FROM d", 403, "sql_refused", "engine="},
		{a.token, a.cluster, "CREATE TABLE e AS SELECT * FROM d", 403, "sql_refused", "engine="},
		{a.token, "duckdb", "SELECT 1", 400, "invalid_request", "duckdb"},
	} {
		if got := a.ask(c.token, c.engine, "", c.sql, ""); got.status != c.status || got.code != c.code || !strings.Contains(got.detail, c.detail) {
			a.t.Errorf("%s: %d %s %q, want %d %s %q", c.sql, got.status, got.code, got.detail, c.status, c.code, c.detail)
		}
	}
	if got := a.ask(a.token, a.cluster, "", "SELECT * FROM d WHERE id = ?", ""); got.code != "invalid_request" {
		a.t.Errorf("a parameter without a value: %s %s", got.code, got.detail)
	}
	if got := a.ask(a.token, a.cluster, "", "SELECT * FROM d WHERE id = ?", "[[1]]"); got.code != "unsupported" {
		a.t.Errorf("a parameter that is a list: %s %s", got.code, got.detail)
	}
}

// fresh: what is pending is folded before, and the answer says up to where.
func (a *away) fresh() {
	a.t.Helper()
	const sql = "SELECT id, v FROM d ORDER BY id"
	a.same(sql, "")
	a.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":9,"v":"new"}`)
	seq := a.change("d", engine.OpDelete, `{"id":1}`)
	got := a.same(sql, "")
	if string(got.body.Rows) != `[[2,"B"],[3,null],[9,"new"]]` || got.body.ReadPoints["d"].Sequence != seq || got.body.ServedFrom["d"] != a.cluster {
		a.t.Errorf("changed: %s at %v from %v, sequence %d", got.body.Rows, got.body.ReadPoints, got.body.ServedFrom, seq)
	}
}

// formats: what tarn sends, in each format, is what it sends of its own.
func (a *away) formats() {
	a.t.Helper()
	const sql = "SELECT id, v FROM d ORDER BY id"
	for _, media := range []string{"application/x-ndjson", "text/csv"} {
		mine, theirs := a.ask(a.token, "", media, sql, ""), a.ask(a.token, a.cluster, media, sql, "")
		if !bytes.Equal(mine.text, theirs.text) || theirs.header.Get("Tarn-Served-From") != `{"d":"`+a.cluster+`"}` {
			a.t.Errorf("%s: %s, %s\nwant %s", media, theirs.text, theirs.header.Get("Tarn-Served-From"), mine.text)
		}
	}
	stream := a.ask(a.token, a.cluster, "application/vnd.apache.arrow.stream", "SELECT * FROM big", "")
	r, err := ipc.NewReader(bytes.NewReader(stream.text))
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Release()
	n := int64(0)
	for r.Next() {
		n += r.RecordBatch().NumRows()
	}
	if r.Err() != nil || n != 5000 {
		a.t.Errorf("Arrow: %d rows, %v", n, r.Err())
	}
	if file := a.ask(a.token, a.cluster, "application/vnd.apache.parquet", sql, ""); !bytes.HasPrefix(file.text, []byte("PAR1")) || !bytes.HasSuffix(file.text, []byte("PAR1")) {
		a.t.Errorf("Parquet: %d bytes", len(file.text))
	}
}

// auto: a query of much is handed over, one of little is not, and no answer of a cluster
// is given again.
func (a *away) auto() {
	a.t.Helper()
	for sql, engine := range map[string]string{"SELECT count(*) FROM big": a.cluster, "SELECT count(*) FROM d": "", "SELECT count(*) FROM d, big": a.cluster, "SHOW TABLES": ""} {
		for range 2 {
			got := a.ask(a.token, "auto", "", sql, "")
			again := got.header.Get("Tarn-Result-Cache")
			if got.status != 200 || got.header.Get("Tarn-Engine") != engine || engine != "" && again != "" {
				a.t.Errorf("%s: %d %s by %q, %q", sql, got.status, got.detail, got.header.Get("Tarn-Engine"), again)
			}
		}
	}
	a.ask(a.token, a.cluster, "", "SELECT max(id) FROM d", "")
	if got := a.ask(a.token, "", "", "SELECT max(id) FROM d", ""); got.header.Get("Tarn-Result-Cache") != "" || got.body.ServedFrom["d"] == a.cluster {
		a.t.Errorf("tarn's own answer after the cluster's: %v", got.body.ServedFrom)
	}
}

// cancels: a query that takes longer than the test is ended by DELETE /queries/{id}, and
// by its client's going away, in the cluster too: running says how many run there.
func (a *away) cancels(sql string, running func() int) {
	a.t.Helper()
	for _, how := range []string{"DELETE", "the client goes away"} {
		ctx, goAway := context.WithCancel(a.t.Context())
		status := make(chan int, 1)
		go func() {
			res, err := a.send(ctx, a.token, a.cluster, "", sql, "")
			if err != nil {
				status <- 0
				return
			}
			res.Body.Close()
			status <- res.StatusCode
		}()
		var id string
		a.until("it runs in the cluster", func() bool {
			for _, q := range a.Queries() {
				id = q.ID
			}
			return id != "" && running() > 0
		})
		want := 0
		if how == "DELETE" {
			want = 499
			if _, err := a.CancelQuery(id); err != nil {
				a.t.Fatal(err)
			}
		} else {
			goAway()
		}
		if got := <-status; got != want {
			a.t.Errorf("%s: status %d, want %d", how, got, want)
		}
		a.until("it has ended: "+how, func() bool { return len(a.Queries()) == 0 && running() == 0 })
		goAway()
	}
}

// answers asks all that is the same for every cluster; the questions are about the rows that
// fresh leaves. slow and running are for cancels.
func (a *away) answers(slow string, running func() int) {
	a.t.Helper()
	a.fresh()
	for _, q := range [][2]string{
		{"SELECT * FROM kinds ORDER BY id", ""},
		{`SELECT count(*), min(v), max(id) FROM main.d WHERE v <> '\ ''$x' /* a comment */`, ""},
		{`SELECT i.id AS "The Id", i.price FROM shop.items i JOIN d ON i.id + 1 = d.id WHERE d.v LIKE 'B%' ORDER BY 1`, ""},
		{"SELECT id FROM d WHERE v = ? AND id < ?", `["B", 9]`},
		{"SELECT id, $label AS l FROM d WHERE v = $v", `{"v": "B", "label": "x'y\\z"}`},
		{"SELECT $2 AS n FROM d WHERE id = $1", `[2, null]`},
		{"WITH w AS (SELECT id % 7 AS k, count(*) AS n FROM big GROUP BY 1) SELECT k, n FROM w ORDER BY k", ""},
		{"SELECT id FROM d WHERE false", ""},
	} {
		a.same(q[0], q[1])
	}
	a.formats()
	a.refusals()
	a.auto()
	a.cancels(slow, running)
}

// until waits for a condition.
func (l *lab) until(what string, is func() bool) {
	l.t.Helper()
	for !is() {
		select {
		case <-l.t.Context().Done():
			l.t.Fatalf("never: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// freePort is a port of this machine that nobody listens at.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// started runs a program until the test ends, and waits until it says a text.
func started(t testing.TB, cmd *exec.Cmd, says string) {
	t.Helper()
	starting(t, cmd, says)(t)
}

// starting runs a program until the test ends, and gives what waits until it has said a
// text.
func starting(t testing.TB, cmd *exec.Cmd, says string) (wait func(testing.TB)) {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ready, ended := make(chan struct{}), make(chan struct{})
	var last []string
	go func() {
		defer close(ended)
		defer out.Close()
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if os.Getenv("TARN_TEST_LOG") != "" {
				fmt.Fprint(os.Stderr, line)
			}
			select {
			case <-ready:
			default:
				if last = append(last, line); len(last) > 20 {
					last = last[1:]
				}
				if strings.Contains(line, says) {
					close(ready)
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		<-ended
	})
	return func(t testing.TB) {
		t.Helper()
		select {
		case <-ready:
		case <-ended:
			t.Fatalf("%s ended: %s", cmd.Path, strings.Join(last, ""))
		}
	}
}

// TestHandoverSpark: queries handed over to a Spark Connect server that reads the lake by
// its catalog have tarn's own answers.
func TestHandoverSpark(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a minute")
	}
	dir := os.Getenv("TARN_ENGINES")
	if dir == "" {
		t.Skip("TARN_ENGINES is not set: scripts/get-engines DIR spark, then TARN_ENGINES=DIR")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	jars, _ := filepath.Glob(filepath.Join(dir, "jars", "iceberg-spark-runtime-*.jar"))
	submit, _ := filepath.Glob(filepath.Join(dir, "venv", "lib", "python3*", "site-packages", "pyspark", "bin", "spark-submit"))
	if len(jars) != 1 || len(submit) != 1 {
		t.Skip("there is no Spark, or no Iceberg runtime for it: scripts/get-engines DIR spark")
	}
	port, uiPort := freePort(t), freePort(t)
	a := newAway(t, handover.Spark, func() (handover.Cluster, error) {
		return handover.NewSpark(handover.Options{SparkURL: fmt.Sprintf("sc://127.0.0.1:%d", port)})
	})
	if got := a.ask(a.token, a.cluster, "", "SELECT 1", ""); got.status != 503 || got.code != "engine_unavailable" {
		t.Errorf("before it runs: %d %s", got.status, got.code)
	}
	args := []string{"--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--master", "local[2]", "--driver-memory", "1g", "--jars", jars[0]}
	for _, conf := range []string{
		"spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1", "spark.connect.grpc.binding.address=127.0.0.1", fmt.Sprintf("spark.connect.grpc.binding.port=%d", port),
		fmt.Sprintf("spark.ui.port=%d", uiPort), "spark.sql.shuffle.partitions=2", "spark.sql.warehouse.dir=" + t.TempDir(),
		"spark.sql.extensions=org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
		"spark.sql.catalog.lake=org.apache.iceberg.spark.SparkCatalog", "spark.sql.catalog.lake.type=rest", "spark.sql.catalog.lake.uri=" + a.uri,
		"spark.sql.catalog.lake.io-impl=org.apache.iceberg.hadoop.HadoopFileIO", "spark.sql.catalog.lake.token=" + a.token,
	} {
		args = append(args, "--conf", conf)
	}
	cmd := exec.Command(submit[0], args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SPARK_HOME="+filepath.Dir(filepath.Dir(submit[0])), "SPARK_LOCAL_IP=127.0.0.1")
	started(t, cmd, "Spark Connect server started at")

	a.answers("SELECT count(*) FROM range(1000000000000) r WHERE id % 3 = 1", func() int { return sparkRuns(t, uiPort) })
	a.whole()
}

// sparkRuns counts Spark's running jobs.
func sparkRuns(t *testing.T, port int) int {
	t.Helper()
	get := func(path string, into any) {
		t.Helper()
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/v1/applications%s", port, path))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	var apps []struct{ ID string }
	get("", &apps)
	if len(apps) != 1 {
		t.Fatalf("%d applications", len(apps))
	}
	var jobs []any
	get("/"+apps[0].ID+"/jobs?status=running", &jobs)
	return len(jobs)
}

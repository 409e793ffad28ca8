package icebergrest_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/catalog/rest"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"go.uber.org/goleak"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/handover"
	"tarn/internal/httpapi"
	"tarn/internal/icebergrest"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// lab is a lake that serves its Iceberg catalog.
type lab struct {
	*engine.Engine
	t   testing.TB
	dir string
	url string // of the server
	uri string // of the catalog
}

func quiet() *slog.Logger {
	if os.Getenv("TARN_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// newLab opens a lake in a new folder; tokens, if not "", is the text of a file of tokens.
func newLab(t testing.TB, tokens string, change ...func(*engine.Settings)) *lab {
	t.Helper()
	return openLab(t, t.TempDir(), tokens, change...)
}

func openLab(t testing.TB, dir, tokens string, change ...func(*engine.Settings)) *lab {
	t.Helper()
	return openLabWith(t, dir, tokens, nil, change...)
}

// openLabWith opens a lake whose queries can be handed over to clusters.
func openLabWith(t testing.TB, dir, tokens string, clusters map[string]handover.Cluster, change ...func(*engine.Settings)) *lab {
	t.Helper()
	o := engine.Options{Data: dir, Clusters: clusters}
	for _, c := range change {
		c(&o.Settings)
	}
	return openLabOf(t, o, tokens)
}

// openLabOf opens the lake of o, with a test's bounds where o says none.
func openLabOf(t testing.TB, lakeOptions engine.Options, tokens string) *lab {
	t.Helper()
	set := &lakeOptions.Settings
	set.UpkeepInterval, set.CompactInterval = cmp.Or(set.UpkeepInterval, time.Hour), cmp.Or(set.CompactInterval, time.Hour)
	set.QueryMemoryBytes, set.JobMemoryBytes = cmp.Or(set.QueryMemoryBytes, 256<<20), cmp.Or(set.JobMemoryBytes, 256<<20)
	set.Threads = cmp.Or(set.Threads, 2)
	lakeOptions.MemoryBytes, lakeOptions.Log = 2<<30, quiet()
	e, err := engine.Open(context.Background(), lakeOptions)
	if err != nil {
		t.Fatal(err)
	}
	o := httpapi.Options{Log: quiet(), Mounts: []*httpapi.Mount{icebergrest.Mount()}}
	if tokens != "" {
		path := filepath.Join(t.TempDir(), "tokens.yaml")
		if err := os.WriteFile(path, []byte(tokens), 0o600); err != nil {
			t.Fatal(err)
		}
		if o.Access, err = access.Open(path, quiet()); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(httpapi.New(e, o))
	l := &lab{Engine: e, t: t, dir: lakeOptions.Data, url: server.URL, uri: server.URL + "/iceberg"}
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return l
}

func (l *lab) name(s string) lake.Name {
	l.t.Helper()
	n, err := lake.ParseName(s)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l *lab) create(dataset string, key []string, columns ...string) {
	l.t.Helper()
	l.createAs(0, dataset, key, columns...)
}

// createAs makes an empty dataset whose table has a format version.
func (l *lab) createAs(version int, dataset string, key []string, columns ...string) {
	l.t.Helper()
	s := lake.Schema{Key: key}
	for _, c := range columns {
		name, sql, _ := strings.Cut(c, " ")
		typ, err := lake.ParseType(sql)
		if err != nil {
			l.t.Fatal(err)
		}
		s.Columns = append(s.Columns, lake.Column{Name: name, Type: typ, Nullable: true})
	}
	if _, err := l.Create(context.Background(), engine.CreateRequest{Dataset: l.name(dataset), Schema: s, FormatVersion: version}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) change(dataset string, op engine.ChangeOp, lines ...string) int64 {
	l.t.Helper()
	r, err := l.Change(context.Background(), engine.ChangeRequest{
		Dataset: l.name(dataset), Op: op, Format: rows.NDJSON, Body: strings.NewReader(strings.Join(lines, "\n") + "\n"),
	})
	if err != nil {
		l.t.Fatalf("%s %s: %v", op, dataset, err)
	}
	return r.Sequence
}

func (l *lab) compact(dataset string) {
	l.t.Helper()
	n := l.name(dataset)
	j, err := l.Compact(context.Background(), engine.CompactRequest{Dataset: &n})
	if err == nil {
		_, err = j.Wait(context.Background())
	}
	if err != nil {
		l.t.Fatalf("compact %s: %v", dataset, err)
	}
}

// rows asks tarn; each row is a JSON text.
func (l *lab) rows(sql string) []string {
	l.t.Helper()
	a, err := l.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutJSON})
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	var answer struct{ Rows []json.RawMessage }
	if err := json.Unmarshal(text, &answer); err != nil {
		l.t.Fatalf("%s: %v", text, err)
	}
	out := []string{}
	for _, r := range answer.Rows {
		var b bytes.Buffer
		if err := json.Compact(&b, r); err != nil {
			l.t.Fatal(err)
		}
		out = append(out, b.String())
	}
	return out
}

func (l *lab) want(sql string, want ...string) {
	l.t.Helper()
	if got := l.rows(sql); strings.Join(got, "\n") != strings.Join(want, "\n") {
		l.t.Fatalf("%s:\n got %s\nwant %s", sql, strings.Join(got, " "), strings.Join(want, " "))
	}
}

// whole reads every byte of the lake and says what is wrong.
func (l *lab) whole() {
	l.t.Helper()
	r, err := l.Verify(context.Background(), nil)
	if err != nil || len(r.Findings) > 0 {
		l.t.Fatalf("verify: %v, %v", r.Findings, err)
	}
}

// answer is what a call of the catalog came to.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// errorType is Iceberg's name of an error.
func (a answer) errorType() string {
	e, _ := a.body["error"].(map[string]any)
	if e == nil || e["code"] != float64(a.status) {
		return fmt.Sprintf("no error in Iceberg's shape: %v", a.body)
	}
	return fmt.Sprint(e["type"])
}

// call sends a request below /iceberg/v1; body, if not "", is JSON.
func (l *lab) call(method, path, token, body string) answer {
	l.t.Helper()
	r, err := http.NewRequest(method, l.uri+"/v1"+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(body, "grant_type=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	out := answer{status: res.StatusCode, header: res.Header}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out.body); err != nil {
			l.t.Fatalf("%s %s: %s", method, path, text)
		}
	}
	return out
}

// expect sends a request and holds its status, and the name of its error, if any.
func (l *lab) expect(method, path, token, body string, status int, kind string) answer {
	l.t.Helper()
	a := l.call(method, path, token, body)
	if a.status != status || kind != "" && a.errorType() != kind {
		l.t.Fatalf("%s %s: %d %v, want %d %s", method, path, a.status, a.body, status, kind)
	}
	return a
}

// client is iceberg-go's own client of the catalog.
func (l *lab) client(o ...rest.Option) *rest.Catalog {
	l.t.Helper()
	c, err := rest.NewCatalog(l.t.Context(), "tarn", l.uri, o...)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// python is a session of testdata/session.py.
type python struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
}

// newPython starts a session where TARN_ENGINES names a folder that scripts/get-engines
// filled, with what is asked for.
func newPython(t testing.TB, modules string) *python {
	t.Helper()
	dir := os.Getenv("TARN_ENGINES")
	if dir == "" {
		t.Skip("TARN_ENGINES is not set: scripts/get-engines DIR installs PyIceberg and DuckDB, then TARN_ENGINES=DIR")
	}
	bin := filepath.Join(dir, "venv", "bin", "python")
	if out, err := exec.CommandContext(t.Context(), bin, "-c", "import "+modules).CombinedOutput(); err != nil {
		t.Skipf("%s has not all of %s (scripts/get-engines): %v: %s", bin, modules, err, out)
	}
	cmd := exec.Command(bin, "-uB", "testdata/session.py")
	// versitygw takes what follows the checksums that AWS's SDK puts behind a body for a
	// request of its own: 400, where the connection is used again.
	cmd.Env = append(os.Environ(), "AWS_REQUEST_CHECKSUM_CALCULATION=when_required")
	cmd.Stderr = io.Discard
	if os.Getenv("TARN_TEST_LOG") != "" {
		cmd.Stderr = os.Stderr
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // its answers were what counted
	})
	return &python{t, in, bufio.NewReaderSize(out, 1<<20)}
}

// of is the session within a part of the test that began it.
func (p *python) of(t testing.TB) *python { return &python{t, p.in, p.out} }

// try runs code and gives what it left in out.
func (p *python) try(format string, args ...any) (json.RawMessage, error) {
	p.t.Helper()
	code, err := json.Marshal(fmt.Sprintf(format, args...))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(code, '\n')); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("the Python session ended: %v", err)
	}
	var a struct {
		Out          json.RawMessage
		Error, Trace string
	}
	if err := json.Unmarshal(line, &a); err != nil {
		p.t.Fatalf("%s: %v", line, err)
	}
	if a.Error != "" {
		if os.Getenv("TARN_TEST_LOG") != "" {
			p.t.Logf("%s", a.Trace)
		}
		return nil, fmt.Errorf("%s", a.Error)
	}
	return a.Out, nil
}

func (p *python) run(format string, args ...any) json.RawMessage {
	p.t.Helper()
	out, err := p.try(format, args...)
	if err != nil {
		p.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return out
}

// texts runs code that leaves a list of texts.
func (p *python) texts(format string, args ...any) []string {
	p.t.Helper()
	var out []string
	if raw := p.run(format, args...); json.Unmarshal(raw, &out) != nil {
		p.t.Fatalf("no list of texts: %s", raw)
	}
	return out
}

func (p *python) want(want string, format string, args ...any) {
	p.t.Helper()
	if got := string(p.run(format, args...)); got != want {
		p.t.Fatalf("%s:\n got %s\nwant %s", fmt.Sprintf(format, args...), got, want)
	}
}

// backgrounds is the context of commits that no test ends.
var backgrounds = context.Background()

// localFiles gives iceberg-go the files of this machine.
func localFiles(context.Context) (icebergio.IO, error) { return icebergio.LocalFS{}, nil }

// onlySeen is a catalog that commits nothing and keeps what it was asked to.
type onlySeen struct {
	meta         table.Metadata
	requirements []table.Requirement
	updates      []table.Update
}

func (o *onlySeen) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	return nil, fmt.Errorf("not asked for")
}

func (o *onlySeen) CommitTable(_ context.Context, _ table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	o.requirements, o.updates = requirements, updates
	return o.meta, "", nil
}

// importFile imports a file of this machine.
func (l *lab) importFile(dataset, path string, key []string) {
	l.t.Helper()
	f := engine.ImportFile{Name: filepath.Base(path), Format: rows.CSV, Path: path}
	if strings.HasSuffix(path, ".parquet") {
		f.Format = rows.Parquet
	}
	j, err := l.Import(context.Background(), engine.ImportRequest{
		Dataset: l.name(dataset), PrimaryKey: key,
		Next: engine.Files(f),
	})
	if err == nil {
		_, err = j.Wait(context.Background())
	}
	if err != nil {
		l.t.Fatalf("import %s: %v", path, err)
	}
}

// execute runs a statement that changes rows.
func (l *lab) execute(sql string) {
	l.t.Helper()
	s, err := sqlwrite.Parse(sql)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.Execute(context.Background(), engine.StatementRequest{SQL: sql, Statement: s}); err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
}

package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/engine"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/worker"
)

// The test binary is also the worker and the job of the tests that want real
// processes: it runs itself again with one of these as its argument.
const (
	asWorker     = "-as-tarn-worker"
	asJob        = "-as-tarn-job"
	asServer     = "-as-crash-server"
	asFailpoints = "-as-failpoint-server"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asWorker:
			os.Exit(worker.Main(context.Background(), os.Stdin, os.Stderr))
		case asJob:
			os.Exit(job.Main(context.Background(), os.Stdin, os.Stdout, os.Stderr))
		case asFlaky:
			os.Exit(flakyWorker(os.Args[2]))
		case asServer:
			os.Exit(crashServer(os.Args[2], os.Args[3]))
		case asFailpoints:
			os.Exit(failpointServer(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
		}
	}
	goleak.VerifyTestMain(m)
}

func self(arg string) []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{exe, arg}
}

// opened is an engine under test with what a test asks of it most.
type opened struct {
	*engine.Engine
	t testing.TB
}

// testSettings keep upkeep and policy out of the way unless a test asks.
func testSettings() engine.Settings {
	return engine.Settings{
		UpkeepInterval: time.Hour, CompactInterval: time.Hour, QueryMemoryBytes: 256 << 20, JobMemoryBytes: 256 << 20, Threads: 2,
	}
}

func quiet() *slog.Logger {
	if os.Getenv("TARN_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func openLake(t testing.TB, dir string, change ...func(*engine.Options)) *opened {
	t.Helper()
	o := engine.Options{Data: dir, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet()}
	for _, c := range change {
		c(&o)
	}
	e, err := engine.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	return &opened{e, t}
}

// processes makes worker and jobs real processes.
func processes(o *engine.Options) {
	o.WorkerCommand, o.JobCommand = self(asWorker), self(asJob)
}

func (o *opened) close() {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := o.Close(ctx); err != nil {
		o.t.Fatalf("close: %v", err)
	}
}

func parse(s string) (lake.Name, error) { return lake.ParseName(s) }

func name(t testing.TB, s string) lake.Name {
	t.Helper()
	n, err := lake.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func column(t testing.TB, spec string) lake.Column {
	t.Helper()
	name, sql, _ := strings.Cut(spec, " ")
	typ, err := lake.ParseType(sql)
	if err != nil {
		t.Fatal(err)
	}
	return lake.Column{Name: name, Type: typ, Nullable: true}
}

func schema(t testing.TB, key []string, columns ...string) lake.Schema {
	t.Helper()
	var s lake.Schema
	for _, c := range columns {
		s.Columns = append(s.Columns, column(t, c))
	}
	s.Key = key
	return s
}

func (o *opened) create(dataset string, s lake.Schema) {
	o.t.Helper()
	o.createAs(0, dataset, s)
}

// createAs makes a dataset whose Iceberg table has a format version.
func (o *opened) createAs(version int, dataset string, s lake.Schema) {
	o.t.Helper()
	if _, err := o.Create(context.Background(), engine.CreateRequest{Dataset: name(o.t, dataset), Schema: s, FormatVersion: version}); err != nil {
		o.t.Fatalf("create %s: %v", dataset, err)
	}
}

// change sends NDJSON lines.
func (o *opened) change(dataset string, op engine.ChangeOp, lines ...string) engine.ChangeResult {
	o.t.Helper()
	r, err := o.tryChange(dataset, op, lines...)
	if err != nil {
		o.t.Fatalf("%s %s: %v", op, dataset, err)
	}
	return r
}

func (o *opened) tryChange(dataset string, op engine.ChangeOp, lines ...string) (engine.ChangeResult, error) {
	return o.Change(context.Background(), engine.ChangeRequest{
		Dataset: name(o.t, dataset), Op: op, Format: rows.NDJSON, Body: strings.NewReader(strings.Join(lines, "\n") + "\n"),
	})
}

// rows runs SQL and gives the rows, each as one JSON text.
func (o *opened) rows(sql string) []string {
	o.t.Helper()
	got, err := o.tryRows(sql)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func (o *opened) tryRows(sql string) ([]string, error) {
	out, _, err := o.tryAnswer(sql)
	return out, err
}

// tryAnswer is tryRows with what the answer says of itself.
func (o *opened) tryAnswer(sql string) ([]string, rows.Head, error) {
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutJSON})
	if err != nil {
		return nil, rows.Head{}, err
	}
	out, err := rowsOf(a)
	return out, a.Head, err
}

// rowsOf reads an answer in JSON to its end.
func rowsOf(a *engine.Answer) ([]string, error) {
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Rows []json.RawMessage `json:"rows"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	out := []string{}
	for _, r := range answer.Rows {
		var b bytes.Buffer
		if err := json.Compact(&b, r); err != nil {
			return nil, err
		}
		out = append(out, b.String())
	}
	return out, nil
}

func (o *opened) want(sql string, want ...string) {
	o.t.Helper()
	got := o.rows(sql)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		o.t.Fatalf("%s:\n got %s\nwant %s", sql, strings.Join(got, " "), strings.Join(want, " "))
	}
}

func (o *opened) compact(dataset string, key ...string) engine.CompactResult {
	o.t.Helper()
	r, err := o.tryCompact(dataset, key...)
	if err != nil {
		o.t.Fatalf("compact %s: %v", dataset, err)
	}
	return r
}

func (o *opened) tryCompact(dataset string, key ...string) (engine.CompactResult, error) {
	n := parsed(dataset)
	j, err := o.Compact(context.Background(), engine.CompactRequest{Dataset: &n, PrimaryKey: key})
	if err != nil {
		return engine.CompactResult{}, err
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		return engine.CompactResult{}, err
	}
	return r.(engine.CompactResult), nil
}

// importText imports bodies of one format.
func (o *opened) importText(dataset string, mode engine.ImportMode, f rows.Format, key []string, dup engine.OnDuplicate, bodies ...string) (engine.ImportResult, error) {
	var files []engine.ImportFile
	for i, body := range bodies {
		files = append(files, engine.ImportFile{Name: fmt.Sprintf("part %d", i+1), Format: f, Body: strings.NewReader(body)})
	}
	j, err := o.Import(context.Background(), engine.ImportRequest{
		Dataset: name(o.t, dataset), Mode: mode, PrimaryKey: key, OnDuplicate: dup, Next: engine.Files(files...),
	})
	if err != nil {
		return engine.ImportResult{}, err
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		return engine.ImportResult{}, err
	}
	return r.(engine.ImportResult), nil
}

func (o *opened) workers() engine.WorkersInfo {
	o.t.Helper()
	w, err := o.Workers(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	return w
}

func (o *opened) verifyClean() {
	o.t.Helper()
	r, err := o.Verify(context.Background(), nil)
	if err != nil {
		o.t.Fatalf("verify: %v", err)
	}
	if len(r.Findings) > 0 {
		o.t.Fatalf("verify found %v", r.Findings)
	}
}

// wantCode says that an error has a code.
func wantCode(t testing.TB, err error, code lake.Code) {
	t.Helper()
	if err == nil || lake.CodeOf(err) != code {
		t.Fatalf("got error %v (%s), want %s", err, lake.CodeOf(err), code)
	}
}

// filesUnder lists the files of a folder of the lake, by path.
func filesUnder(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

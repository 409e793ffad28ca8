package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/walls"
	"tarn/internal/worker"
)

// asFlaky is a worker that ends at once while the file of its argument is there.
const asFlaky = "-as-flaky-worker"

func flakyWorker(flag string) int {
	if _, err := os.Stat(flag); err == nil {
		fmt.Fprintln(os.Stderr, "the flaky worker is told to fail")
		return 1
	}
	return worker.Main(context.Background(), os.Stdin, os.Stderr)
}

// metric gives the value of a series by its name and labels as text, such as
// `tarn_x_total{reason="killed"}`.
func metric(t testing.TB, reg *prometheus.Registry, series string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			text := f.GetName()
			if len(labels) > 0 {
				text += "{" + strings.Join(labels, ",") + "}"
			}
			if text == series {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s", series)
	return 0
}

// status reads a field of /proc/<pid>/status.
func status(t testing.TB, pid int, field string) string {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("needs /proc")
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// TestWorkersTell: generations, deaths, memory, limits and walls are told, by
// Workers and by metrics, and the system agrees.
func TestWorkersTell(t *testing.T) {
	t.Setenv("TARN_TEST_SECRET", "hush")
	reg := prometheus.NewRegistry()
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) { o.Registry = reg })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1}`)
	o.want("select count(*) from t", "[1]")

	w := o.workers()
	if !w.Ready || w.Restarts != 0 || len(w.Generations) != 1 {
		t.Fatalf("%+v", w)
	}
	g := w.Generations[0]
	if g.State != worker.LifeServing || g.Queries != 1 || g.Running != 0 || g.ResidentBytes < 10<<20 || g.PID == 0 {
		t.Errorf("%+v", g)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", g.PID))
	if err == nil && (strings.Contains(string(environ), "hush") || strings.Count(string(environ), "\x00") > 2) {
		t.Errorf("the worker's environment is %q", environ)
	}
	if g.Walls.Seccomp != (status(t, g.PID, "Seccomp") == "2") {
		t.Errorf("%+v, while the system says seccomp %s", g.Walls, status(t, g.PID, "Seccomp"))
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", g.PID))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(g.Walls.DataLimitBytes); !walls.RaceDetector && (g.Walls.DataLimitBytes <= 1<<30 || !strings.Contains(string(limits), want)) {
		t.Errorf("no limit of %s in\n%s", want, limits)
	}

	o.KillWorker()
	o.want("select max(id) from t", "[1]")
	w = o.workers()
	if len(w.Generations) != 2 || w.Restarts != 1 || w.Deaths[worker.EndKilled] != 1 {
		t.Fatalf("%+v", w)
	}
	dead := w.Generations[1]
	if dead.State != worker.LifeDead || dead.Reason != worker.EndKilled || !strings.Contains(dead.LastWords, "killed") || dead.Ended == nil || dead.PID != g.PID {
		t.Errorf("%+v", dead)
	}
	for series, want := range map[string]float64{
		`tarn_worker_deaths_total{reason="killed"}`: 1, `tarn_worker_deaths_total{reason="hung"}`: 0,
		"tarn_worker_generation": 2, "tarn_worker_ready": 1, "tarn_worker_data_limit_bytes": float64(g.Walls.DataLimitBytes),
	} {
		if got := metric(t, reg, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if metric(t, reg, "tarn_worker_resident_bytes") < 10<<20 {
		t.Error("no resident bytes in the metrics")
	}
}

// TestAHangingQuery: a query that DuckDB does not interrupt is given up at its
// deadline and its worker replaced. No other query fails for it: not those that run
// all the while, and not an answer that is being read from the hanging worker.
func TestAHangingQuery(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a query to be overdue: not with -short")
	}
	o := openLake(t, t.TempDir(), processes)
	defer o.close()
	if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(bigRows)); err != nil {
		t.Fatal(err)
	}
	half, err := o.Query(t.Context(), engine.QueryRequest{SQL: "select * from big", Format: rows.OutNDJSON})
	if err != nil {
		t.Fatal(err)
	}
	defer half.Body.Close()
	read := bufio.NewReader(half.Body)
	if _, err := read.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	var beside sync.WaitGroup
	end := make(chan struct{})
	for i := range 4 {
		beside.Go(func() {
			sql := []string{"select v from big where id = 7", "select count(*), max(v) from big"}[i%2]
			for !closed(end) {
				if _, err := o.tryRows(sql); err != nil {
					t.Errorf("beside a hanging query: %v", err)
					return
				}
				asked.Add(1)
			}
		})
	}
	_, err = o.Query(t.Context(), engine.QueryRequest{
		SQL: "select levenshtein(repeat('a', 400000), repeat('b', 400000))", Format: rows.OutJSON, Timeout: 300 * time.Millisecond,
	})
	wantCode(t, err, lake.CodeDeadline)
	for o.workers().Restarts == 0 && !t.Failed() {
		time.Sleep(5 * time.Millisecond)
	}
	before := asked.Load()
	for asked.Load() < before+20 && !t.Failed() { // by the new worker
		time.Sleep(5 * time.Millisecond)
	}
	if w := o.workers(); len(w.Generations) != 2 || w.Generations[1].State != worker.LifeDraining || w.Generations[1].Reason != worker.EndHung {
		t.Errorf("%+v", w)
	}
	lines := 1
	for ; ; lines++ {
		if _, err = read.ReadString('\n'); err != nil {
			break
		}
	}
	if err != io.EOF || lines != bigRows {
		t.Errorf("the answer from the hanging worker ended after %d lines: %v", lines, err)
	}
	half.Body.Close()
	for o.workers().Deaths[worker.EndHung] == 0 { // drained and killed
		time.Sleep(5 * time.Millisecond)
	}
	close(end)
	beside.Wait()
	w := o.workers()
	if w.Retried != 0 || w.Restarts != 1 || len(w.Deaths) != 1 {
		t.Errorf("%+v", w)
	}
	t.Logf("%d queries beside it, none failed", asked.Load())
}

// TestCrashLoopAtTheDoor: while no worker starts, Ready says that it is a loop and
// when it is tried again, changes are acknowledged and queries fail in words; all is
// there once one starts.
func TestCrashLoopAtTheDoor(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "fail")
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) { o.WorkerCommand = append(self(asFlaky), flag) })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	if err := o.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.KillWorker()
	acknowledged := 0
	for ; o.workers().Failures < 5; acknowledged++ {
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d}`, acknowledged))
	}
	err := o.Ready()
	wantCode(t, err, lake.CodeNotReady)
	if !strings.Contains(err.Error(), "times in a row") || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("it does not say that it is a loop, or why: %v", err)
	}
	for o.workers().NextStart == nil { // between two starts
		time.Sleep(time.Millisecond)
	}
	if w := o.workers(); w.Deaths[worker.EndNotStarted] < 4 || w.Deaths[worker.EndKilled] != 1 {
		t.Errorf("%+v", w)
	}
	_, err = o.Query(t.Context(), engine.QueryRequest{SQL: "select count(*) from t", Format: rows.OutJSON, Timeout: 50 * time.Millisecond})
	if code := lake.CodeOf(err); code != lake.CodeNotReady && code != lake.CodeDeadline {
		t.Errorf("%v (%s)", err, code)
	}
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	o.want("select count(*) from t", fmt.Sprintf("[%d]", acknowledged))
	if testing.Short() {
		return
	}
	for o.Ready() != nil { // it has to last for a while
		time.Sleep(10 * time.Millisecond)
	}
}

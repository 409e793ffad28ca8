package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// children gives the pids of this process's living children that were started
// with an argument.
func children(t testing.TB, arg string) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(dirs) == 0 {
		t.Skip("needs /proc")
	}
	var out []int
	for _, d := range dirs {
		stat, _ := os.ReadFile(filepath.Join(d, "stat")) // it may have ended
		_, after, ok := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(after))
		if !ok || len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) || fields[0] == "Z" {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		pid, err := strconv.Atoi(filepath.Base(d))
		if err == nil && strings.Contains(string(argv), arg) {
			out = append(out, pid)
		}
	}
	return out
}

// killJob kills the running job process as the system does when memory ends.
func killJob(t testing.TB, j *engine.Job) bool {
	t.Helper()
	for {
		select {
		case <-j.Done():
			return false
		default:
		}
		for _, pid := range children(t, asJob) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				return true
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// TestI4KilledJob: kill -9 of the process of an import or a compaction is a clear
// error, changes nothing and leaves nothing; changes and queries go on meanwhile,
// and the next try goes in.
func TestI4KilledJob(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir, processes)
	defer o.close()
	big := bigCSV(bigRows)
	o.create("side", schema(t, nil, "n BIGINT"))
	beside := 0
	goOn := func() {
		t.Helper()
		beside++
		o.change("side", engine.OpUpsert, fmt.Sprintf(`{"n":%d}`, beside))
		o.want("select count(*) from side", fmt.Sprintf("[%d]", beside))
	}
	died := func(err error) {
		t.Helper()
		wantCode(t, err, lake.CodeInternal)
		if !strings.Contains(err.Error(), "the job process died") || !strings.Contains(lake.HintOf(err), "nothing was changed") {
			t.Fatalf("%v; %s", err, lake.HintOf(err))
		}
		o.cleanScratch(dir)
	}

	j, err := o.Import(t.Context(), engine.ImportRequest{Dataset: parsed("big"), PrimaryKey: []string{"id"}, Next: once(big)})
	if err != nil {
		t.Fatal(err)
	}
	goOn()
	if !killJob(t, j) {
		t.Fatal("the import was over before it could be killed")
	}
	goOn()
	_, err = j.Wait(t.Context())
	died(err)
	_, err = o.tryRows("select * from big")
	wantCode(t, err, lake.CodeDatasetNotFound)
	if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", big); err != nil {
		t.Fatal(err)
	}

	o.change("big", engine.OpUpsert, `{"id":5,"v":"five"}`, `{"id":199999,"v":"last"}`)
	n := parsed("big")
	if j, err = o.Compact(t.Context(), engine.CompactRequest{Dataset: &n}); err != nil {
		t.Fatal(err)
	}
	if !killJob(t, j) {
		t.Fatal("the compaction was over before it could be killed")
	}
	o.change("big", engine.OpUpsert, `{"id":6,"v":"six"}`)
	goOn()
	_, err = j.Wait(t.Context())
	died(err)
	want := []string{`[5,"five"]`, `[6,"six"]`, `[199999,"last"]`}
	o.want("select * from big where id in (5, 6, 199999) order by id", want...)
	if c := o.compact("big"); c.FinalRows != bigRows || c.Updated != 3 {
		t.Fatalf("%+v", c)
	}
	o.want("select * from big where id in (5, 6, 199999) order by id", want...)
	o.verifyClean()
}

// once gives one CSV body.
func once(csv string) func() (engine.ImportFile, error) {
	return engine.Files(engine.ImportFile{Name: "a file", Format: rows.CSV, Body: strings.NewReader(csv)})
}

// TestDeadWorkerUnderAHalfReadAnswer: a worker that dies while a client has read
// half of an answer and reads no further is replaced all the same, and the answer
// ends in an error.
func TestDeadWorkerUnderAHalfReadAnswer(t *testing.T) {
	for _, how := range []string{"inside", "processes"} {
		t.Run(how, func(t *testing.T) {
			o := openLake(t, t.TempDir(), func(o *engine.Options) {
				if how == "processes" {
					processes(o)
				}
			})
			defer o.close()
			if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(bigRows)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				a, err := o.Query(t.Context(), engine.QueryRequest{SQL: "select * from big", Format: rows.OutNDJSON})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Body.Close()
				if _, err := io.ReadFull(a.Body, make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
				o.KillWorker()
				o.want("select count(*) from big", fmt.Sprintf("[%d]", bigRows))
				_, err = io.ReadAll(a.Body)
				wantCode(t, err, lake.CodeWorkerDied)
			}
		})
	}
}

// TestNothingIsLeftBehind: after Close in the middle of everything, and after
// deaths of worker and job, there is no process, socket or scratch.
func TestNothingIsLeftBehind(t *testing.T) {
	sockets := t.TempDir()
	t.Setenv("TMPDIR", sockets)
	dir := t.TempDir()
	o := openLake(t, dir, processes)
	if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(bigRows)); err != nil {
		t.Fatal(err)
	}
	o.KillWorker()
	o.want("select count(*) from big", fmt.Sprintf("[%d]", bigRows))
	a, err := o.Query(t.Context(), engine.QueryRequest{SQL: "select * from big", Format: rows.OutNDJSON})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.ReadFull(a.Body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	j, err := o.Import(t.Context(), engine.ImportRequest{Dataset: parsed("more"), PrimaryKey: []string{"id"}, Next: once(bigCSV(bigRows))})
	if err != nil {
		t.Fatal(err)
	}
	if len(children(t, asWorker)) == 0 {
		t.Fatal("there is no worker process")
	}
	o.close()
	if _, err := j.Wait(context.Background()); err != nil && lake.CodeOf(err) != lake.CodeCancelled {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(a.Body); err == nil {
		t.Fatal("an answer ended well although the lake was closed under it")
	}
	for _, arg := range []string{asWorker, asJob} {
		if left := children(t, arg); len(left) > 0 {
			t.Errorf("processes %v (%s) are left", left, arg)
		}
	}
	if left := filesUnder(t, sockets); len(left) > 0 {
		t.Errorf("left in the folder of temporary files: %v", left)
	}
	for _, f := range filesUnder(t, dir) {
		if strings.HasPrefix(f, "state/scratch") || strings.Contains(f, ".tarn-new-") {
			t.Errorf("%s is left", f)
		}
	}
	o = openLake(t, dir)
	defer o.close()
	o.want("select count(*) from big", fmt.Sprintf("[%d]", bigRows))
	o.verifyClean()
}

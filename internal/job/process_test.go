package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tarn/internal/job"
	"tarn/internal/lake"
)

// slow is a job that takes long enough to be hit in the middle.
func slow(t testing.TB) job.Spec {
	db := openSQL(t)
	in := db.parquet("in.parquet", "SELECT hash(i)::VARCHAR AS k, i AS v, hash(i + 1)::VARCHAR AS w FROM range(300000) t(i)")
	s := spec(t)
	s.MemoryLimitBytes, s.Threads = 128<<20, 1
	s.Kind, s.Import = job.KindImport, &job.Import{Files: []job.InputFile{in}, Key: []string{"k"}}
	return s
}

// A job whose threads change as it goes writes the same rows in the same order.
func TestThreadsThatChange(t *testing.T) {
	db := openSQL(t)
	in := db.parquet("in.parquet", "SELECT i AS k, hash(i)::VARCHAR AS v FROM range(1500000) t(i)")
	mixed := db.parquet("mixed.parquet", "SELECT i AS k, hash(i)::VARCHAR AS v FROM range(1500000) t(i) ORDER BY hash(i)")
	var asked atomic.Int64
	threads := func() int { return 1 + int(asked.Add(1)%4) }
	p := process(t)
	p.Threads = threads
	for _, r := range []job.Runner{job.Inside{Threads: threads}, p} {
		for _, f := range []job.InputFile{in, mixed} {
			asked.Store(0)
			res := must(t)(importing(t, r, job.Import{Files: []job.InputFile{f}, Key: []string{"k"}}, func(s *job.Spec) { s.TargetFileBytes = 1 << 22 }))
			if asked.Load() < 2 {
				t.Fatalf("the job asked %d times how many threads it may use", asked.Load())
			}
			db.exec("SET threads = 1")
			got := db.rows("SELECT count(*) FROM (SELECT k, v, row_number() OVER () - 1 AS want FROM read_parquet(%s)) WHERE k <> want OR v <> hash(want)::VARCHAR", files(res.Outputs))
			if want := db.rows("SELECT 0"); !slices.Equal(got, want) || res.FinalRows != 1500000 {
				t.Fatalf("%v of %d rows are not where they should be", got, res.FinalRows)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	runners(t, func(t *testing.T, r job.Runner) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		steps := 0
		s := slow(t)
		_, err := r.Run(ctx, s, func(p job.Progress) {
			if p.Step == "write" {
				steps++
				cancel()
			}
		})
		wantCode(t, err, lake.CodeCancelled)
		if steps == 0 {
			t.Fatal("the job did not come to the step write")
		}
		s.Scratch = t.TempDir()
		_, err = r.Run(ctx, s, nil)
		wantCode(t, err, lake.CodeCancelled)
	})
}

func TestDeadline(t *testing.T) {
	runners(t, func(t *testing.T, r job.Runner) {
		s := slow(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, err := r.Run(ctx, s, nil)
		wantCode(t, err, lake.CodeDeadline)
	})
}

// children gives the pids of the processes that this one has started.
func children(t testing.TB) []int {
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(tasks) == 0 {
		t.Skip("needs /proc with children")
	}
	var out []int
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// TestKill is kill -9 of a job: an error, nothing left but scratch, and no
// process.
func TestKill(t *testing.T) {
	s := slow(t)
	before := children(t)
	_, err := process(t).Run(context.Background(), s, func(p job.Progress) {
		if p.Step == "write" {
			for _, pid := range children(t) {
				if !slices.Contains(before, pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended since
				}
			}
		}
	})
	wantCode(t, err, lake.CodeInternal, "killed")
	if after := children(t); len(after) > len(before) {
		t.Fatalf("processes %v are left", after)
	}
	if _, err := os.Stat(filepath.Join(s.Scratch, "out")); err != nil {
		t.Fatalf("the job did not come to writing: %v", err)
	}
}

// TestOrphan: a job whose parent has gone, as the end of stdin tells, stops.
func TestOrphan(t *testing.T) {
	s := slow(t)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p := process(t)
	cmd := exec.Command(p.Command[0])
	cmd.Env = p.Env
	cmd.Stdin = strings.NewReader(string(text)) // ends at once
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), `"cancelled"`) {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestJobIsNice: the whole process, with every thread that DuckDB made later,
// yields to others.
func TestJobIsNice(t *testing.T) {
	s := slow(t)
	s.Threads, s.MemoryLimitBytes = 4, 1<<30
	before := children(t)
	var priorities []int
	_, err := process(t).Run(context.Background(), s, func(p job.Progress) {
		if p.Step != "check keys" {
			return
		}
		for _, pid := range children(t) {
			if slices.Contains(before, pid) {
				continue
			}
			tasks, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
			for _, task := range tasks {
				tid, _ := strconv.Atoi(task.Name())
				if n, err := syscall.Getpriority(syscall.PRIO_PROCESS, tid); err == nil {
					priorities = append(priorities, 20-n) // the system call gives 20 - nice
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range priorities {
		if n != 19 {
			t.Fatalf("niceness of the threads: %v", priorities)
		}
	}
	if len(priorities) < 2 {
		t.Fatalf("%d threads seen", len(priorities))
	}
}

func TestProcessThatDoesNotStart(t *testing.T) {
	for _, p := range []job.Process{{}, {Command: []string{"/nowhere/tarn", "job"}}, {Command: []string{"/bin/sh", "-c", "echo oops >&2; exit 3"}}} {
		s := spec(t)
		s.Kind, s.Dedupe = job.KindDedupe, &job.Dedupe{}
		_, err := p.Run(context.Background(), s, nil)
		if err == nil {
			t.Fatal("no error")
		}
		if len(p.Command) == 3 {
			wantCode(t, err, lake.CodeInternal, "oops", "exit status 3")
		}
	}
	_, err := job.Inside{}.Run(context.Background(), job.Spec{Kind: job.KindFold, Scratch: t.TempDir()}, nil)
	wantCode(t, err, lake.CodeInternal)
}

package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func code(t *testing.T, err error, want lake.Code) {
	t.Helper()
	if lake.CodeOf(err) != want || err == nil {
		t.Fatalf("error %v (%s), want %s", err, lake.CodeOf(err), want)
	}
}

func TestAnswer(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		h := newHistory()
		h.add(lake.Entry{Drop: &lake.Drop{}})
		s := start(t, o, h.stream)
		end := h.add(lake.Entry{Drop: &lake.Drop{}})
		for {
			st, err := s.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.Heard == end {
				break
			}
			time.Sleep(time.Millisecond)
		}
		for h.stream.Behind() != 0 { // once the worker has answered
			time.Sleep(time.Millisecond)
		}
		text, res, err := ask(t.Context(), s, QueryRequest{SQL: "rows 100000"})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text, "\n"); n != 100000 || res.Tail().RowCount != 100000 {
			t.Fatalf("%d lines, row count %d", n, res.Tail().RowCount)
		}
		if res.Head.ReadPoints["heard"].Sequence != end || res.Columns[0].Name != "n\x01é" || res.ContentType != rows.MediaNDJSON || res.Retried {
			t.Fatalf("result %+v", res)
		}
		for _, sql := range []string{"rows 0", "rows 1"} {
			if _, res, err = ask(t.Context(), s, QueryRequest{SQL: sql}); err != nil || res.Tail().RowCount > 1 {
				t.Fatal(sql, err)
			}
		}
		st := s.Stats()
		if st.Generation != 1 || st.Restarts != 0 || st.Queries != 3 || st.Running != 0 || st.PID == 0 || !s.Health().Ready {
			t.Fatalf("stats %+v health %+v", st, s.Health())
		}
	})
}

func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		s := start(t, o, newHistory().stream)
		_, res, err := ask(t.Context(), s, QueryRequest{SQL: "error"})
		code(t, err, lake.CodeSQLInvalid)
		if res != nil || err.Error() != "as told" || lake.HintOf(err) != "tell it otherwise" {
			t.Fatalf("%v, hint %q", err, lake.HintOf(err))
		}
		text, res, err := ask(t.Context(), s, QueryRequest{SQL: "rows 50000 error"})
		if res == nil || text == "" {
			t.Fatal("no part of the answer came before the error")
		}
		code(t, err, lake.CodeSQLInvalid)
		if s.Stats().Restarts != 0 {
			t.Fatal("an error of a query ended the worker")
		}
		if err := s.Cancel("nobody"); lake.CodeOf(err) != lake.CodeQueryNotFound {
			t.Fatal(err)
		}
	})
}

// A query ends by its deadline, by its caller's context, by Cancel and by the
// closing of its body, before and after its first byte; the worker lives on.
func TestEndsOfQueries(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		s := start(t, o, newHistory().stream)
		soon := func() time.Time { return time.Now().Add(100 * time.Millisecond) }
		_, _, err := ask(t.Context(), s, QueryRequest{SQL: "sleep", Deadline: soon()})
		code(t, err, lake.CodeDeadline)
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 50000 sleep", Deadline: soon()})
		code(t, err, lake.CodeDeadline)

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, _, err = ask(ctx, s, QueryRequest{SQL: "sleep"})
		code(t, err, lake.CodeCancelled)

		for _, sql := range []string{"sleep", "rows 50000 sleep"} {
			id := newID()
			var wg sync.WaitGroup
			wg.Go(func() {
				for s.Cancel(id) != nil {
					time.Sleep(time.Millisecond)
				}
			})
			_, _, err = ask(t.Context(), s, QueryRequest{ID: id, SQL: sql})
			wg.Wait()
			code(t, err, lake.CodeCancelled)
		}

		res, err := s.Query(t.Context(), QueryRequest{ID: newID(), SQL: "rows 50000 sleep", Format: rows.OutCSV})
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := res.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Fatal("a closed body reads", err)
		}
		for s.Stats().Running > 0 {
			time.Sleep(time.Millisecond)
		}
		if _, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 1"}); err != nil {
			t.Fatal(err)
		}
		if s.Stats().Restarts != 0 {
			t.Fatal("the worker was replaced")
		}
	})
}

// A reader that does not read is cut at the deadline, and its worker is none
// the worse.
func TestSlowReader(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		o.Grace = 300 * time.Millisecond
		s := start(t, o, newHistory().stream)
		res, err := s.Query(t.Context(), QueryRequest{ID: newID(), SQL: "rows 20000000", Format: rows.OutNDJSON, Deadline: time.Now().Add(100 * time.Millisecond)})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for s.Stats().Running > 0 { // until it was cut
			time.Sleep(time.Millisecond)
		}
		_, err = io.Copy(io.Discard, res.Body)
		code(t, err, lake.CodeDeadline)
		if _, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 1"}); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Restarts != 0 {
			t.Fatalf("%+v", st)
		}
	})
}

func TestRetryOnce(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		h := newHistory()
		s := start(t, o, h.stream)
		h.add(lake.Entry{Drop: &lake.Drop{}})
		_, res, err := ask(t.Context(), s, QueryRequest{SQL: "crash first"})
		if err != nil || !res.Retried {
			t.Fatal(err, res)
		}
		if res.Head.ReadPoints["heard"].Sequence != 1 {
			t.Fatal("the second worker heard no replay")
		}
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 50000 crash"})
		code(t, err, lake.CodeWorkerDied)
		if _, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 1"}); err != nil {
			t.Fatal(err)
		}
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "fatal"})
		code(t, err, lake.CodeWorkerDied)
	})
}

// What was running at two deaths is not run a third time.
// A query that a worker runs twice for want of memory gives one answer; what had been
// made of the first run's is forgotten. Once something has left it is not run again.
func TestRetryForMemory(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		s := start(t, o, newHistory().stream)
		text, res, err := ask(t.Context(), s, QueryRequest{SQL: "rows 10 memory"})
		if err != nil || strings.Count(text, "\n") != 10 || res.Tail().RowCount != 10 {
			t.Fatalf("%q, %+v, %v", text, res, err)
		}
		if n := s.Stats().RetriedForMemory; n != 1 {
			t.Fatalf("%d are counted", n)
		}
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 100000 memory"})
		code(t, err, lake.CodeOutOfMemory)
		if st := s.Stats(); st.RetriedForMemory != 1 || st.Retried != 0 || s.Counts().RetriedForMemory != 1 {
			t.Fatalf("%+v", st)
		}
	})
}

func TestKillerIsRefused(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		s := start(t, o, newHistory().stream)
		_, _, err := ask(t.Context(), s, QueryRequest{SQL: "crash"})
		code(t, err, lake.CodeWorkerDied)
		restarts := s.Stats().Restarts
		_, _, err = ask(t.Context(), s, QueryRequest{SQL: "crash"})
		code(t, err, lake.CodeWorkerDied)
		if _, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 1"}); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); restarts > 2 || st.Restarts > 2 {
			t.Fatalf("%d restarts, then %d", restarts, st.Restarts)
		}
	})
}

// Those that merely ran beside a query that kills are not refused with it.
func TestBesideAKiller(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		s := start(t, o, newHistory().stream)
		var beside sync.WaitGroup
		for i := range 6 {
			beside.Go(func() {
				// In flight when the killer comes: it has sent nothing, and ends well
				// once it is sent again.
				if _, res, err := ask(t.Context(), s, QueryRequest{SQL: fmt.Sprintf("linger rows %d", i+1)}); err != nil || !res.Retried {
					t.Errorf("beside the killer: %v, %+v", err, res)
				}
			})
		}
		for s.Stats().Running < 6 {
			time.Sleep(time.Millisecond)
		}
		_, _, err := ask(t.Context(), s, QueryRequest{SQL: "crash"})
		code(t, err, lake.CodeWorkerDied)
		beside.Wait()
		for i := range 6 {
			if _, _, err := ask(t.Context(), s, QueryRequest{SQL: fmt.Sprintf("linger rows %d", i+1)}); err != nil {
				t.Error(err)
			}
		}
		if _, _, err = ask(t.Context(), s, QueryRequest{SQL: "crash"}); err == nil || !strings.Contains(err.Error(), "not run again") {
			t.Errorf("the killer is not refused: %v", err)
		}
		if st := s.Stats(); st.Restarts != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// A hanging query costs no other query anything: a new worker comes up beside
// the one that hangs.
func TestHang(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		o.Grace = 200 * time.Millisecond
		s := start(t, o, newHistory().stream)
		var failed atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, res, err := ask(context.Background(), s, QueryRequest{SQL: "rows 3"}); err != nil || res.Retried {
						t.Errorf("beside a hanging query: %v", err)
						failed.Add(1)
						return
					}
				}
			})
		}
		_, _, err := ask(t.Context(), s, QueryRequest{SQL: "hang", Deadline: time.Now().Add(100 * time.Millisecond)})
		code(t, err, lake.CodeDeadline)
		for s.Stats().Generation < 2 && failed.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		close(stop)
		wg.Wait()
		if st := s.Stats(); st.Hung != 1 {
			t.Fatalf("%+v", st)
		}
	})
}

// A worker that answers nothing any more is replaced, also where no query waits.
func TestAStoppedWorkerIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the worker's silence: not with -short")
	}
	t.Parallel()
	each(t, func(t *testing.T, o Options) {
		if o.Command == nil {
			t.Skip("only a process can be stopped")
		}
		s := start(t, o, newHistory().stream)
		stopWorker(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.DropImage(ctx, "u")
		code(t, err, lake.CodeWorkerDied)
		if _, res, err := ask(ctx, s, QueryRequest{SQL: "rows 3"}); err != nil || res.Retried {
			t.Fatal(res, err)
		}
	})
}

// A query that is in a worker which answers nothing any more is answered by the
// next, also where it has no deadline of its own.
func TestAQueryInAStoppedWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the worker's silence: not with -short")
	}
	t.Parallel()
	each(t, func(t *testing.T, o Options) {
		if o.Command == nil {
			t.Skip("only a process can be stopped")
		}
		s := start(t, o, newHistory().stream)
		stopWorker(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, res, err := ask(ctx, s, QueryRequest{SQL: "rows 3"})
		if err != nil || !res.Retried {
			t.Fatal(res, err)
		}
		for s.Counts().Deaths[EndHung] == 0 && ctx.Err() == nil { // it is noted once it is buried
			time.Sleep(time.Millisecond)
		}
		if w := s.Counts(); w.Deaths[EndHung] != 1 || w.Restarts != 1 {
			t.Errorf("%+v", w)
		}
	})
}

// stopWorker stops the current worker's process and waits until it stands.
func stopWorker(t *testing.T, s *Supervisor) {
	t.Helper()
	pid := s.Health().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var st syscall.WaitStatus
	if got, err := syscall.Wait4(pid, &st, syscall.WUNTRACED, nil); err != nil || got != pid || !st.Stopped() {
		t.Fatal("the worker did not stop:", got, st, err)
	}
}

// A worker that does not start is said to be the reason, and is tried until it
// does.
func TestCrashLoop(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		o.Open.LakeDirs = []string{"refuse"}
		if s, err := Start(t.Context(), o, newHistory().stream); err == nil {
			s.Close()
			t.Fatal("a worker that does not open was started")
		} else if !strings.Contains(err.Error(), "it does not open") {
			t.Fatal(err)
		}
		dir := t.TempDir()
		o.Open.LakeDirs = []string{dir}
		s := start(t, o, newHistory().stream)
		refuse := filepath.Join(dir, "refuse")
		if err := os.WriteFile(refuse, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.Kill()
		for s.Health().Failures < 3 {
			time.Sleep(time.Millisecond)
		}
		if hl := s.Health(); hl.Ready || hl.Reason == "" {
			t.Fatalf("%+v", hl)
		}
		_, _, err := ask(t.Context(), s, QueryRequest{SQL: "rows 1", Deadline: time.Now().Add(50 * time.Millisecond)})
		code(t, err, lake.CodeNotReady)
		if err := os.Remove(refuse); err != nil {
			t.Fatal(err)
		}
		if _, _, err = ask(t.Context(), s, QueryRequest{SQL: "rows 1"}); err != nil {
			t.Fatal(err)
		}
	})
}

// kill -9 under eight clients: no query that had sent nothing fails.
func TestKillUnderClients(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		s := start(t, o, newHistory().stream)
		killUnderClients(t, s, 3, func(int) string { return "rows 100" })
	})
}

// killUnderClients lets eight clients query while the worker is killed several
// times, each time after every client has had an answer from it.
func killUnderClients(t *testing.T, s *Supervisor, kills int, sql func(client int) string) {
	t.Helper()
	var wg sync.WaitGroup
	var answered [8]atomic.Int64
	stop := make(chan struct{})
	for i := range answered {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, res, err := ask(context.Background(), s, QueryRequest{SQL: sql(i)})
				// What had begun to arrive may break off; nothing else may fail.
				if err != nil && (res == nil || lake.CodeOf(err) != lake.CodeWorkerDied) {
					t.Errorf("client %d: %v", i, err)
					return
				}
				answered[i].Add(1)
			}
		})
	}
	for range kills {
		generation := s.Generation()
		var before [8]int64
		for i := range before {
			before[i] = answered[i].Load()
		}
		s.Kill()
		for i := range before {
			for !t.Failed() && (answered[i].Load() < before[i]+5 || s.Generation() == generation) {
				time.Sleep(time.Millisecond)
			}
		}
	}
	close(stop)
	wg.Wait()
	if st := s.Stats(); st.Restarts < int64(kills) {
		t.Fatalf("%+v", st)
	}
}

func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestStderr(t *testing.T) {
	var got strings.Builder
	s := newStderrLog(textLog(&got))
	io.WriteString(s, `{"time":"x","level":"WARN","msg":"said","b":1,"a":"x"}`+"\n")
	io.WriteString(s, "panic: head\n"+strings.Repeat("x", 3*stderrHead)+"\nthe la")
	io.WriteString(s, "st line")
	s.flush()
	if got.String() != "level=WARN msg=said a=x b=1\n" {
		t.Fatal(got.String())
	}
	out := s.excerpt()
	if !strings.HasPrefix(out, "panic: head\n") || !strings.HasSuffix(out, "the last line") || len(out) > stderrHead+stderrTail+20 {
		t.Fatalf("%d bytes: %.40s … %s", len(out), out, out[len(out)-20:])
	}
}

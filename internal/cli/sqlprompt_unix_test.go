//go:build unix

package cli_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// typist is a person at a terminal in which tarn runs as a process of its own.
type typist struct {
	t      *testing.T
	cmd    *exec.Cmd
	tty    *os.File
	screen *buffer
	read   int // of the screen
	over   chan struct{}
}

// sitDown starts tarn in a terminal.
func sitDown(t *testing.T, args ...string) *typist {
	t.Helper()
	p := &typist{t: t, cmd: exec.Command(os.Args[0], args...), screen: &buffer{}, over: make(chan struct{})}
	p.cmd.Env = []string{"HOME=" + t.TempDir(), "TERM=xterm", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	tty, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	p.tty = tty
	go func() {
		defer close(p.over)
		_, _ = io.Copy(p.screen, tty) // ends with the process
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // where it has not ended already
		_, _ = p.cmd.Process.Wait()
		_ = tty.Close()
		<-p.over
	})
	return p
}

// patience ends a wait for what will never come.
const patience = time.Minute

// sees waits until a text comes behind what was seen before.
func (p *typist) sees(texts ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for _, text := range texts {
		for {
			shown := p.screen.String()
			if at := strings.Index(shown[p.read:], text); at >= 0 {
				p.read += at + len(text)
				break
			}
			select {
			case <-ctx.Done():
				p.t.Fatalf("the terminal never shows %q; it shows %q", text, shown[p.read:])
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

// types presses keys.
func (p *typist) types(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.tty, keys); err != nil {
		p.t.Fatal(err)
	}
}

// leaves waits for the end of tarn and gives its exit code.
func (p *typist) leaves() int {
	p.t.Helper()
	err := p.cmd.Wait()
	if err != nil && p.cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func TestThePrompt(t *testing.T) {
	lake, dir := filepath.Join(t.TempDir(), "lake"), t.TempDir()
	csv := writeFile(t, dir, "trips.csv", "trip_id,city,fare\n1,Oslo,12.50\n2,Rome,7.25\n")
	url, _ := served(t, lake)
	ok(t, "import", "trips", csv, "--primary-key", "trip_id", "--server", url)
	history := filepath.Join(dir, "kept", "history")

	p := sitDown(t, "sql", "--server", url, "--history", history)
	p.sees("A statement ends with ;", "tarn> ")
	p.types("select 40 + 2 as answer;\r")
	p.sees("answer", "42", "1 row in", "tarn> ")

	// A statement over lines, two in a line, comments.
	p.types("select -- no end; here\r")
	p.sees(" ...> ")
	p.types("7 * 11 as product; select 'b;c' as text;\r")
	p.sees("77", "1 row in", "b;c", "1 row in", "tarn> ")

	// Tab completes datasets, columns and commands, and lists what is not clear.
	p.types("select ci\t")
	p.types("ty from tri\t")
	p.sees("from trips ")
	p.types("where ci\t= 'Rome';\r")
	p.sees("city ", "Rome", "1 row in", "tarn> ")
	p.types(".da\t\r")
	p.sees(".datasets", "trip_id", "tarn> ")
	p.types(".t\t")
	p.sees(".tables  .timing")
	p.types("\x03")
	p.sees("^C", "tarn> ")

	// Ctrl-C gives up what is typed, over all its lines.
	p.types("select\r")
	p.sees(" ...> ")
	p.types("nonsense\x03")
	p.sees("^C", "tarn> ")

	// An error is said and the prompt goes on.
	p.types("selec 1;\r")
	p.sees("(sql_invalid)", "tarn> ")
	p.types("update trips set fare = fare + 1 where trip_id = 1;\r")
	p.sees("trips: 1 row updated in", "tarn> ")

	p.types(".mode csv\r")
	p.sees("tarn> ")
	p.types("select fare from trips order by trip_id;\r")
	p.sees("fare\r\n13.5\r\n7.25\r\n", "tarn> ")
	p.types(".mode arrow\r")
	p.sees("arrow is not text", "tarn> ")
	p.types(".schema trips\r")
	p.sees("CREATE TABLE trips (", "trip_id BIGINT NOT NULL", "PRIMARY KEY (trip_id)", ");", "tarn> ")
	p.types(".timing on\r")
	p.sees("tarn> ")
	p.types("select 5 as five;\r")
	p.sees("five", "took ", "tarn> ")
	p.types(".nonsense\r")
	p.sees(".help lists them", "tarn> ")

	// Up shows what was typed before.
	p.types("\x1b[A\x1b[A")
	p.sees("select 5 as five;")
	p.types("\r")
	p.sees("five\r\n5", "tarn> ")
	p.types("\x04")
	if code := p.leaves(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// The next session has it too.
	p = sitDown(t, "sql", "--server", url, "--history", history)
	p.sees("tarn> ")
	p.types("update\x12")
	p.sees("update trips set fare = fare + 1")
	p.types("\x03")
	p.sees("^C", "tarn> ")
	p.types(".quit\r")
	if code := p.leaves(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Ctrl-C ends the statement that runs, here and in the worker, and not the prompt.
func TestCtrlCEndsAStatementAtThePrompt(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	url, _ := served(t, lake)
	p := sitDown(t, "sql", "--server", url)
	p.sees("tarn> ")
	for range 2 {
		p.types("select count(*) from range(1000000000) a, range(1000000000) b where a.range % 7 = b.range % 11;\r")
		running(t, url, 1)
		p.types("\x03")
		p.sees("tarn: cancelled", "tarn> ")
		running(t, url, 0)
	}
	p.types("select 40 + 2 as answer;\r")
	p.sees("42", "tarn> ")
	p.types("\x04")
	if code := p.leaves(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// running waits until a server runs so many queries.
func running(t *testing.T, url string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for runningNow(t, url) != n {
		select {
		case <-ctx.Done():
			t.Fatalf("the server never runs %d queries", n)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// So it does where tarn has opened the lake itself, with a worker of its own; and a
// Ctrl-C that comes when nothing runs does nothing.
func TestCtrlCAtALakeOfOnesOwn(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	ok(t, "create", "t", "--column", "id BIGINT", "--data", lake)
	p := sitDown(t, "sql", "--data", lake, "--history", "none")
	p.sees("tarn> ")
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for range 5 { // the signal comes when it does, and is to come before the statement
		p.types(".mode csv\r")
		p.sees("tarn> ")
	}
	p.types("select 6 * 7 as answer;\r")
	p.sees("42", "tarn> ")
	// The statement says by itself that it runs: rows come, and never end.
	p.types("select range as endless from range(1000000000000);\r")
	p.sees("endless", "4096\r\n")
	p.types("\x03")
	p.sees("tarn: cancelled", "tarn> ")
	p.types("select 40 + 2 as answer;\r")
	p.sees("42", "tarn> ")
	p.types("\x04")
	if code := p.leaves(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What a signal asks of the whole program the prompt does too.
func TestThePromptEndsWhenItIsTold(t *testing.T) {
	url, _ := served(t, filepath.Join(t.TempDir(), "lake"))
	p := sitDown(t, "sql", "--server", url, "--history", "none")
	p.sees("tarn> ")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.sees("tarn: cancelled")
	if code := p.leaves(); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

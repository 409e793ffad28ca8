package store_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// TestMain lets the test binary be the other process that holds a lake.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TARN_TEST_HOLD"); dir != "" {
		holdAndWait(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func holdAndWait(dir string) {
	if _, err := store.Lock(dir, store.Holder{PID: os.Getpid(), URL: "http://127.0.0.1:1"}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "lake")
	if h, held, err := store.ReadHolder(dir); held || err != nil {
		t.Fatalf("before there is a lake: %+v, %v, %v", h, held, err)
	}
	l, err := store.Lock(dir, store.Holder{PID: 4711})
	if err != nil {
		t.Fatal(err)
	}
	wantHolder(t, dir, store.Holder{PID: 4711})
	_, err = store.Lock(dir, store.Holder{PID: 1})
	if !errors.Is(err, lake.ErrLocked) || !strings.Contains(err.Error(), "4711") {
		t.Fatalf("held, and %v", err)
	}
	for _, url := range []string{"http://127.0.0.1:8080/a/rather/long/one", "http://[::1]:1"} {
		if err := l.SetURL(url); err != nil {
			t.Fatal(err)
		}
		wantHolder(t, dir, store.Holder{PID: 4711, URL: url})
		_, err = store.Lock(dir, store.Holder{PID: 1})
		if !errors.Is(err, lake.ErrLocked) || !strings.Contains(err.Error(), url) || !strings.Contains(lake.HintOf(err), url) {
			t.Fatalf("held, and %v", err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil || !json.Valid(b) {
		t.Errorf("the file holds %q, %v", b, err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SetURL("late"); err == nil {
		t.Error("a lock that was given back took a URL")
	}
	if h, held, err := store.ReadHolder(dir); held || err != nil {
		t.Fatalf("after Close: %+v, %v, %v", h, held, err)
	}
	again, err := store.Lock(dir, store.Holder{PID: 2})
	if err != nil {
		t.Fatal(err)
	}
	wantHolder(t, dir, store.Holder{PID: 2})
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantHolder(t *testing.T, dir string, want store.Holder) {
	t.Helper()
	if h, held, err := store.ReadHolder(dir); h != want || !held || err != nil {
		t.Fatalf("holder %+v, %v, %v; want %+v", h, held, err, want)
	}
}

// Whoever looks who holds a lake does not keep others from taking it.
func TestLookingDoesNotLock(t *testing.T) {
	dir := t.TempDir()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for range 2000 {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, err := store.ReadHolder(dir); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range 100 {
		l, err := store.Lock(dir, store.Holder{PID: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-stopped
}

// A process that is killed gives its lake back; its children do not keep it.
func TestLockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TARN_TEST_HOLD="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	wantHolder(t, dir, store.Holder{PID: cmd.Process.Pid, URL: "http://127.0.0.1:1"})
	_, err = store.Lock(dir, store.Holder{PID: os.Getpid()})
	if !errors.Is(err, lake.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Fatalf("held by another process, and %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if h, held, err := store.ReadHolder(dir); held || err != nil {
		t.Fatalf("after a kill: %+v, %v, %v", h, held, err)
	}
	l, err := store.Lock(dir, store.Holder{PID: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	// The lock is not passed on to children.
	child := exec.Command("sleep", "30")
	if err := child.Start(); err != nil {
		t.Skipf("no sleep here: %v", err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if h, held, err := store.ReadHolder(dir); held || err != nil {
		t.Fatalf("given back, with a child alive: %+v, %v, %v", h, held, err)
	}
}

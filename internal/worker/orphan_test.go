package worker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphanParent is a server of the least kind: it starts a worker, says its pid
// and waits to be killed.
func orphanParent() int {
	exe, err := os.Executable()
	if err != nil {
		return 1
	}
	s, err := Start(context.Background(), Options{Command: []string{exe}, Env: []string{roleVariable + "=standin"},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, newHistory().stream)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(s.Stats().PID, s.dir.path)
	select {}
}

// A worker never outlives its server, however that ends.
func TestWorkerDiesWithItsServer(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"=orphan")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if killed := cmd.Process.Kill(); err != nil || killed != nil {
		t.Fatal(err, killed)
	}
	_ = cmd.Wait() // it was killed
	pid, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
	worker, err := strconv.Atoi(pid)
	if !ok || err != nil {
		t.Fatal(line)
	}
	for syscall.Kill(worker, 0) == nil && !zombie(worker) {
		time.Sleep(time.Millisecond)
	}
	// The next server takes away what it left, and nothing of a living one.
	alive, err := newRunDir()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.remove()
	sweepRunDirs(os.TempDir())
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
	if _, err := os.Stat(alive.path); err != nil {
		t.Error(err)
	}
}

// zombie says whether a process is dead and only not reaped, as happens where
// init does not reap.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

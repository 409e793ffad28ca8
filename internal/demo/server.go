package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long a server may take before the tour gives up on it.
const (
	startPatience = 2 * time.Minute
	stopPatience  = time.Minute
)

// server is a child process `tarn serve`. Its standard error is kept, bounded,
// to be shown if it fails.
type server struct {
	url string

	cmd    *exec.Cmd
	stderr *tail
	exited chan struct{} // closed when the process was waited for
	err    error         // of Wait; read after exited
}

// startServer starts the server and waits until it says where it listens.
func startServer(ctx context.Context, command []string, lake string, flags ...string) (*server, error) {
	argv := append(append([]string{}, command...), "serve", "--data", lake, "--listen", "127.0.0.1:0", "--log-level", "warn")
	argv = append(argv, flags...)
	s := &server{cmd: exec.Command(argv[0], argv[1:]...), stderr: &tail{limit: 8 << 10}, exited: make(chan struct{})}
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(s.exited)
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			ready <- lines.Text()
		}
		close(ready)
		_, _ = io.Copy(io.Discard, stdout) // a pipe that nobody reads would block the server
		s.err = s.cmd.Wait()
	}()
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case line, ok := <-ready:
		if at := strings.Index(line, "http://"); ok && at >= 0 {
			s.url = strings.Fields(line[at:])[0]
			return s, nil
		}
		s.kill()
		return nil, fmt.Errorf("the server did not start: %s", s.lastWords())
	case <-patience.C:
		s.kill()
		return nil, fmt.Errorf("the server was not ready after %s: %s", startPatience, s.lastWords())
	case <-ctx.Done():
		s.kill()
		return nil, ctx.Err()
	}
}

// pid is the server's process id.
func (s *server) pid() int { return s.cmd.Process.Pid }

// kill ends the server as a crash would, and waits until it is gone. It can be
// called on a server that has ended.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // an error means that it has ended already
	<-s.exited
}

// stop asks the server to drain and waits; an exit code other than 0 is an error.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-s.exited:
	case <-patience.C:
		s.kill()
		return fmt.Errorf("the server did not stop within %s of SIGTERM: %s", stopPatience, s.lastWords())
	}
	if s.err != nil {
		return fmt.Errorf("the server ended with %w: %s", s.err, s.lastWords())
	}
	return nil
}

func (s *server) lastWords() string {
	if words := strings.TrimSpace(s.stderr.String()); words != "" {
		return words
	}
	return "it said nothing"
}

// tail keeps the last bytes written to it.
type tail struct {
	limit int

	mu struct {
		sync.Mutex
		kept []byte
	}
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.kept = append(t.mu.kept, p...)
	if over := len(t.mu.kept) - t.limit; over > 0 {
		t.mu.kept = append(t.mu.kept[:0], t.mu.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.mu.kept)
}

package worker

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"tarn/internal/duck"
)

// process is one running worker: a process of its own, or goroutines of this
// one. It serves the messages on the listener it was given.
type process interface {
	pid() int
	kill()                   // at once, without a word; repeatable
	exited() <-chan struct{} // closed when it is gone and reaped
	why() string             // after exited: how it ended
	// ended is, after exited, its exit code, or -1 where a signal ended it.
	ended() (code int, signalled bool)
}

// listenerFD is the descriptor at which a worker process finds its listener.
const listenerFD = 3

// outside is a worker in a process of its own.
type outside struct {
	cmd   *exec.Cmd
	stdin io.Closer
	gone  chan struct{}
	state string
	code  int
	once  sync.Once
	said  *stderrLog
}

// startOutside executes the command. Its standard input carries open as one
// line and stays open for as long as this process lives.
func startOutside(command, env []string, open Open, l *net.UnixListener, log *slog.Logger) (*outside, error) {
	file, err := l.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(append(duck.Environment(), "GOTRACEBACK=single"), env...)
	cmd.ExtraFiles = []*os.File{file}
	// A terminal's signals are the server's, which drains the worker.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p := &outside{cmd: cmd, stdin: stdin, gone: make(chan struct{}), said: newStderrLog(log)}
	cmd.Stderr = p.said
	cmd.Stdout = p.said
	if err := cmd.Start(); err != nil {
		stdin.Close()
		return nil, err
	}
	go func() {
		defer close(p.gone)
		err := cmd.Wait()
		p.said.flush()
		p.state, p.code = cmd.ProcessState.String(), cmd.ProcessState.ExitCode()
		if err != nil {
			p.state = err.Error()
		}
	}()
	line, err := json.Marshal(open)
	if err == nil {
		_, err = stdin.Write(append(line, '\n'))
	}
	if err != nil {
		p.kill()
		<-p.gone
		return nil, fmt.Errorf("%w (%s)", err, p.why())
	}
	return p, nil
}

func (p *outside) pid() int                { return p.cmd.Process.Pid }
func (p *outside) exited() <-chan struct{} { return p.gone }

func (p *outside) ended() (code int, signalled bool) {
	return p.code, p.code == -1 // as os.ProcessState has it
}

func (p *outside) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill() // an error means that it is gone
		_ = p.stdin.Close()
	})
}

func (p *outside) why() string {
	if words := p.said.excerpt(); words != "" {
		return p.state + ": " + strings.TrimSpace(words)
	}
	return p.state
}

package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"tarn/internal/duck"
	"tarn/internal/lake"
	"tarn/internal/walls"
)

// Runner executes jobs. Run returns when the job has ended and nothing of it
// runs any more, also after a cancel; report is called from the calling
// goroutine and may be nil. Errors are *lake.Error: the job's own, CodeCancelled
// or CodeDeadline after the end of ctx, CodeInternal where the job died. The
// caller removes Spec.Scratch in every case.
type Runner interface {
	Run(ctx context.Context, spec Spec, report func(Progress)) (Result, error)
}

// Inside runs jobs in this process, for tests.
type Inside struct {
	Threads func() int // as in Host
}

// Run is Runner's.
func (i Inside) Run(ctx context.Context, spec Spec, report func(Progress)) (Result, error) {
	return Run(ctx, spec, Host{Report: report, Threads: i.Threads})
}

// Process runs each job in a process of its own, in which Main runs.
type Process struct {
	Command []string   // argv of `tarn job`
	Env     []string   // the whole environment of the process
	Threads func() int // as in Host
	Log     *slog.Logger
}

// killAfter is how long a cancelled job may take to end by itself: a few of
// DuckDB's functions do not answer to an interrupt.
const killAfter = 5 * time.Second

// Run is Runner's.
func (p Process) Run(ctx context.Context, spec Spec, report func(Progress)) (Result, error) {
	if report == nil {
		report = func(Progress) {}
	}
	in, err := json.Marshal(spec)
	if err != nil {
		return Result{}, lake.Errorf(lake.CodeInternal, "job: %w", err)
	}
	if len(p.Command) == 0 {
		return Result{}, lake.Errorf(lake.CodeInternal, "job: no command to start")
	}
	if err := ctx.Err(); err != nil {
		return Result{}, ended(ctx)
	}
	said := &headTail{}
	cmd := exec.CommandContext(ctx, p.Command[0], p.Command[1:]...)
	cmd.Env = append(duck.Environment(), p.Env...)
	cmd.Dir = spec.Scratch
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to hear; the job hears from us
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, startError(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, startError(err)
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil { // it was over before it began
			return Result{}, ended(ctx)
		}
		return Result{}, startError(err)
	}
	// The process reads the spec before it writes anything, so that neither pipe
	// can fill while the other waits. stdin stays open: its end tells the process
	// that we are gone.
	_, writeErr := stdin.Write(append(in, '\n'))
	stopOrders := p.giveOrders(stdin, spec.Threads)
	last, readErr := listen(stdout, report)
	stopOrders()
	_ = stdin.Close()
	waitErr := cmd.Wait()
	p.log(spec, said)
	switch {
	case last.Result != nil:
		return *last.Result, nil
	case last.Error != nil:
		return Result{}, last.Error.err()
	case ctx.Err() != nil:
		return Result{}, ended(ctx)
	default:
		return Result{}, died(errors.Join(waitErr, writeErr, readErr), said)
	}
}

// giveOrders tells the process, until the function that it gives is called, when it
// may use another number of threads. A process that does not hear has ended.
func (p Process) giveOrders(stdin io.Writer, threads int) (stop func()) {
	if p.Threads == nil {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(paceEvery)
		defer tick.Stop()
		orders := json.NewEncoder(stdin)
		for {
			if want := p.Threads(); want != threads {
				if orders.Encode(order{Threads: want}) != nil {
					return
				}
				threads = want
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}

// listen reads messages up to the last, and on to the end of the pipe.
func listen(r io.Reader, report func(Progress)) (last message, err error) {
	d := json.NewDecoder(r)
	for {
		var m message
		if err := d.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			_, _ = io.Copy(io.Discard, r) // until the process lets go of the pipe
			return last, err
		}
		switch {
		case m.Progress != nil:
			report(*m.Progress)
		case m.Result != nil || m.Error != nil:
			last = m
		}
	}
}

func startError(err error) error {
	return lake.Errorf(lake.CodeUnavailable, "the job process does not start: %w", err)
}

func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return lake.Errorf(lake.CodeDeadline, "the job's time was up: %w", ctx.Err())
	}
	return lake.Errorf(lake.CodeCancelled, "the job was cancelled: %w", context.Canceled)
}

// died is a job that ended without a last word.
func died(err error, said *headTail) error {
	if err == nil {
		err = errors.New("it ended without an answer")
	}
	e := lake.Errorf(lake.CodeInternal, "the job process died: %w", err)
	text := said.String()
	if text != "" {
		e.Msg += ": " + text
	}
	if walls.OutOfMemory(text) {
		e.Code = lake.CodeOutOfMemory
		return e.WithHint(moreMemoryHint)
	}
	return e.WithHint("nothing was changed; try again, and if the system killed it for its memory give jobs less")
}

func (p Process) log(spec Spec, said *headTail) {
	if text := said.String(); text != "" && p.Log != nil {
		p.Log.Warn("job process wrote to stderr", "kind", spec.Kind, "text", text)
	}
}

// headTail keeps the beginning and the end of a text: a crash says first what
// it is and last where.
type headTail struct {
	mu struct {
		sync.Mutex
		head, tail bytes.Buffer
		cut        bool
	}
}

const keptBytes = 4096

func (h *headTail) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(b)
	if room := keptBytes - h.mu.head.Len(); room > 0 {
		take := min(room, len(b))
		h.mu.head.Write(b[:take])
		b = b[take:]
	}
	h.mu.tail.Write(b)
	if over := h.mu.tail.Len() - keptBytes; over > 0 {
		h.mu.tail.Next(over)
		h.mu.cut = true
	}
	return n, nil
}

func (h *headTail) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	between := ""
	if h.mu.cut {
		between = " … "
	}
	return strings.TrimSpace(fmt.Sprintf("%s%s%s", h.mu.head.String(), between, h.mu.tail.String()))
}

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tarn/internal/demo/staffing"
)

// Options say what the tour works on.
type Options struct {
	Command []string // argv that starts tarn
	Lake    string   // the folder of the tour's lake; made anew
	Data    string   // somebody's own Parquet files; "" makes the staffing data set
	Keep    string   // folder that keeps the made Parquet files; "" throws them away
	Seed    uint64
	Scale   float64
	Writers int // of the write load
	Out     io.Writer
}

// ErrFailed is given when a check of the tour failed; which one was printed.
var ErrFailed = errors.New("a check of the tour failed")

// marker is in the lake's folder of a tour, and of nothing else: only a folder
// that has it is cleared for the next tour.
const marker = "made-by-tarn-demo"

// tour is one walk: what it works on, and what it has started.
type tour struct {
	Options
	report
	server *server
	lake   *lakeClient
	began  time.Time
	pinned []string // datasets that the tour keeps in memory
}

// Run walks the tour.
func Run(ctx context.Context, o Options) error {
	t := &tour{Options: o, report: report{w: o.Out}, began: time.Now()}
	if err := t.prepare(); err != nil {
		return err
	}
	defer t.abandon()
	var err error
	if o.Data != "" {
		err = t.own(ctx)
	} else {
		err = t.staffing(ctx)
	}
	if err != nil {
		return err
	}
	if err := t.verify(ctx); err != nil {
		return err
	}
	t.farewell()
	if len(t.failed) > 0 {
		return ErrFailed
	}
	return nil
}

// Make only makes the staffing data set, in dir.
func Make(ctx context.Context, o Options, dir string) error {
	t := &tour{Options: o, report: report{w: o.Out}, began: time.Now()}
	set, err := staffing.New(o.Seed, o.Scale)
	if err != nil {
		return err
	}
	_, err = t.makeData(ctx, set, dir)
	return err
}

// prepare gives the tour an empty folder of its own.
func (t *tour) prepare() error {
	left, err := os.ReadDir(t.Lake)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look into %s: %w", t.Lake, err)
	case len(left) > 0:
		if _, err := os.Stat(filepath.Join(t.Lake, marker)); err != nil {
			return fmt.Errorf("%s is not empty and was not made by the demo; name another folder with --lake", t.Lake)
		}
		if err := os.RemoveAll(t.Lake); err != nil {
			return fmt.Errorf("clear the last tour away: %w", err)
		}
	}
	if err := os.MkdirAll(t.Lake, 0o755); err != nil {
		return err
	}
	const text = "This lake was made by `tarn demo`; the next `tarn demo` may clear it away. Delete this file to keep it.\n"
	return os.WriteFile(filepath.Join(t.Lake, marker), []byte(text), 0o644)
}

// start starts the server on the tour's lake.
func (t *tour) start(ctx context.Context, flags ...string) error {
	s, err := startServer(ctx, t.Command, t.Lake, flags...)
	if err != nil {
		return err
	}
	t.server = s
	t.lake, err = newLakeClient(s.url)
	return err
}

// abandon leaves no process behind, however the tour ends.
func (t *tour) abandon() {
	if t.server != nil {
		t.server.kill()
	}
	if t.lake != nil {
		t.lake.close()
	}
}

// verify stops the server as an operator does and reads everything durable.
func (t *tour) verify(ctx context.Context) error {
	t.step("Stop the server (SIGTERM) and read back everything durable: tarn verify")
	t.lake.close()
	if err := t.server.stop(); err != nil {
		return err
	}
	t.check(true, "the server drained and ended with exit code 0")
	argv := append(append([]string{}, t.Command...), "verify", "--data", t.Lake)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	began := time.Now()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for line := range strings.Lines(string(out)) {
		t.say("%s", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		t.check(false, "tarn verify ended with %v: %s", err, strings.TrimSpace(errs.String()))
	} else {
		t.check(true, "every byte, count and reference is right (%s)", took(time.Since(began)))
	}
	return nil
}

func (t *tour) farewell() {
	fmt.Fprintln(t.w)
	if len(t.failed) > 0 {
		fmt.Fprintf(t.w, "%d of %d checks FAILED:\n", len(t.failed), t.passed+len(t.failed))
		for _, sentence := range t.failed {
			fmt.Fprintf(t.w, "   ✗ %s\n", sentence)
		}
		return
	}
	program := t.Command[0]
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, program); err == nil && !strings.HasPrefix(rel, "..") {
			program = "./" + rel
		}
	}
	fmt.Fprintf(t.w, "All %d checks passed in %s. The lake is in %s (%s).\n", t.passed, took(time.Since(t.began)), t.Lake, bytesShown(folderBytes(t.Lake)))
	fmt.Fprintf(t.w, "Serve it:  %s serve --data %s\n", program, t.Lake)
	fmt.Fprintf(t.w, "Ask it:    %s sql --data %s \"show tables\"\n", program, t.Lake)
}

// folderBytes is the size of the files in a folder; what cannot be read counts
// nothing, as the figure is for people only.
func folderBytes(dir string) int64 {
	total := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"tarn/internal/demo/staffing"
	"tarn/internal/engine"
)

// Options say what is measured, and how long.
type Options struct {
	// Command is the argv that starts tarn, for its worker, its jobs and the peers;
	// nil runs all of them inside this process, for tests.
	Command []string
	Dir     string // where a folder is made for all files, and removed at the end
	Version string

	Seed    uint64
	Scale   float64       // 1: a million timesheets, 100,000 candidates
	Rounds  int           // repeats of each query that count
	Upserts int           // changes of the one writer
	Writers int           // of the many
	Time    time.Duration // how long the many write, each time

	Threads     int   // of the lake's worker and of each peer; 0: all cores
	MemoryBytes int64 // what this machine has; queries get the default share of it

	Progress func(step string) // hears what begins; nil: nobody does
}

// Defaults are the options of a full run; Quick makes them those of a short one,
// whose figures mean little and whose answers are compared all the same.
func Defaults() Options {
	return Options{Seed: staffing.DefaultSeed, Scale: 1, Rounds: 21, Upserts: 300, Writers: 64, Time: 5 * time.Second}
}

// Quick is a run of a few seconds.
func (o Options) Quick() Options {
	o.Scale, o.Rounds, o.Upserts, o.Time = min(o.Scale, 0.01), 3, 20, 200*time.Millisecond
	return o
}

func (o Options) memoryBytes() int64 { return engine.Defaults(o.MemoryBytes).QueryMemoryBytes }

func (o Options) threads() int {
	if o.Threads == 0 {
		return runtime.NumCPU()
	}
	return o.Threads
}

func (o Options) command(name string) []string {
	return append(append([]string{}, o.Command...), name)
}

// leastScale has some rows for each of many writers; mostScale is the data's.
const leastScale, mostScale = 0.001, 1000

// Check refuses options that measure nothing.
func (o Options) Check() error {
	switch {
	case !(o.Scale >= leastScale && o.Scale <= mostScale):
		return fmt.Errorf("scale %v: must be at least %v and at most %v", o.Scale, leastScale, mostScale)
	case o.Rounds < 1 || o.Upserts < 1 || o.Writers < 1 || o.Time <= 0:
		return errors.New("rounds, upserts, writers and time must be above zero")
	case float64(o.Writers) > 1000*o.Scale/leastScale:
		return fmt.Errorf("%d writers: there are not as many timesheets at scale %v", o.Writers, o.Scale)
	}
	return nil
}

// bench is one run.
type bench struct {
	o      Options
	dir    string
	report *Report

	timesheets, candidates int64             // rows
	files                  map[string]string // the Parquet file that each dataset is imported from, by namespace.table
	changes                map[string][]string
	peers                  peers
	written                *ledger
	compared               int64 // answers held against another's
}

// Run measures and gives the report. A wrong answer is a *WrongAnswer; the
// report is then what was measured until there.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "tarn-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	b := &bench{o: o, dir: dir, files: map[string]string{}, changes: map[string][]string{}, report: newReport(o)}
	defer func() { err = errors.Join(err, b.peers.close()) }()
	err = b.run(ctx)
	b.report.Compared = b.compared
	return b.report, err
}

func (b *bench) run(ctx context.Context) error {
	if err := b.makeData(ctx); err != nil {
		return err
	}
	if err := b.withLake(ctx, Cold, b.cold); err != nil {
		return err
	}
	if err := b.withLake(ctx, Hot, b.hot); err != nil {
		return err
	}
	b.report.judge()
	return nil
}

// withLake opens the lake for one state, and closes it after.
func (b *bench) withLake(ctx context.Context, state State, work func(context.Context, *door) error) error {
	d, err := openLake(ctx, b.o, b.lakeDir(), state)
	if err != nil {
		return err
	}
	err = work(ctx, d)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, d.close(closing))
}

func (b *bench) lakeDir() string { return filepath.Join(b.dir, "lake") }

// warmups are the rounds that do not count.
func (b *bench) warmups() int { return min(3, b.o.Rounds) }

func (b *bench) step(format string, args ...any) {
	if b.o.Progress != nil {
		b.o.Progress(fmt.Sprintf(format, args...))
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"tarn/internal/bench"
)

type benchCommand struct {
	Scale   float64       `default:"1" help:"Size of the data: 1 is 1,000,000 timesheets and 100,000 candidates."`
	Seed    uint64        `default:"${seed}" help:"Seed of the data."`
	Rounds  int           `default:"21" help:"Repeats of each query that count."`
	Upserts int           `default:"300" help:"Changes that the one writer makes."`
	Writers int           `default:"64" help:"Writers of the write load."`
	Time    time.Duration `default:"5s" help:"How long they write, each time."`
	Threads int           `default:"0" help:"Threads of tarn's worker and of each DuckDB; 0 is all cores."`
	Quick   bool          `help:"Seconds instead of minutes: answers are compared, figures mean little."`
	Dir     string        `default:"." placeholder:"DIR" help:"Where a folder is made for the run, and removed after it; by default here. Its disk is measured."`
	Output  string        `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`
	Out     string        `placeholder:"FILE" help:"Write the report as JSON to FILE besides."`
}

func (*benchCommand) Help() string {
	return `Repeats queries and changes, cold and hot, beside plain DuckDB in a process of its own on the same rows: read_parquet of the files that tarn wrote, and in-memory tables, plain and compressed. All answer in turns, A B C A B C, with the same threads and memory, and their answers are compared: a wrong one ends the run with exit code 1. A goal that is missed does not. docs/BENCH.md says what each line means.

Examples:

  tarn bench
  tarn bench --quick
  tarn bench --scale 10 --out bench.json`
}

func (c *benchCommand) Run(ctx context.Context, p *Program) error {
	o := bench.Options{
		Command: p.Self, Dir: c.Dir, Version: p.Version, Seed: c.Seed, Scale: c.Scale, Rounds: c.Rounds,
		Upserts: c.Upserts, Writers: c.Writers, Time: c.Time, Threads: c.Threads, MemoryBytes: p.Memory,
	}
	if c.Quick {
		o = o.Quick()
	}
	if err := o.Check(); err != nil {
		return usagef("%w", err)
	}
	began := time.Now()
	o.Progress = func(step string) { fmt.Fprintf(p.Stderr, "%6.1fs %s\n", time.Since(began).Seconds(), step) }
	report, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = report.WriteJSON(p.Stdout)
	} else {
		err = report.WriteText(p.Stdout)
	}
	if c.Out != "" {
		err = errors.Join(err, writeReport(c.Out, report))
	}
	return err
}

func writeReport(path string, report *bench.Report) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(f), f.Close())
}

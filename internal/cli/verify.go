package cli

import (
	"context"
	"fmt"
	"io"

	"tarn/internal/backup"
	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

type verifyCommand struct {
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	lakeFlags `embed:"" set:"logLevel=warn"`
}

func (*verifyCommand) Help() string {
	return `Reads every catalog version, delta, Iceberg table and data file of the lake, checks every byte, count and reference, and says what is wrong. Exit code 1 says that something is. A lake in a folder must not be served meanwhile; one in a bucket is read beside its server. --data may also name a folder of backups.`
}

// Run looks at the files themselves: verifying is no part of the HTTP of a server,
// and opening a lake would stop at the first damage.
func (c *verifyCommand) Run(ctx context.Context, p *Program) error {
	if holder, held, err := c.holder(); err == nil && held && !bucket.IsURL(c.Data) {
		return lake.Errorf(lake.CodeLocked, "the lake %s is held by process %d", c.Data, holder.PID).
			WithHint("stop it first (kill -TERM %d drains a server), or verify a copy of the folder", holder.PID)
	}
	o := c.options(p, logger(p.Stderr, c.LogLevel))
	if !backup.Is(c.Data) {
		if err := c.exists(ctx, o); err != nil {
			return err
		}
	}
	bar := newProgress(p.Stderr, "verify")
	report, err := engine.VerifyLake(ctx, o, func(j engine.JobProgress) { bar.show(j.Step, j.Done, j.Total, count) })
	bar.done()
	if err != nil {
		return err
	}
	return c.say(p.Stdout, report)
}

func (c *verifyCommand) say(w io.Writer, r engine.VerifyReport) error {
	if c.Output == "json" {
		if err := writeJSON(w, r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			if _, err := fmt.Fprintf(w, "%s: %s\n", f.Key, shown(f.Problem)); err != nil {
				return err
			}
		}
		verdict := "all of it is right"
		if n := len(r.Findings); n > 0 {
			verdict = fmt.Sprintf("%d things are wrong", n)
		}
		of := ""
		if r.Backups > 0 {
			of = fmt.Sprintf("%d backups; the newest: ", r.Backups)
		}
		if _, err := fmt.Fprintf(w, "%sread %d catalog versions, %d datasets with %s rows in their bases, %s files, %s: %s\n",
			of, r.CatalogVersions, r.Datasets, count(r.Rows), count(int64(r.Objects)), bytesShown(r.Bytes), verdict); err != nil {
			return err
		}
	}
	if len(r.Findings) > 0 {
		return quietError{}
	}
	return nil
}

package cli

import (
	"context"
	"fmt"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
)

type importCommand struct {
	Name  datasetName `arg:"" help:"The dataset: [namespace.]name."`
	Files []string    `arg:"" name:"file" help:"Parquet, CSV, JSON or NDJSON files, or patterns of them; all in one commit. CSV and JSON may be gzipped (.gz)."`

	PrimaryKey  []string `placeholder:"COLUMN" help:"Columns that identify a row; without, rows can be added, and changed by SQL alone."`
	Mode        string   `enum:"create,append,replace" default:"create" help:"create a dataset, append to one, or replace all its rows: ${enum}."`
	OnDuplicate string   `enum:"error,last" default:"error" help:"What to do with keys that are double or exist: ${enum}. last keeps the last row."`
	Format      string   `enum:",parquet,csv,json,ndjson,arrow" default:"" placeholder:"FORMAT" help:"Format of all files: parquet, csv, json, ndjson, arrow; by default each one's extension says it."`

	clientFlags `embed:""`
}

func (*importCommand) Help() string {
	return `Rows of several files come in the order of the files. Nothing is imported unless everything is.

Examples:

  tarn import trips 2024/*.parquet --primary-key trip_id
  tarn import sales.orders orders.csv.gz --primary-key country,order_no --on-duplicate last
  tarn import trips more.parquet --mode append`
}

func (c *importCommand) Run(ctx context.Context, p *Program) error {
	paths, err := expand(c.Files)
	if err != nil {
		return err
	}
	files := make([]client.File, len(paths))
	for i, path := range paths {
		if files[i], err = importFile(path, c.Format); err != nil {
			return err
		}
	}
	return c.withLake(ctx, p, lakeMade, func(d lakeDoor) error {
		began, bar := time.Now(), newProgress(p.Stderr, "import "+c.Name.String())
		defer bar.done()
		r, err := d.Import(ctx, c.Name.Name, files, client.ImportOptions{
			Mode: engine.ImportMode(c.Mode), PrimaryKey: c.PrimaryKey, OnDuplicate: engine.OnDuplicate(c.OnDuplicate),
			Sent:     func(bytes, total int64) { bar.bytes("reading files", bytes, total) },
			Progress: bar.job,
		})
		if err != nil {
			return err
		}
		bar.done()
		_, err = fmt.Fprintf(p.Stdout, "%s: %s rows of %d files imported in %s\n", c.Name, count(r.Rows), r.Files, elapsed(time.Since(began)))
		return err
	})
}

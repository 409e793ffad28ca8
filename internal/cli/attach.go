package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
)

type attachCommand struct {
	Name  datasetName `arg:"" help:"The new dataset: [namespace.]name."`
	Table string      `arg:"" help:"The table: its metadata file or its folder, a path or a bucket's URI; with --catalog its name there, namespace.name."`

	Catalog    string   `placeholder:"NAME" help:"A catalog of --attach-catalogs that has the table."`
	PrimaryKey []string `placeholder:"COLUMN" help:"Columns that identify a row; without, the table's identifier fields, if it has any."`
	Output     string   `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	attachFlags `embed:""`
	clientFlags `embed:""`
}

func (*attachCommand) Help() string {
	return `Makes a dataset whose base is an Iceberg table that others own and go on writing. Nothing is written to their place: their data files become hard links in the lake where both are on one disk, and are copied where not. On top of it rows change, by key or by SQL, as in any dataset. tarn sync takes what the owner has committed since; a server with attach_interval does so by itself.

The table must lie below a place of --attach-roots. With a server those count that the server was started with; a token needs the role admin there.

Examples:

  tarn attach trips /srv/warehouse/trips --attach-roots /srv/warehouse --primary-key trip_id
  tarn attach trips s3://warehouse/trips/metadata/00007-3f2a.metadata.json
  tarn attach sales.orders sales.orders --catalog prod`
}

func (c *attachCommand) Run(ctx context.Context, p *Program) error {
	o := client.AttachOptions{PrimaryKey: c.PrimaryKey}
	switch {
	case c.Table == "":
		return usagef("the table has an empty name")
	case c.Catalog != "":
		if !strings.Contains(c.Table, ".") || strings.ContainsAny(c.Table, "/") {
			return usagef("%q is not a table of a catalog", c.Table).withHint("write it with its namespace, such as sales.orders; without --catalog name a folder or a metadata file")
		}
		o.Catalog, o.Table = c.Catalog, c.Table
	case c.Server == "" && !isURI(c.Table): // the lake is on this machine, so a path of this shell means the same
		path, err := filepath.Abs(c.Table)
		if err != nil {
			return usagef("the table %s: %w", c.Table, err)
		}
		o.Location = path
	default:
		o.Location = c.Table
	}
	return c.withPlaces(ctx, p, lakeMade, &c.clientFlags, func(d lakeDoor) error {
		began, bar := time.Now(), newProgress(p.Stderr, "attach "+c.Name.String())
		defer bar.done()
		o.Progress = bar.job
		r, err := d.Attach(ctx, c.Name.Name, o)
		if err != nil {
			return err
		}
		bar.done()
		if c.Output == "json" {
			return writeJSON(p.Stdout, r)
		}
		_, err = fmt.Fprintf(p.Stdout, "%s: attached to %s, at its %s: %s rows in %s files, %s, in %s\n", c.Name, shown(r.Attached.Source), theirSnapshot(r.Attached),
			count(r.Rows), count(int64(r.Files)), taken(r), elapsed(time.Since(began)))
		return err
	})
}

type syncCommand struct {
	Name   datasetName `arg:"" help:"The attached dataset."`
	Output string      `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	attachFlags `embed:""`
	clientFlags `embed:""`
}

func (*syncCommand) Help() string {
	return `Takes the newest snapshot of the table that a dataset is attached to. Rows and deletions that were made through tarn stay on top of it: where a key was changed on both sides, tarn's row stays. A server does this by itself every attach_interval.

Example:

  tarn sync trips`
}

func (c *syncCommand) Run(ctx context.Context, p *Program) error {
	return c.withPlaces(ctx, p, lakeExists, &c.clientFlags, func(d lakeDoor) error {
		began, bar := time.Now(), newProgress(p.Stderr, "sync "+c.Name.String())
		defer bar.done()
		r, err := d.Sync(ctx, c.Name.Name, bar.job)
		if err != nil {
			return err
		}
		bar.done()
		switch {
		case c.Output == "json":
			err = writeJSON(p.Stdout, r)
		case !r.Changed:
			_, err = fmt.Fprintf(p.Stdout, "%s: nothing new at %s since its %s\n", c.Name, shown(r.Attached.Source), theirSnapshot(r.Attached))
		default:
			_, err = fmt.Fprintf(p.Stdout, "%s: at %s of %s now: %s rows in %s files, of the new ones %s; %s keys changed here stay on top; in %s\n", c.Name, theirSnapshot(r.Attached), shown(r.Attached.Source),
				count(r.Rows), count(int64(r.Files)), taken(r), count(r.RowsOnTop), elapsed(time.Since(began)))
		}
		return err
	})
}

// withPlaces is withLake with the places that tables are attached from, where the lake is
// opened here; a server has its own.
func (f *attachFlags) withPlaces(ctx context.Context, p *Program, must lakeMust, where *clientFlags, work func(lakeDoor) error) error {
	return where.withLakeAnd(ctx, p, must, func(o *engine.Options) (func(), error) {
		places, err := f.places(o.Log)
		o.Foreign = places
		return func() { closePlaces(places, o.Log) }, err
	}, work)
}

type detachCommand struct {
	Name   datasetName `arg:"" help:"The attached dataset."`
	Output string      `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (*detachCommand) Help() string {
	return `Makes an attached dataset tarn's own, with the rows that it has now: what the owner commits from then on does not reach it. Nothing is copied, as its files are in the lake already. Then its columns can change, and imports may append to it or replace it.`
}

func (c *detachCommand) Run(ctx context.Context, p *Program) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		about, err := d.Detach(ctx, c.Name.Name)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return writeJSON(p.Stdout, about)
		}
		_, err = fmt.Fprintf(p.Stdout, "%s is tarn's own now: %s rows\n", c.Name, count(about.Rows))
		return err
	})
}

// theirSnapshot is the snapshot of the owner's table that was taken.
func theirSnapshot(a engine.Attachment) string {
	if a.Snapshot == "" {
		return "beginning, with no snapshot"
	}
	return "snapshot " + shown(a.Snapshot)
}

// taken says what became of the new data files.
func taken(r engine.AttachResult) string {
	linked, copied := count(int64(r.FilesLinked)), count(int64(r.FilesCopied))
	return fmt.Sprintf("%s linked, %s copied (%s)", linked, copied, bytesShown(r.BytesCopied))
}

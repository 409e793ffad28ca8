package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"tarn/internal/engine"
)

type backupCommand struct {
	Dir    string `arg:"" help:"The folder, on the machine of the lake: empty, or with earlier backups of it."`
	Keep   int    `placeholder:"N" help:"How many backups stay in the folder, this one included; without, all."`
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (*backupCommand) Help() string {
	return `Copies the lake as it is at one instant into a folder, while a server goes on with it: everything acknowledged before is in, nothing in part. Each file is checked against its hash as it is copied; those that the folder has already are not copied again. Whatever goes wrong, the backups that are there stay whole.

With --server the folder is on the server's machine and is named from / on.

Examples:

  tarn backup /mnt/backup/lake
  tarn backup /mnt/backup/lake --keep 7
  tarn verify --data /mnt/backup/lake
  tarn restore /mnt/backup/lake --data /srv/new-lake`
}

func (c *backupCommand) Run(ctx context.Context, p *Program) error {
	if c.Keep < 0 {
		return usagef("--keep %d", c.Keep).withHint("leave it out to keep all")
	}
	dir := c.Dir
	if c.Server == "" { // the lake is on this machine, so a path of this shell means the same
		var err error
		if dir, err = filepath.Abs(dir); err != nil {
			return usagef("the folder %s: %w", c.Dir, err)
		}
	}
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		bar := newProgress(p.Stderr, "backup")
		defer bar.done()
		r, err := d.Backup(ctx, dir, c.Keep, bar.jobBytes)
		if err != nil {
			return err
		}
		bar.done()
		if c.Output == "json" {
			return writeJSON(p.Stdout, r)
		}
		_, err = fmt.Fprintf(p.Stdout, "backup %d in %s: %d datasets in %s files, %s; copied %s files, %s, in %s\n", r.Backup, r.Path, r.Datasets,
			count(int64(r.Files)), bytesShown(r.Bytes), count(int64(r.CopiedFiles)), bytesShown(r.CopiedBytes), milliseconds(r.ElapsedMS))
		return err
	})
}

type restoreCommand struct {
	Dir    string `arg:"" help:"The folder that tarn backup wrote to."`
	Backup int64  `placeholder:"N" help:"The number of a backup in it; without, the newest."`
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	lakeFlags `embed:"" set:"logLevel=warn"`
}

func (*restoreCommand) Help() string {
	return `Makes a lake of a backup in the folder --data, which must be empty or not be there, or in a bucket with nothing under the prefix. Every byte is checked as it is copied, the lake is read and checked whole afterwards, and other readers of Iceberg find it where it is. A restore that did not end leaves a folder, or a prefix, that does not open as a lake: remove it.

Examples:

  tarn restore /mnt/backup/lake --data /srv/new-lake
  tarn restore /mnt/backup/lake --data /srv/last-week --backup 3
  tarn restore /mnt/backup/lake --data s3://bucket/prefix --state /var/lib/tarn`
}

func (c *restoreCommand) Run(ctx context.Context, p *Program) error {
	bar := newProgress(p.Stderr, "restore")
	defer bar.done()
	r, err := engine.Restore(ctx, engine.RestoreRequest{Path: c.Dir, Backup: c.Backup, Options: c.options(p, logger(p.Stderr, c.LogLevel))},
		func(j engine.JobProgress) { bar.work(j) })
	if err != nil {
		return err
	}
	bar.done()
	if c.Output == "json" {
		return writeJSON(p.Stdout, r)
	}
	_, err = fmt.Fprintf(p.Stdout, "restored backup %d of %s into %s: %d datasets with %s rows in their bases, %s files, %s, in %s\n", r.Backup,
		r.Time.Local().Format(time.DateTime), r.Data, r.Datasets, count(r.Rows), count(int64(r.Files)), bytesShown(r.Bytes), milliseconds(r.ElapsedMS))
	return err
}

type rerootCommand struct {
	Output string `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (*rerootCommand) Help() string {
	return `For a lake that was moved or copied: writes its Iceberg metadata anew with the locations where the files are now, so that Spark, Trino, PyIceberg and DuckDB read this lake. Until then they look where it was, and if the original is still there they read that one. tarn itself needs it not. No data is copied; all datasets change in one step; old snapshots leave the metadata.`
}

func (c *rerootCommand) Run(ctx context.Context, p *Program) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		bar := newProgress(p.Stderr, "reroot")
		defer bar.done()
		r, err := d.Reroot(ctx, bar.job)
		if err != nil {
			return err
		}
		bar.done()
		if c.Output == "json" {
			return writeJSON(p.Stdout, r)
		}
		_, err = fmt.Fprintf(p.Stdout, "%d of %d datasets have the new root %s (%s)\n", r.Rerooted, r.Datasets, r.Root, milliseconds(r.ElapsedMS))
		return err
	})
}

func milliseconds(ms float64) string { return elapsed(time.Duration(ms * float64(time.Millisecond))) }

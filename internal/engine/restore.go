package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"tarn/internal/backup"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

// RestoreRequest says which backup becomes which lake.
type RestoreRequest struct {
	Path    string  // the backup folder
	Backup  int64   // its number; 0: the newest
	Options Options // of the new lake; Data is an empty folder, or none yet, or a bucket with nothing under the prefix
}

// RestoreResult says what was restored.
type RestoreResult struct {
	Data           string    `json:"data"`
	Backup         int64     `json:"backup"`
	CatalogVersion int64     `json:"catalog_version" doc:"of the backup; the lake's own is later by the opening and the new root"`
	Time           time.Time `json:"time" doc:"of the instant that it is of"`
	Datasets       int       `json:"datasets"`
	Files          int       `json:"files"`
	Bytes          int64     `json:"bytes"`
	Rows           int64     `json:"rows" doc:"in the bases"`
	Rerooted       int       `json:"rerooted" doc:"datasets that got a new root, so that other readers of Iceberg find them here"`
	ElapsedMS      float64   `json:"elapsed_ms"`
}

// Restore makes a lake of a backup: every byte is copied under its hash, the lake
// is read whole and checked, and its root is made the place where it is now.
func Restore(ctx context.Context, r RestoreRequest, progress func(JobProgress)) (_ RestoreResult, err error) {
	began := time.Now()
	defer func() { err = lake.Step("restore", err) }()
	from, err := backup.Open(r.Path)
	if err != nil {
		return RestoreResult{}, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	b, err := from.Read(ctx, r.Backup)
	if err != nil {
		return RestoreResult{}, err
	}
	if bucket.IsURL(r.Options.Data) {
		err = restoreToBucket(ctx, from, b, r.Options, progress)
	} else if r.Options.Data, err = filepath.Abs(r.Options.Data); err == nil {
		err = restoreToFolder(ctx, from, b, r, progress)
	}
	if err != nil {
		return RestoreResult{}, err
	}
	report, err := VerifyLake(ctx, r.Options, progress)
	if err != nil {
		return RestoreResult{}, err
	}
	if len(report.Findings) > 0 {
		f := report.Findings[0]
		return RestoreResult{}, lake.Errorf(lake.CodeDamaged, "the lake was restored as it was backed up, and it is not whole: %s: %s (%d findings)", f.Key, f.Problem, len(report.Findings)).
			WithHint("tarn verify --data %s lists them all; restore an earlier backup with --backup into another place", r.Options.Data)
	}
	r.Options.Brief = true
	rerooted, err := RerootLake(ctx, r.Options, progress)
	if err != nil {
		return RestoreResult{}, err
	}
	return RestoreResult{
		Data: r.Options.Data, Backup: b.Number, CatalogVersion: b.CatalogVersion, Time: b.Time, Datasets: report.Datasets,
		Files: len(b.Files), Bytes: b.Size(), Rows: report.Rows, Rerooted: rerooted.Rerooted,
		ElapsedMS: float64(time.Since(began).Microseconds()) / 1000,
	}, nil
}

// restoreToFolder brings a backup's files into an empty folder, under its lock.
func restoreToFolder(ctx context.Context, from *backup.Folder, b format.Backup, r RestoreRequest, progress func(JobProgress)) (err error) {
	dir := r.Options.Data
	if within(dir, r.Path) || within(r.Path, dir) {
		return lake.Errorf(lake.CodeInvalidRequest, "the folders %s and %s lie within one another", r.Path, dir).WithHint("restore into another folder")
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return lake.Errorf(lake.CodeUnavailable, "look at the folder: %w", err)
	}
	for _, e := range entries {
		return lake.Errorf(lake.CodeInvalidRequest, "the folder %s is not empty: it holds %s", dir, e.Name()).
			WithHint("restore into an empty folder, or one that is not there yet; remove what a restore that failed left; nothing was touched")
	}
	to, lock, err := openEmpty(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close(), lock.Close()) }()
	scratch := filepath.Join(dir, "state", "restore")
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	return from.Restore(ctx, b, to, scratch, copying(progress))
}

// restoreToBucket brings a backup's files into a bucket that has nothing under the
// prefix. There is no lock: what two who restore to one place at once would mix, the check
// that follows finds.
func restoreToBucket(ctx context.Context, from *backup.Folder, b format.Backup, o Options, progress func(JobProgress)) (err error) {
	if o.State == "" {
		return needsState()
	}
	to, err := openBucket(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for info, err := range to.List(ctx, "", "") {
		if err != nil {
			return err
		}
		return lake.Errorf(lake.CodeInvalidRequest, "%s is not empty: it holds %s", o.Data, info.Key).
			WithHint("restore under a prefix with nothing below it; delete what a restore that failed left; nothing was touched")
	}
	if err := to.Probe(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(o.State, 0o755); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "make the state folder: %w", err)
	}
	scratch, err := os.MkdirTemp(o.State, "restore-")
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "make the scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	return from.Restore(ctx, b, to, scratch, copying(progress))
}

func copying(progress func(JobProgress)) func(done, total int64) {
	return func(done, total int64) {
		if progress != nil {
			progress(JobProgress{Step: "copy", Done: done, Total: total})
		}
	}
}

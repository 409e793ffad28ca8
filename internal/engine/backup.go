package engine

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"tarn/internal/backup"
	"tarn/internal/catalog"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

// BackupRequest asks for a copy of the lake as it is now in a folder of the server's
// machine, which may hold earlier backups of it.
type BackupRequest struct {
	Path string // absolute
	Keep int    // how many backups stay in the folder, this one included; 0: all
}

// BackupResult says what a backup holds and what had to be copied for it.
type BackupResult struct {
	Path           string    `json:"path"`
	Backup         int64     `json:"backup" doc:"its number in the folder"`
	CatalogVersion int64     `json:"catalog_version"`
	Time           time.Time `json:"time" doc:"of the instant that it is of: all that was acknowledged before is in it"`
	Datasets       int       `json:"datasets"`
	Files          int       `json:"files"`
	Bytes          int64     `json:"bytes"`
	CopiedFiles    int       `json:"copied_files" doc:"those that the folder did not have yet"`
	CopiedBytes    int64     `json:"copied_bytes"`
	RemovedFiles   int       `json:"removed_files" doc:"that only backups needed which were let go of"`
	ElapsedMS      float64   `json:"elapsed_ms"`
}

// Backup starts a job that copies the lake into a folder while everything goes on.
func (e *Engine) Backup(_ context.Context, r BackupRequest) (*Job, error) {
	if err := e.writable(); err != nil {
		return nil, err
	}
	if err := e.checkBackupPath(r.Path); err != nil {
		return nil, lake.Step("back up", err)
	}
	if r.Keep < 0 {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "back up: keep is %d", r.Keep).WithHint("0 keeps all backups in the folder")
	}
	return e.startJob("backup", "", func(ctx context.Context, progress func(job.Progress)) (any, error) {
		out, err := e.backup(ctx, r, progress)
		return result(out, lake.Step("back up", err))
	})
}

// checkBackupPath refuses a folder that has to do with the lake itself.
func (e *Engine) checkBackupPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return lake.Errorf(lake.CodeInvalidRequest, "%q is not the absolute path of a folder", path).
			WithHint("the folder is on the server's machine: name it from / on")
	}
	if e.opts.Data == "" {
		return nil
	}
	for _, dir := range []string{e.opts.Data, e.opts.State} {
		if bucket.IsURL(dir) {
			continue
		}
		if within(dir, path) || within(path, dir) {
			return lake.Errorf(lake.CodeInvalidRequest, "the folder %s and the lake's %s lie within one another", path, dir).
				WithHint("back up to another folder, best on another disk")
		}
	}
	return nil
}

// within says whether a path lies in a folder, or is it, as far as the disk tells.
func within(dir, path string) bool {
	rel, err := filepath.Rel(resolved(dir), resolved(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolved follows the symbolic links of a path's part that is there.
func resolved(path string) string {
	for rest := ""; ; {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(real, rest)
		}
		above := filepath.Dir(path)
		if above == path {
			return filepath.Join(path, rest)
		}
		path, rest = above, filepath.Join(filepath.Base(path), rest)
	}
}

func (e *Engine) backup(ctx context.Context, r BackupRequest, progress func(job.Progress)) (_ BackupResult, err error) {
	began := time.Now()
	to, err := backup.Create(ctx, r.Path)
	if err != nil {
		return BackupResult{}, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	at, release, err := e.instant(ctx)
	if err != nil {
		return BackupResult{}, err
	}
	defer release()
	w, err := to.Write(ctx, e.store, e.shop.FS, at, r.Keep, func(done, total int64) {
		progress(job.Progress{Step: "copy", Done: done, Total: total})
	})
	if err != nil {
		return BackupResult{}, err
	}
	out := BackupResult{
		Path: r.Path, Backup: w.Manifest.Number, CatalogVersion: w.Manifest.CatalogVersion, Time: w.Manifest.Time,
		Datasets: len(at.Version.Datasets), Files: len(w.Manifest.Files), Bytes: w.Manifest.Size(),
		CopiedFiles: w.CopiedFiles, CopiedBytes: w.CopiedBytes, RemovedFiles: w.Removed,
		ElapsedMS: float64(time.Since(began).Microseconds()) / 1000,
	}
	e.log.Info("backed up", "path", out.Path, "backup", out.Backup, "catalog_version", out.CatalogVersion, "files", out.Files, "bytes", out.Bytes,
		"copied_files", out.CopiedFiles, "copied_bytes", out.CopiedBytes, "elapsed_ms", out.ElapsedMS)
	return out, nil
}

// instant takes the lake as it is acknowledged now, and keeps what it reaches from
// being deleted until the release.
//
// The catalog's version is never older than what the datasets are known by: a
// commit is current before it is published. So it is the version that decides, and
// the datasets say up to which sequence each was acknowledged.
func (e *Engine) instant(ctx context.Context) (at backup.Instant, release func(), err error) {
	e.tidying.Lock() // nothing is being deleted now
	defer e.tidying.Unlock()
	at.Sequences = map[string]int64{}
	e.stream.Do(func() []lake.Entry {
		e.mu.RLock()
		defer e.mu.RUnlock()
		at.Version, at.Time = e.shop.Catalog.Current().Clone(), time.Now().UTC()
		for id, m := range e.mu.byUUID {
			at.Sequences[id] = m.ds.State().Sequence
		}
		return nil
	})
	if at.Body, err = e.store.Get(ctx, catalog.Key(at.Version.Number)); err != nil {
		return at, nil, err
	}
	var releases []func()
	for _, d := range at.Version.Datasets {
		releases = append(releases, e.shop.InUse(d.TableUUID), e.holds.Add(d.TableUUID))
	}
	return at, func() {
		for _, f := range releases {
			f()
		}
	}, nil
}

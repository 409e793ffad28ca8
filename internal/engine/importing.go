package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/zeebo/xxh3"

	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/imports"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/workshop"
)

// Import reads the files, then starts the job that brings them in.
func (e *Engine) Import(ctx context.Context, r ImportRequest) (*Job, error) {
	if err := e.mayWrite(); err != nil {
		return nil, err
	}
	if r.Mode == "" {
		r.Mode = ImportCreate
	}
	if r.OnDuplicate == "" {
		r.OnDuplicate = DuplicateError
	}
	step := "import " + r.Dataset.String()
	// A request that was done before is answered by its key, whatever has become of
	// the dataset since; it must not be refused for that.
	if err := e.checkImport(r); err != nil && r.Idempotency.Key == "" {
		return nil, lake.Step(step, err)
	}
	pad, err := e.shop.NewScratchpad("upload")
	if err != nil {
		return nil, lake.Step(step, err)
	}
	files, hash, err := e.takeFiles(r, pad)
	if err != nil {
		pad.Remove()
		return nil, lake.Step(step, err)
	}
	var before ImportResult
	req, done, err := e.begin(ctx, r.Idempotency, hash, &before)
	if err != nil || done {
		pad.Remove()
		if err != nil {
			return nil, lake.Step(step, err)
		}
		return e.doneJob("import", r.Dataset.String(), before), nil
	}
	if err := e.checkImport(r); err != nil {
		pad.Remove()
		req.end()
		return nil, lake.Step(step, err)
	}
	j, err := e.startJob("import", r.Dataset.String(), func(ctx context.Context, progress func(job.Progress)) (any, error) {
		defer pad.Remove()
		defer req.end()
		res, err := e.runImport(ctx, r, files, req, progress)
		if err != nil {
			return nil, lake.Step(step, err)
		}
		return res, nil
	})
	if err != nil {
		pad.Remove()
		req.end()
	}
	return j, err
}

// checkImport refuses early what cannot succeed; the commit checks again.
func (e *Engine) checkImport(r ImportRequest) error {
	switch r.Mode {
	case ImportCreate, ImportAppend, ImportReplace:
	default:
		return lake.Errorf(lake.CodeInvalidRequest, "unknown mode %q", r.Mode).WithHint("create, append or replace")
	}
	switch r.OnDuplicate {
	case DuplicateError, DuplicateLast:
	default:
		return lake.Errorf(lake.CodeInvalidRequest, "unknown on_duplicate %q", r.OnDuplicate).WithHint("error or last")
	}
	m, err := e.member(r.Dataset)
	if r.Mode == ImportCreate {
		if err == nil {
			return lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", r.Dataset).
				WithHint("drop it, choose another name, or import with mode append or replace")
		}
		return nil
	}
	if err == nil {
		err = notAttached(m.ds.State(), "an import")
	}
	if err != nil {
		return err
	}
	return sameKey(m.ds.State(), r.PrimaryKey)
}

// sameKey refuses a primary key that is not the dataset's; nil was not said.
func sameKey(s *dataset.State, key []string) error {
	if key == nil || s.Schema.SameKey(key) {
		return nil
	}
	return lake.Errorf(lake.CodeKeyMismatch, "the primary key of %s is (%s), not (%s)", s.Name, strings.Join(s.Schema.Key, ","), strings.Join(key, ",")).
		WithHint("leave primary_key out: it belongs to mode create")
}

// takeFiles spools what came as a body and gives all files, with the hash of
// what an Idempotency-Key covers.
func (e *Engine) takeFiles(r ImportRequest, pad *workshop.Scratchpad) ([]job.InputFile, string, error) {
	limit := e.set.MaxImportBytes
	if limit <= 0 {
		free, err := workshop.FreeBytes(e.scratch())
		if err != nil {
			return nil, "", err
		}
		limit = free
	}
	var files []job.InputFile
	h := xxh3.New128()
	for {
		f, err := r.Next()
		if err == io.EOF { // one that wraps EOF is a cut body
			break
		}
		if err != nil {
			return nil, "", readFailed(err)
		}
		path := f.Path
		if f.Body != nil {
			path = filepath.Join(pad.Dir, uuid.NewString())
			n, err := writeFile(path, io.TeeReader(io.LimitReader(f.Body, limit+1), h))
			if err != nil {
				return nil, "", lake.Step("take "+f.Name, err)
			}
			// Type and length keep the files apart within the hash.
			fmt.Fprintf(h, "\x00%s\x00%d\x00", f.Type, n)
			if limit -= n; limit < 0 {
				return nil, "", e.uploadTooLarge()
			}
		} else if _, err := os.Stat(path); err != nil {
			return nil, "", lake.Errorf(lake.CodeInvalidRequest, "%s: %w", f.Name, err)
		}
		files = append(files, job.InputFile{Path: path, Name: f.Name, Format: f.Format})
	}
	if len(files) == 0 {
		return nil, "", lake.Errorf(lake.CodeInvalidRequest, "there is no file to import")
	}
	sum := h.Sum128().Bytes()
	return files, string(sum[:]), nil
}

func (e *Engine) uploadTooLarge() error {
	if e.set.MaxImportBytes > 0 {
		return lake.Errorf(lake.CodeTooLarge, "the upload is larger than max_import_bytes (%d)", e.set.MaxImportBytes)
	}
	return lake.Errorf(lake.CodeOutOfDisk, "the upload is larger than the free disk").WithHint("free disk space, or import from files of this machine")
}

// runImport is the job.
func (e *Engine) runImport(ctx context.Context, r ImportRequest, files []job.InputFile, req replayed, progress func(job.Progress)) (ImportResult, error) {
	if err := e.checkDisk(files); err != nil {
		return ImportResult{}, err
	}
	leave, err := e.shop.EnterBulk(ctx)
	if err != nil {
		return ImportResult{}, err
	}
	defer leave()
	id := uuid.NewString()
	result := func(at lake.ReadPoint, rows int64) ImportResult {
		return ImportResult{Dataset: r.Dataset.String(), Rows: rows, Files: len(files), Sequence: at.Sequence, ReadPoint: at}
	}
	ir := imports.Request{
		Name: r.Dataset, Key: r.PrimaryKey, OnDuplicate: string(r.OnDuplicate), Files: files, Progress: progress,
		Catalog: func(next *format.Version, at lake.ReadPoint, rows int64) {
			e.remember(next, req, http.StatusOK, result(at, rows))
		},
	}
	if r.Mode == ImportCreate {
		if _, err := e.member(r.Dataset); err == nil {
			return ImportResult{}, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", r.Dataset)
		}
		done, err := e.importer.Create(ctx, id, ir)
		if err != nil {
			return ImportResult{}, err
		}
		e.register(done.State)
		return result(done.State.ReadPoint(), done.Rows), nil
	}
	m, err := e.member(r.Dataset)
	if err != nil {
		return ImportResult{}, err
	}
	unlock, err := m.ds.LockJobs(ctx)
	if err != nil {
		return ImportResult{}, err
	}
	defer unlock()
	if err := sameKey(m.ds.State(), r.PrimaryKey); err != nil {
		return ImportResult{}, err
	}
	into := e.importer.Append
	if r.Mode == ImportReplace {
		into = e.importer.Replace
	}
	done, err := whole(ctx, e, m, func() (imports.Done, error) { return into(ctx, m.compactor, ir) })
	if err != nil {
		return ImportResult{}, err
	}
	return result(done.State.ReadPoint(), done.Rows), nil
}

// checkDisk refuses an import that the disks cannot hold.
func (e *Engine) checkDisk(files []job.InputFile) error {
	need := int64(0)
	for _, f := range files {
		if fi, err := os.Stat(f.Path); err == nil {
			need += fi.Size()
		}
	}
	return e.shop.CheckDisk(need)
}

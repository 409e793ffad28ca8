package engine

import (
	"context"
	"errors"
	"os"

	"tarn/internal/backup"
	"tarn/internal/base"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/upkeep"
)

// Verify reads everything durable and says what is wrong. Upkeep rests meanwhile.
func (e *Engine) Verify(ctx context.Context, progress func(JobProgress)) (VerifyReport, error) {
	e.tidying.Lock()
	defer e.tidying.Unlock()
	s := e.store
	if e.remote != nil {
		s = e.remote.bucket // what is on this machine proves nothing
	}
	return verify(ctx, s, progress)
}

// VerifyLake is Verify of a lake that nobody has open, under its lock: nothing is
// recovered, cleared or written, so that all that is wrong is found and not only
// what an opening stumbles over.
//
// A backup folder is verified too: every file of every backup in it, and the newest
// one as the lake that it is. A lake in a bucket has no lock: it is read beside a
// server that may be writing it.
func VerifyLake(ctx context.Context, o Options, progress func(JobProgress)) (_ VerifyReport, err error) {
	if bucket.IsURL(o.Data) {
		b, err := openBucket(ctx, o)
		if err != nil {
			return VerifyReport{}, lake.Step("verify", err)
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		return verify(ctx, b, progress)
	}
	dir := o.Data
	if backup.Is(dir) {
		return verifyBackups(ctx, dir, progress)
	}
	s, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		return VerifyReport{}, lake.Step("verify", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	lock, err := store.Lock(dir, store.Holder{PID: os.Getpid()})
	if err != nil {
		return VerifyReport{}, lake.Step("verify", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return verify(ctx, s, progress)
}

func verify(ctx context.Context, s store.Store, progress func(JobProgress)) (VerifyReport, error) {
	v := upkeep.Verifier{Store: s, FS: base.NewFS(s, nil)}
	if progress != nil {
		v.Progress = func(done, total int64) {
			progress(JobProgress{Step: "read and check", Done: done, Total: total})
		}
	}
	r, err := v.Verify(ctx)
	out := VerifyReport{
		CatalogVersions: r.CatalogVersions, Datasets: r.Datasets, Objects: r.Objects, Bytes: r.Bytes, Rows: r.Rows,
		Unreachable: r.Unreachable, Findings: []Finding{},
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, Finding(f))
	}
	return out, err
}

func verifyBackups(ctx context.Context, dir string, progress func(JobProgress)) (_ VerifyReport, err error) {
	from, err := backup.Open(dir)
	if err != nil {
		return VerifyReport{}, lake.Step("verify", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	numbers, err := from.Numbers(ctx)
	if err != nil {
		return VerifyReport{}, lake.Step("verify", err)
	}
	var findings []Finding
	var all []format.Backup
	for _, n := range numbers {
		b, err := from.Read(ctx, n)
		if err != nil {
			findings = append(findings, Finding{backup.Key(n), err.Error()})
			continue
		}
		all = append(all, b)
	}
	files, bytes, err := from.Check(ctx, all, func(key string, err error) {
		findings = append(findings, Finding{backup.FileKey(key), err.Error()})
	})
	if err != nil {
		return VerifyReport{}, err
	}
	out := VerifyReport{Findings: []Finding{}}
	if len(all) > 0 {
		if out, err = verify(ctx, from.View(all[len(all)-1]), progress); err != nil {
			return out, err
		}
	}
	out.Backups, out.Objects, out.Bytes, out.Findings = len(all), files+len(all), bytes, append(findings, out.Findings...)
	if out.Findings == nil {
		out.Findings = []Finding{}
	}
	return out, nil
}

// noBackup refuses to take a backup folder for a lake.
func noBackup(dir string) error {
	if !backup.Is(dir) {
		return nil
	}
	return lake.Errorf(lake.CodeInvalidRequest, "%s holds backups, which are no lake", dir).
		WithHint("tarn restore %s --data DIR makes a lake of the newest", dir)
}

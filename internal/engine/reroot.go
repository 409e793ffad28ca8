package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// RerootResult says which root the datasets have now.
type RerootResult struct {
	Root      string  `json:"root" doc:"the URI of the lake where it is"`
	Rerooted  int     `json:"rerooted" doc:"datasets that had another root before"`
	Datasets  int     `json:"datasets"`
	ElapsedMS float64 `json:"elapsed_ms"`
}

// Reroot starts a job that writes the Iceberg metadata of a lake that was moved
// anew, under the place where it is now, so that other readers find its files here
// and not where it was.
func (e *Engine) Reroot(context.Context) (*Job, error) {
	if err := e.mayWrite(); err != nil {
		return nil, err
	}
	return e.startJob("reroot", "", func(ctx context.Context, progress func(job.Progress)) (any, error) {
		out, err := e.reroot(ctx, progress)
		return result(out, lake.Step("reroot", err))
	})
}

// moved is a dataset with its table under the new root.
type moved struct {
	member *member
	before *base.Table
	next   *base.Table
}

// reroot makes all tables anew, and all of them current by one catalog version.
// Meanwhile nobody else commits to a base: imports and compactions wait.
func (e *Engine) reroot(ctx context.Context, progress func(job.Progress)) (RerootResult, error) {
	began := time.Now()
	leave, err := e.shop.EnterBulk(ctx)
	if err != nil {
		return RerootResult{}, err
	}
	defer leave()
	out := RerootResult{Root: e.store.Root()}
	var all []moved
	members := e.members()
	for i, m := range members {
		progress(job.Progress{Step: "write metadata", Done: int64(i), Total: int64(len(members))})
		unlock, err := m.ds.LockJobs(ctx)
		if err != nil {
			return RerootResult{}, err
		}
		defer unlock()
		s := m.ds.State()
		if s.Dropped {
			continue
		}
		out.Datasets++
		if s.Table.Root() == out.Root {
			continue
		}
		defer e.shop.InUse(s.UUID)()
		next, err := s.Table.Reroot(ctx, out.Root)
		if err != nil {
			return RerootResult{}, lake.Step("dataset "+s.Name.String(), err)
		}
		all = append(all, moved{m, s.Table, next})
	}
	if len(all) > 0 {
		if err := e.makeRerooted(all); err != nil {
			return RerootResult{}, err
		}
		e.log.Info("rerooted", "root", out.Root, "datasets", len(all))
	}
	out.Rerooted, out.ElapsedMS = len(all), float64(time.Since(began).Microseconds())/1000
	return out, nil
}

// makeRerooted makes the new metadata current and publishes them. It runs under the
// engine's own context: a commit that was begun must be known to have gone in or not.
func (e *Engine) makeRerooted(all []moved) error {
	err := e.shop.CommitCatalog(e.ctx, func(next *format.Version) error {
		for _, one := range all {
			entry := next.Find(one.before.UUID())
			if entry == nil {
				continue // dropped meanwhile
			}
			if entry.Metadata != one.before.MetadataKey() {
				return lake.Errorf(lake.CodeInternal, "the base moved from %s to %s meanwhile; nothing was committed", one.before.MetadataKey(), entry.Metadata)
			}
			entry.Metadata = one.next.MetadataKey()
		}
		return nil
	}, func(v *format.Version) bool {
		for _, one := range all {
			if entry := v.Find(one.before.UUID()); entry != nil && entry.Metadata != one.next.MetadataKey() {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, one := range all {
		s := one.member.ds.State()
		if s.Dropped {
			continue
		}
		files, err := e.shop.ReadableAfterCommit(e.ctx, one.next, s.Files)
		if err != nil {
			return lake.Step("dataset "+s.Name.String(), err)
		}
		one.member.committer.PublishFold(change.NewBase{Table: one.next, Files: files, FoldedThrough: one.next.FoldedThrough()})
	}
	return nil
}

// RerootLake is Reroot of a lake that nobody has open.
func RerootLake(ctx context.Context, o Options, progress func(JobProgress)) (_ RerootResult, err error) {
	e, err := Open(ctx, o)
	if err != nil {
		return RerootResult{}, err
	}
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()
	out, err := e.reroot(ctx, func(p job.Progress) {
		if progress != nil {
			progress(JobProgress(p))
		}
	})
	return out, lake.Step("reroot", err)
}

// openEmpty makes a folder that is to become a lake, under its lock.
func openEmpty(ctx context.Context, dir string) (*store.Local, *store.LockFile, error) {
	s, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		return nil, nil, err
	}
	lock, err := store.Lock(dir, store.Holder{PID: os.Getpid()})
	if err == nil {
		if err = s.Probe(ctx); err == nil {
			return s, lock, nil
		}
		err = errors.Join(err, lock.Close(), os.Remove(filepath.Join(dir, "lock")))
	}
	return nil, nil, errors.Join(err, s.Close())
}

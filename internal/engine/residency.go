package engine

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"tarn/internal/cache"
	"tarn/internal/dataset"
	"tarn/internal/fileid"
	"tarn/internal/lake"
	"tarn/internal/store/diskcache"
	"tarn/internal/worker"
)

// residency is which datasets of a lake in a bucket have their files on this
// machine. A dataset is in one of two states:
//
//   - absent: the worker was told of its files as lake.NotLocal, and answers
//     CodeNotLocal instead of reading any
//   - resident: all files of its base are held in the disk cache, and the worker
//     knows the identity of each
//
// A query that meets absent datasets makes them resident and runs again. A new base
// is absent at first; what was held for the old one is let go with the next change
// of state. To make room the dataset that was used longest ago becomes absent; its
// files are released once every query that may read them has ended.
type residency struct {
	e  *Engine
	mu struct {
		sync.Mutex
		byUUID map[string]*resident
	}
}

// resident is one dataset's part in it.
type resident struct {
	// turn holds an element while somebody changes what is held.
	turn chan struct{}
	held map[string]heldFile // by key; guarded by turn

	users int       // who must not lose it; guarded by residency.mu
	used  time.Time // guarded by residency.mu
}

type heldFile struct {
	diskcache.Held
	identity string
}

func (r *residency) init(e *Engine) {
	r.e = e
	r.mu.byUUID = map[string]*resident{}
}

func (r *residency) of(uuid string) *resident {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.mu.byUUID[uuid]
	if one == nil {
		one = &resident{turn: make(chan struct{}, 1)}
		r.mu.byUUID[uuid] = one
	}
	return one
}

// acquire makes a dataset resident, and keeps it so until release.
func (r *residency) acquire(ctx context.Context, uuid string) (release func(), err error) {
	one := r.of(uuid)
	r.mu.Lock()
	one.users++
	one.used = time.Now()
	r.mu.Unlock()
	leave := sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		one.users--
	})
	defer func() {
		if err != nil {
			leave()
		}
	}()
	select {
	case one.turn <- struct{}{}:
		defer func() { <-one.turn }()
	case <-ctx.Done():
		return nil, lake.Step("wait for the files of a dataset", ctx.Err())
	}
	for {
		m := r.e.memberByUUID(uuid)
		if m == nil || m.ds.State().Dropped {
			return nil, lake.Errorf(lake.CodeDatasetNotFound, "the dataset was dropped meanwhile")
		}
		shown, err := r.show(ctx, one, uuid, m)
		if err != nil {
			return nil, lake.Step("bring the files of "+m.ds.State().Name.String()+" to this machine", err)
		}
		if shown {
			return leave, nil
		}
	}
}

// show holds the files of a dataset's base and tells the worker; false when the base
// is another one by then, or a follower has built the dataset anew. The caller has the
// turn.
func (r *residency) show(ctx context.Context, one *resident, uuid string, m *member) (bool, error) {
	s := m.ds.State()
	held, err := r.hold(ctx, needsOf(s.Files))
	if err != nil {
		return false, err
	}
	files := local(s.Files, held)
	same := false
	r.e.stream.Do(func() []lake.Entry {
		now := m.ds.State()
		if same = r.e.memberByUUID(uuid) == m && now.Table == s.Table && !now.Dropped; !same || sameIdentities(files, now.Files) {
			return nil
		}
		next := m.ds.Update(func(n *dataset.State) { n.Files = files })
		return []lake.Entry{next.Publish(false)}
	})
	if !same {
		releaseAll(held)
		return false, nil
	}
	old := one.held
	one.held = held
	r.retire(old)
	return true, nil
}

// hold holds files, with the identity of each.
func (r *residency) hold(ctx context.Context, needs []diskcache.Need) (map[string]heldFile, error) {
	files, err := r.e.remote.disk.Hold(ctx, needs)
	if err != nil {
		return nil, gone(err)
	}
	out := make(map[string]heldFile, len(files))
	for _, f := range files {
		out[f.Key] = heldFile{Held: f}
	}
	for key, f := range out {
		if f.identity, err = fileid.Of(f.Path); err != nil {
			releaseAll(out)
			r.e.remote.disk.Discard(key)
			return nil, lake.Errorf(lake.CodeUnavailable, "%s left the disk cache: %w", key, err).WithHint("try again; it is brought anew")
		}
		out[key] = f
	}
	return out, nil
}

// gone is the error of a file of a base that is not in the bucket any more, in the words
// of every other file that is missing.
func gone(err error) error {
	if lake.CodeOf(err) != lake.CodeNotFound {
		return err
	}
	return lake.Errorf(lake.CodeDamaged, "a file of the base is missing: %w", err).
		WithHint("restore it from a backup or a copy of the lake")
}

// needsOf lists the files that reading some data files takes, each once.
func needsOf(files []lake.BaseFile) []diskcache.Need {
	var out []diskcache.Need
	seen := map[string]bool{}
	add := func(key string, bytes int64) {
		if !seen[key] {
			seen[key] = true
			out = append(out, diskcache.Need{Key: key, Size: bytes})
		}
	}
	for _, f := range files {
		add(f.Key, f.Bytes)
		for _, d := range f.Deletes {
			add(d.Key, d.Bytes)
		}
	}
	return out
}

// local is data files with path and identity of what is held.
func local(files []lake.BaseFile, held map[string]heldFile) []lake.BaseFile {
	out := slices.Clone(files)
	for i := range out {
		f := &out[i]
		f.Path, f.Identity = held[f.Key].Path, held[f.Key].identity
		f.Deletes = slices.Clone(f.Deletes)
		for d := range f.Deletes {
			of := &f.Deletes[d]
			of.Path, of.Identity = held[of.Key].Path, held[of.Key].identity
		}
	}
	return out
}

func absent(files []lake.BaseFile) []lake.BaseFile {
	out := slices.Clone(files)
	for i := range out {
		out[i].Identity = lake.NotLocal
	}
	return out
}

func releaseAll(held map[string]heldFile) {
	for _, f := range held {
		f.Release()
	}
}

// retire releases files once nobody reads them any more.
func (r *residency) retire(held map[string]heldFile) {
	if len(held) == 0 {
		return
	}
	r.e.going.Go(func() {
		_ = r.e.readersGone(r.e.ctx) // the end of the engine ends the readers too
		releaseAll(held)
	})
}

// hide makes a dataset absent and gives what was held for it. The caller has the
// turn.
func (r *residency) hide(one *resident, uuid string) map[string]heldFile {
	r.e.stream.Do(func() []lake.Entry {
		m := r.e.memberByUUID(uuid)
		if m == nil {
			return nil
		}
		s := m.ds.State()
		if s.Dropped || len(s.Files) == 0 || s.Files[0].Identity == lake.NotLocal {
			return nil
		}
		next := m.ds.Update(func(n *dataset.State) { n.Files = absent(n.Files) })
		return []lake.Entry{next.Publish(false)}
	})
	held := one.held
	one.held = nil
	return held
}

// makeRoom makes the datasets absent that were used longest ago, until files with so
// many bytes are nobody's any more.
func (r *residency) makeRoom(ctx context.Context, bytes int64) error {
	var all []map[string]heldFile
	for _, uuid := range r.victims() {
		if bytes <= 0 {
			break
		}
		one := r.of(uuid)
		select {
		case one.turn <- struct{}{}:
		default:
			continue
		}
		r.mu.Lock()
		spared := one.users > 0
		r.mu.Unlock()
		if !spared && len(one.held) > 0 {
			held := r.hide(one, uuid)
			for key := range held {
				bytes -= r.e.remote.disk.Size(key)
			}
			all = append(all, held)
		}
		<-one.turn
	}
	if len(all) == 0 {
		return lake.Errorf(lake.CodeOutOfDisk, "every file of the disk cache is in use")
	}
	err := r.e.readersGone(ctx)
	for _, held := range all {
		if err != nil {
			r.retire(held)
			continue
		}
		releaseAll(held)
	}
	return err
}

// victims are the datasets in the order in which they lose their files.
func (r *residency) victims() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for uuid, one := range r.mu.byUUID {
		if one.users == 0 {
			out = append(out, uuid)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(r.mu.byUUID[a].used.Compare(r.mu.byUUID[b].used), cmp.Compare(a, b))
	})
	return out
}

// forgetDropped lets go of what is held for datasets that are gone.
func (r *residency) forgetDropped() {
	for _, uuid := range r.victims() {
		if r.e.memberByUUID(uuid) != nil {
			continue
		}
		one := r.of(uuid)
		select {
		case one.turn <- struct{}{}:
			r.retire(r.hide(one, uuid))
			<-one.turn
		default: // the next round
			continue
		}
		r.mu.Lock()
		if one.users == 0 {
			delete(r.mu.byUUID, uuid)
		}
		r.mu.Unlock()
	}
}

// touch notes a use.
func (r *residency) touch(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.mu.byUUID[uuid]; one != nil {
		one.used = time.Now()
	}
}

// recheck makes a dataset absent whose files on this machine are not those that were
// checked, and forgets these files: true where there was one.
func (r *remote) recheck(m *member) bool {
	uuid := m.ds.State().UUID
	one := r.here.of(uuid)
	one.turn <- struct{}{}
	defer func() { <-one.turn }()
	var bad []string
	for key, f := range one.held {
		if id, err := fileid.Of(f.Path); err != nil || id != f.identity {
			bad = append(bad, key)
		}
	}
	if len(bad) == 0 {
		return false
	}
	for _, key := range bad {
		r.here.e.log.Warn("a file of the disk cache was changed by somebody else; it is brought anew", "key", key)
		r.disk.Discard(key)
	}
	r.here.retire(r.here.hide(one, uuid))
	return true
}

// bringFiles is workshop.BringFiles.
func (e *Engine) bringFiles(ctx context.Context, files []lake.BaseFile) ([]lake.BaseFile, func(), error) {
	held, err := e.remote.here.hold(ctx, needsOf(files))
	if err != nil {
		return nil, nil, lake.Step("bring base files to this machine", err)
	}
	return local(files, held), func() { releaseAll(held) }, nil
}

// imageWorker is the worker as the cache of images sees it.
func (e *Engine) imageWorker() cache.Worker {
	if e.remote == nil {
		return e.worker
	}
	return residentImages{e.worker, e}
}

// residentImages brings a dataset's files before its image is loaded.
type residentImages struct {
	*worker.Supervisor
	e *Engine
}

func (w residentImages) LoadImage(ctx context.Context, uuid string) (image cache.Image, err error) {
	err = w.here(ctx, uuid, func() error {
		image, err = w.Supervisor.LoadImage(ctx, uuid)
		return err
	})
	return image, err
}

func (w residentImages) ProjectImage(ctx context.Context, uuid string) (bytes int64, err error) {
	err = w.here(ctx, uuid, func() error {
		bytes, err = w.Supervisor.ProjectImage(ctx, uuid)
		return err
	})
	return bytes, err
}

func (w residentImages) here(ctx context.Context, uuid string, do func() error) error {
	err := do()
	for try := 0; lake.CodeOf(err) == lake.CodeNotLocal && try < hereTries; try++ {
		release, bringErr := w.e.remote.here.acquire(ctx, uuid)
		if bringErr != nil {
			return bringErr
		}
		err = do()
		release()
	}
	return err
}

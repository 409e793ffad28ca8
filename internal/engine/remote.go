package engine

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tarn/internal/base"
	"tarn/internal/delta"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/store/diskcache"
	"tarn/internal/workshop"
)

// remote is what an opened lake in a bucket has besides: the bucket without its
// disk cache, the cache, and what this server knows of being the one that writes.
type remote struct {
	bucket store.Store
	health health
	disk   *diskcache.Cache
	here   residency
	fence  fence

	sealedIn time.Duration
}

// health is what a bucket says of its last calls.
type health interface {
	Health() bucket.Health
	Refusal() error
}

// diskCacheName is the disk cache's folder in the state folder.
const diskCacheName = "disk-cache"

// lakeNote is the file of a state folder that says which bucket it was used for last.
const lakeNote = "lake"

// StateIsOf says whether a state folder was last used for the lake in a bucket.
func StateIsOf(state, data string) bool {
	noted, err := os.ReadFile(filepath.Join(state, lakeNote))
	return err == nil && strings.TrimRight(string(noted), "/") == strings.TrimRight(data, "/")
}

// openRemote opens the bucket, probes it, and puts the disk cache before it. A follower
// puts nothing, and so does not probe.
func (e *Engine) openRemote(ctx context.Context) error {
	if e.opts.State == "" {
		return needsState()
	}
	state, err := filepath.Abs(e.opts.State)
	if err != nil {
		return err
	}
	e.opts.State = state
	if err := e.openScratch(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, lakeNote), []byte(e.opts.Data), 0o644); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "note the lake in the state folder: %w", err)
	}
	r := &remote{bucket: e.opts.Store}
	if r.bucket == nil {
		b, err := openBucket(ctx, e.opts.with(e.set))
		if err != nil {
			return err
		}
		r.bucket = b
	}
	r.health, _ = r.bucket.(health)
	closeBucket := func() {
		if e.opts.Store == nil {
			_ = r.bucket.Close()
		}
	}
	if err := e.probe(ctx, r.bucket); err != nil {
		closeBucket()
		return err
	}
	failpoint.Hit("open.probed")
	if e.opts.ReadOnly {
		r.bucket = readOnlyStore{r.bucket}
	}
	if err := e.openDisk(r); err != nil {
		closeBucket()
		return err
	}
	e.remote, e.store = r, diskcache.NewStore(r.disk)
	r.here.init(e)
	return nil
}

func needsState() error {
	return lake.Errorf(lake.CodeInvalidRequest, "a lake in a bucket needs a folder of this machine's own").
		WithHint("name one by --state: for the disk cache, scratch and pins; nothing in it is needed by another machine")
}

// probe finds out whether a lake can be written to a bucket, or is there to be followed.
func (e *Engine) probe(ctx context.Context, s store.Store) error {
	if e.opts.ReadOnly {
		for _, err := range s.List(ctx, "catalog/", "") {
			return err
		}
		return lake.Errorf(lake.CodeNotFound, "there is no lake in %s to follow", s.Root()).WithHint("name the bucket and prefix of a lake; a follower makes none")
	}
	if b, ok := s.(*bucket.Bucket); ok {
		return b.Probe(ctx)
	}
	return nil
}

// with takes the settings that a bucket is opened by.
func (o Options) with(s Settings) Options {
	o.Settings = s
	return o
}

func openBucket(ctx context.Context, o Options) (*bucket.Bucket, error) {
	place, err := bucket.ParsePlace(o.Data)
	if err != nil {
		return nil, err
	}
	return bucket.Open(ctx, place, bucket.Options{
		Endpoint: o.Bucket.Endpoint, Region: o.Bucket.Region, PathStyle: o.Bucket.PathStyle,
		Timeout: o.Settings.StoreTimeout, Log: o.Log,
	})
}

// LakeExists says whether there is a lake in the bucket that the options name.
func LakeExists(ctx context.Context, o Options) (bool, error) {
	b, err := openBucket(ctx, o)
	if err != nil {
		return false, err
	}
	defer b.Close()
	for _, err := range b.List(ctx, "catalog/", "") {
		return err == nil, err
	}
	return false, nil
}

// The disk cache has most of what its disk has free, unless said, and at most so
// much; below the least nothing of use fits. What tarn writes itself stays well below
// its size.
const (
	mostDiskCache  = 100 * gb
	leastDiskCache = 64 * mib
)

func (e *Engine) openDisk(r *remote) (err error) {
	dir := filepath.Join(e.opts.State, diskCacheName)
	budget := e.set.DiskCacheBytes
	if budget == 0 {
		free, err := workshop.FreeBytes(e.opts.State)
		if err != nil {
			return err
		}
		budget = max(leastDiskCache, min(mostDiskCache, (free+folderBytes(dir))/5*4))
	}
	if budget < leastDiskCache {
		return badSetting("DiskCacheBytes", budget, "must be at least 64MiB")
	}
	e.set.DiskCacheBytes = budget
	if most := budget / 8; most < gib && (e.set.TargetFileBytes == 0 || e.set.TargetFileBytes > most) {
		e.set.TargetFileBytes = most
	}
	e.set.MaxBodyBytes = min(e.set.MaxBodyBytes, budget/4)
	e.set.MaxPendingBytes = min(e.set.MaxPendingBytes, budget/4)
	r.disk, err = diskcache.New(r.bucket, diskcache.Options{
		Dir: dir, BudgetBytes: budget, Check: checkFile, MakeRoom: r.here.makeRoom, Log: e.log,
		Keep:  func(key string) bool { return strings.HasSuffix(key, ".parquet") },
		Reuse: func(key string) bool { _, hashed := base.HashInName(key); return hashed },
	})
	return err
}

func folderBytes(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if fi, err := d.Info(); err == nil {
				sum += fi.Size()
			}
		}
		return nil
	})
	return sum
}

// checkFile holds a file that came from the bucket against the hash that its object
// carries: a delta within, a file of a base in its name.
func checkFile(ctx context.Context, key, path string) error {
	if _, _, ok := delta.ParseKey(key); !ok {
		return base.CheckFile(ctx, key, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "%s: %w", key, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "%s: %w", key, err)
	}
	_, err = format.ReadDeltaHeader(key, f, fi.Size())
	return err
}

// refusing says whether the bucket is not called for now.
func (r *remote) refusing() bool { return r.refusal() != nil }

func (r *remote) refusal() error {
	if r.health == nil {
		return nil
	}
	return r.health.Refusal()
}

func (r *remote) down() bool { return r.health != nil && r.health.Health().Down }

func (e *Engine) diskStats() *CacheDisk {
	if e.remote == nil {
		return nil
	}
	s := e.remote.disk.Stats()
	return &CacheDisk{
		BudgetBytes: s.BudgetBytes, UsedBytes: s.UsedBytes, HeldBytes: s.HeldBytes, Files: s.Files, Hits: s.Hits, Misses: s.Misses,
		FilledBytes: s.FilledBytes, Evictions: s.Evictions, Refilled: s.Refilled, StoreDown: e.Outage(),
	}
}

// leaveFolded lets the deltas go from this machine that are folded, once nobody
// reads them.
func (e *Engine) leaveFolded(ctx context.Context) error {
	if e.remote == nil {
		return nil
	}
	e.remote.here.forgetDropped()
	folded := map[*member]int64{}
	for _, m := range e.members() {
		folded[m] = m.ds.State().FoldedThrough
	}
	if err := e.readersGone(ctx); err != nil {
		return err
	}
	for m, through := range folded {
		m.ds.Log.Leave(through)
	}
	return nil
}

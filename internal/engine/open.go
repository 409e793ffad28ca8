package engine

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"tarn/internal/base"
	"tarn/internal/cache"
	"tarn/internal/catalog"
	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/dataset"
	"tarn/internal/delta"
	"tarn/internal/failpoint"
	"tarn/internal/foreign"
	"tarn/internal/format"
	"tarn/internal/handover"
	"tarn/internal/imports"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/results"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/upkeep"
	"tarn/internal/worker"
	"tarn/internal/workshop"
)

// Options say which lake to open and with what.
type Options struct {
	Data     string   // the lake's folder, made if absent; or a bucket: s3://…, gs://…, azblob://…
	State    string   // this node's own folder; "" is <Data>/state. Needed for a bucket
	Bucket   Bucket   // how to reach a bucket
	URL      string   // where this server answers, for the lock file; may be set later by SetURL
	Settings Settings // zero fields are defaults of a machine with MemoryBytes
	// MemoryBytes is what this machine, or its cgroup, has.
	MemoryBytes int64
	// WorkerCommand and JobCommand are the argv of `tarn worker` and `tarn job`;
	// nil runs them inside this process, for tests.
	WorkerCommand []string
	JobCommand    []string
	// Brief says that the lake is open for a command or two: no image is loaded
	// unless it is pinned now.
	Brief bool
	// ReadOnly opens a lake beside the process that writes it and follows it: nothing
	// is changed, and State must be elsewhere.
	ReadOnly bool
	// Clusters answer queries that ask for them by their name; nil: none.
	Clusters map[string]handover.Cluster
	// Foreign is where tables of others may be attached from; nil: nowhere.
	Foreign  *foreign.Places
	Log      *slog.Logger
	Registry *prometheus.Registry // nil: metrics of its own, unseen

	// Store replaces the local one, in tests; the lake's lock is then skipped. Shared
	// says that other machines reach it too, as they do a bucket.
	Store  store.Store
	Shared bool
	// Now is the clock of deltas, catalog versions and retention; nil is time.Now. In
	// tests it jumps.
	Now func() time.Time
}

// Bucket is how to reach the bucket that Data names. Credentials come from where
// the provider's own tools have them.
type Bucket struct {
	Endpoint  string // of an S3 store that is not AWS
	Region    string
	PathStyle bool
}

// Engine is an opened lake.
type Engine struct {
	opts  Options
	set   Settings
	log   *slog.Logger
	store store.Store
	lock  *store.LockFile

	remote *remote // nil: the lake is on this machine

	stateLock  *store.LockFile
	scratchDir string

	shop      *workshop.Workshop
	shared    *change.Shared
	stream    *worker.Stream
	worker    *worker.Supervisor
	queries   *query.Runner
	cache     *cache.Cache
	results   *results.Cache
	importer  *imports.Importer
	collector *upkeep.Collector
	follower  *follower // nil where the lake is written
	metrics   *metrics
	jobs      jobs
	bodies    *semaphore.Weighted // bytes of the bodies in memory
	// made is bodies for what statements give. Those who hold bodies may wait for a
	// committer; a statement has its committer, so it must not wait for them.
	made  *semaphore.Weighted
	asked lastAsked
	// holding is the table whose rows are to be held next.
	holding chan string
	idem    change.Inflight // of requests to the catalog
	holds   holds           // of backups that are being made, and of feeds
	feeds   *feeds
	folds   folds // that loads of Iceberg tables wait for
	// named is held for reading by commits of other programs, which name files that they
	// found in the lake, and for writing while files are deleted.
	named sync.RWMutex

	ctx       context.Context // of everything durable; ends in Close
	cancel    context.CancelFunc
	going     sync.WaitGroup // goroutines of upkeep, policy and jobs
	draining  atomic.Bool
	drained   chan struct{} // closed as draining begins
	tidying   sync.Mutex
	closeOnce sync.Once
	closeErr  error

	mu struct {
		sync.RWMutex                    // held within Stream.Do, never the other way round across I/O
		byName       map[string]*member // by Name.Key()
		byUUID       map[string]*member
	}
}

// member is a dataset with its activities.
type member struct {
	ds        *dataset.Dataset
	committer *change.Committer
	compactor *compaction.Compactor
	policy    backOff
	syncing   backOff
}

// Open opens a lake, or makes a new one, and recovers it: every acknowledged
// change is there, nothing in part, and what nobody can reach is cleared up.
//
// lake.CodeLocked: another process has it. lake.CodeDamaged names the file.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = 4 * gib
	}
	set := o.Settings.withDefaults(o.MemoryBytes)
	if err := set.check(); err != nil {
		return nil, lake.Step("open the lake", err)
	}
	e := &Engine{opts: o, set: set, log: o.Log, feeds: newFeeds(set.MaxFeeds), drained: make(chan struct{}), holding: make(chan string, 1)}
	e.mu.byName, e.mu.byUUID = map[string]*member{}, map[string]*member{}
	e.jobs.init()
	e.bodies = semaphore.NewWeighted(largeBodies * e.set.SpoolBytes)
	e.made = semaphore.NewWeighted(largeBodies * e.set.SpoolBytes)
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close(context.WithoutCancel(ctx)))
			err = lake.Step("open the lake", err)
		}
	}()
	if err := e.openStore(ctx); err != nil {
		return nil, err
	}
	failpoint.Hit("open.store")
	if err := e.openShop(ctx); err != nil {
		return nil, err
	}
	if o.ReadOnly {
		return e, e.openFollowing(ctx)
	}
	failpoint.Hit("open.epoch")
	last, err := e.openDatasets(ctx)
	if err != nil {
		return nil, err
	}
	failpoint.Hit("open.datasets")
	_, answers := e.set.cacheShares()
	e.results = results.New(answers)
	e.shared = &change.Shared{
		Clock: change.NewClock(o.Now, last.position, last.at),
		Epoch: e.shop.Catalog.Current().Epoch, Log: e.log, Limits: e.set.changeLimits(),
		Rows:     e.results,
		Settling: e.shop.Settling,
	}
	e.stream = worker.NewStream(e.replay)
	e.shared.Stream = e.stream
	if e.remote != nil {
		e.shared.Refusing = e.remote.refusing
	}
	e.collector = &upkeep.Collector{
		Store: e.store, Catalog: e.shop.Catalog, FS: e.shop.FS, InUse: e.shop.TablesInUse, Readers: e.readersGone,
		Forget: e.shop.Verifier.Forget, Log: e.log, Grace: e.set.IcebergFileGrace, Now: e.opts.Now,
		Alone: func() func() { e.named.Lock(); return e.named.Unlock },
	}
	if err := e.recoverDeltas(ctx); err != nil {
		return nil, err
	}
	failpoint.Hit("open.deltas-recovered")
	if e.remote != nil {
		e.collector.StillOurs = e.shop.Catalog.Overtaken
		if err := e.seal(ctx); err != nil {
			return nil, err
		}
		failpoint.Hit("open.sealed")
	} else if err := e.fillGaps(ctx); err != nil {
		return nil, err
	}
	if err := e.settleTransactions(ctx); err != nil {
		return nil, err
	}
	if e.remote == nil {
		if _, err := e.collector.CollectAtOpen(ctx); err != nil { // in a bucket the first upkeep does
			return nil, err
		}
	}
	failpoint.Hit("open.collected")
	if err := e.startWorker(ctx); err != nil {
		return nil, err
	}
	if err := e.openCache(); err != nil {
		return nil, err
	}
	failpoint.Hit("open.worker-started")
	e.metrics = newMetrics(e, o.Registry)
	for _, m := range e.mu.byUUID {
		m.start(e)
	}
	if e.remote != nil {
		e.going.Go(e.watchEpoch)
	}
	e.going.Go(e.runUpkeep)
	e.going.Go(e.runPolicy)
	e.going.Go(e.runSync)
	e.going.Go(e.runHolding)
	if !o.Brief {
		e.going.Go(func() { e.cache.Run(e.ctx) })
	}
	return e, nil
}

func (e *Engine) openStore(ctx context.Context) error {
	switch {
	case bucket.IsURL(e.opts.Data) || e.opts.Shared:
		return e.openRemote(ctx)
	case e.opts.ReadOnly:
		if err := e.openReadOnly(); err != nil {
			return err
		}
	case e.opts.Store != nil:
		e.store = e.opts.Store
	default:
		dir, err := filepath.Abs(e.opts.Data)
		if err != nil {
			return err
		}
		if err := noBackup(dir); err != nil {
			return err
		}
		// The root is looked at first, so that a refused one stays as it was; the
		// disk is probed under the lock.
		local, err := store.OpenLocal(dir, store.LocalOptions{SkipProbe: true})
		if err != nil {
			return err
		}
		if e.lock, err = store.Lock(dir, store.Holder{PID: os.Getpid(), URL: e.opts.URL}); err != nil {
			return errors.Join(err, local.Close())
		}
		e.store = local
		if err := local.Probe(ctx); err != nil {
			return err
		}
		if err := local.Sweep(ctx); err != nil {
			return err
		}
		e.opts.Data = dir
	}
	if e.opts.State == "" {
		e.opts.State = filepath.Join(e.opts.Data, "state")
	}
	return e.openScratch()
}

func (e *Engine) openShop(ctx context.Context) error {
	cat := catalog.Follow(e.store)
	if !e.opts.ReadOnly {
		var err error
		if cat, err = catalog.Open(ctx, e.store, catalog.Options{Now: e.opts.Now, TakeOver: e.remote != nil}); err != nil {
			return err
		}
	}
	verifier, err := base.OpenVerifier(e.store, filepath.Join(e.opts.State, "verified.jsonl"))
	if err != nil {
		return err
	}
	fs := base.NewFS(e.store, verifier)
	e.shop = &workshop.Workshop{
		Context: e.ctx, Store: e.store, FS: fs, Catalog: cat, Verifier: verifier, Scratch: e.scratch(),
		LakeDirs: e.lakeDirs(), KeepSnapshots: e.set.SnapshotRetention, Limits: workshop.Limits{MemoryBytes: e.set.JobMemoryBytes, Threads: e.jobThreads}, Log: e.log,
	}
	if e.opts.JobCommand != nil {
		e.shop.Runner = &job.Process{Command: e.opts.JobCommand, Threads: e.jobThreads, Log: e.log}
	} else {
		e.shop.Runner = job.Inside{Threads: e.jobThreads}
	}
	if e.remote != nil {
		e.shop.BringFiles = e.bringFiles
	}
	e.shop.Init()
	e.importer = &imports.Importer{Shop: e.shop, TargetFileBytes: e.set.TargetFileBytes, MaxRowBytes: e.set.MaxRowBytes, FormatVersion: e.set.IcebergFormatVersion}
	return nil
}

// lakeDirs are the folders whose durable files worker and jobs may read.
func (e *Engine) lakeDirs() []string {
	dirs := []string{e.opts.State}
	if e.opts.Data != "" && e.remote == nil {
		dirs = append(dirs, e.opts.Data)
	}
	return dirs
}

// lastDelta is the newest position and time among all deltas of the lake.
type lastDelta struct {
	position int64
	at       time.Time
}

// openDatasets loads every dataset of the current catalog version.
func (e *Engine) openDatasets(ctx context.Context) (lastDelta, error) {
	var mu sync.Mutex
	var last lastDelta
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(e.openLimit())
	for _, entry := range e.shop.Catalog.Current().Datasets {
		g.Go(func() error {
			ds, err := e.openDataset(gctx, entry)
			if err != nil {
				return lake.Step("dataset "+entry.LakeName().String(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, d := range ds.State().Deltas {
				last.position = max(last.position, d.LakePosition)
				if d.Time.After(last.at) {
					last.at = d.Time
				}
			}
			e.addMember(e.newMember(ds, false))
			return nil
		})
	}
	return last, g.Wait()
}

func (e *Engine) openDataset(ctx context.Context, entry format.DatasetEntry) (*dataset.Dataset, error) {
	table, err := base.Load(ctx, e.shop.FS, entry.Metadata)
	if err != nil {
		return nil, err
	}
	files, err := e.shop.Readable(ctx, table)
	if err != nil {
		return nil, err
	}
	log, deltas, err := delta.Open(ctx, e.store, entry.TableUUID, entry.TrimmedThrough, table.FoldedThrough())
	if err != nil {
		return nil, err
	}
	s := &dataset.State{
		Name: entry.LakeName(), UUID: entry.TableUUID, Schema: table.Schema(), Table: table, Files: files,
		FoldedThrough: table.FoldedThrough(), TrimmedThrough: entry.TrimmedThrough,
	}
	ds := dataset.New(s, log, deltas)
	if through := table.Through(); s.Sequence < through {
		return nil, lake.Errorf(lake.CodeDamaged, "the base tells of changes up to sequence %d, the newest delta is %d: %s is missing",
			through, s.Sequence, delta.Key(s.UUID, through)).
			WithHint("restore it from a backup")
	}
	return ds, nil
}

// recoverDeltas deletes the deltas at or below trimmed-through that a crash, or a
// delayed put, left behind.
func (e *Engine) recoverDeltas(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(e.openLimit())
	for _, m := range e.mu.byUUID {
		g.Go(func() error {
			s := m.ds.State()
			if s.TrimmedThrough == 0 {
				return nil
			}
			return m.ds.Log.Trim(gctx, s.TrimmedThrough)
		})
	}
	return g.Wait()
}

// openLimit is how many datasets are opened at a time: those on a disk wait for it,
// those in a bucket for answers that come from far.
func (e *Engine) openLimit() int {
	if e.remote != nil {
		return 64
	}
	return 8
}

func (e *Engine) startWorker(ctx context.Context) error {
	images, _ := e.set.cacheShares()
	spill, err := e.spillBytes()
	if err != nil {
		return err
	}
	w, err := worker.Start(e.ctx, worker.Options{
		Command: e.opts.WorkerCommand, Dir: filepath.Join(e.scratch(), "worker"), Log: e.log,
		Open: worker.Open{
			LakeDirs: e.lakeDirs(), MemoryLimitBytes: e.set.QueryMemoryBytes, TempLimitBytes: spill, Threads: e.set.Threads,
			MaxConcurrent: e.set.QueryConcurrency, LargeDeltaBytes: e.set.largeDelta(),
			ImageBudgetBytes: images,
		},
	}, e.stream)
	if err != nil {
		return lake.Step("start the worker", err)
	}
	e.worker = w
	e.queries = query.NewRunner(w, e.stream, query.Limits{
		Concurrency: e.set.QueryConcurrency, Queue: e.set.QueryQueue,
		Timeout: e.set.QueryTimeout, MaxTimeout: e.set.MaxQueryTimeout, MaxSQLBytes: e.set.MaxSQLBytes,
	})
	return nil
}

// spillBytes is what queries may spill: all that the disk has would be taken from
// the changes that are to be acknowledged.
func (e *Engine) spillBytes() (int64, error) {
	if e.set.QuerySpillBytes > 0 {
		return e.set.QuerySpillBytes, nil
	}
	free, err := workshop.FreeBytes(e.scratch())
	return max(free/2, 1), err
}

// replay is every dataset as a worker that knows nothing must hear it. It is
// called under the stream's lock.
func (e *Engine) replay() []lake.Entry {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []lake.Entry
	for _, m := range e.mu.byUUID {
		out = append(out, m.ds.State().Replay()...)
	}
	return out
}

// SetURL writes where this server answers into the lake's lock file.
func (e *Engine) SetURL(url string) error {
	if e.lock == nil {
		return nil
	}
	return e.lock.SetURL(url)
}

// Settings are those in force.
func (e *Engine) Settings() Settings { return e.set }

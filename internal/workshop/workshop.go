package workshop

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Limits are what a job gets. Sizes are bytes.
type Limits struct {
	MemoryBytes int64
	Threads     func() int // how many now
}

// Workshop runs jobs and commits what they leave.
type Workshop struct {
	// Context is the server's: commits run under it, since one that was begun
	// must be known to have gone in or not, whatever becomes of the job.
	Context  context.Context
	Store    store.Store
	FS       *base.FS
	Catalog  *catalog.Catalog
	Verifier *base.Verifier
	Runner   job.Runner
	Scratch  string   // folder for scratch folders, this node's own
	LakeDirs []string // that jobs may read
	Limits   Limits
	// BringFiles brings base files to this machine and keeps them until release,
	// with the path and identity to read them by. nil: they are there.
	BringFiles func(ctx context.Context, files []lake.BaseFile) (here []lake.BaseFile, release func(), err error)
	// KeepSnapshots is how long a snapshot stays in a table's metadata.
	KeepSnapshots time.Duration
	Log           *slog.Logger

	// Imports and compactions run one at a time in the lake, large changes
	// beside them; each slot is a channel of one.
	bulk    chan struct{}
	changes chan struct{}

	inUse    inUse
	settling atomic.Int64
}

// Init makes the slots; call it once, before the first job.
func (w *Workshop) Init() {
	w.bulk = make(chan struct{}, 1)
	w.changes = make(chan struct{}, 1)
	w.inUse.mu.count = map[string]int{}
}

// Scratchpad is a scratch folder of one import, compaction or large change.
type Scratchpad struct{ Dir string }

// NewScratchpad makes one; Remove it at the end.
func (w *Workshop) NewScratchpad(kind string) (*Scratchpad, error) {
	dir := filepath.Join(w.Scratch, kind+"-"+uuid.NewString())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, lake.Step("make a scratch folder", err)
	}
	return &Scratchpad{dir}, nil
}

// Remove deletes the folder with all that is in it.
func (s *Scratchpad) Remove() { os.RemoveAll(s.Dir) }

// EnterBulk waits for the lake's slot of imports and compactions, and EnterChanges
// for that of large changes; call what they give to leave it. The slot is taken
// for the whole of the work, and not while a committer is held: its dataset's writers
// would wait for another dataset's job. Statements that change very many rows alone do
// so, for the slot of large changes: they must have the committer from their read on,
// they end with their deadline, and nobody waits for a committer with that slot.
func (w *Workshop) EnterBulk(ctx context.Context) (leave func(), err error) {
	return enter(ctx, w.bulk)
}

// EnterChanges is EnterBulk for large changes.
func (w *Workshop) EnterChanges(ctx context.Context) (leave func(), err error) {
	return enter(ctx, w.changes)
}

func enter(ctx context.Context, slot chan struct{}) (leave func(), err error) {
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, lake.Step("wait for the running job to end", ctx.Err())
	}
}

// Run runs a job in a folder of its own within pad. The caller has the slot.
func (w *Workshop) Run(ctx context.Context, pad *Scratchpad, spec job.Spec, progress func(job.Progress)) (job.Result, error) {
	spec.Scratch = filepath.Join(pad.Dir, uuid.NewString())
	if err := os.Mkdir(spec.Scratch, 0o700); err != nil {
		return job.Result{}, lake.Step("make a scratch folder", err)
	}
	spec.LakeDirs = w.LakeDirs
	spec.MemoryLimitBytes, spec.Threads = w.Limits.MemoryBytes, w.Limits.Threads()
	if progress == nil {
		progress = func(job.Progress) {}
	}
	return w.Runner.Run(ctx, spec, progress)
}

// InUse keeps collection away from a table's folder until the release: a job
// reads its files, or files for its next commit are being written.
func (w *Workshop) InUse(tableUUID string) (release func()) { return w.inUse.add(tableUUID) }

// TablesInUse gives the tables that InUse holds now.
func (w *Workshop) TablesInUse() map[string]bool { return w.inUse.all() }

type inUse struct {
	mu struct {
		sync.Mutex
		count map[string]int
	}
}

func (u *inUse) add(id string) func() {
	u.mu.Lock()
	u.mu.count[id]++
	u.mu.Unlock()
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.mu.count[id]--; u.mu.count[id] == 0 {
			delete(u.mu.count, id)
		}
	})
}

func (u *inUse) all() map[string]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := map[string]bool{}
	for id := range u.mu.count {
		out[id] = true
	}
	return out
}

// TakeIn takes a job's outputs into the store as data files of a table, in
// order; firstOrdinal is the arrival ordinal of the first.
func (w *Workshop) TakeIn(ctx context.Context, t *base.Table, outputs []job.Output, firstOrdinal int64) ([]base.NewFile, error) {
	return w.takeIn(ctx, t, outputs, inTurn(firstOrdinal, len(outputs)))
}

func inTurn(first int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = first + int64(i)
	}
	return out
}

func (w *Workshop) takeIn(ctx context.Context, t *base.Table, outputs []job.Output, ordinals []int64) ([]base.NewFile, error) {
	if len(ordinals) != len(outputs) {
		return nil, lake.Errorf(lake.CodeInternal, "%d ordinals of %d data files", len(ordinals), len(outputs))
	}
	files := make([]base.NewFile, 0, len(outputs))
	for i, o := range outputs {
		f, err := t.TakeIn(ctx, o.Path, ordinals[i])
		if err != nil {
			return nil, lake.Step("take in a data file", err)
		}
		failpoint.Hit("workshop.taken-in")
		files = append(files, f)
	}
	return files, nil
}

// MakeCurrent gives the function that makes a table's next metadata current by
// one catalog version, if it is still t that is current; more, if set, edits the
// same version.
func (w *Workshop) MakeCurrent(t *base.Table, more func(*format.Version)) func(context.Context, string) error {
	return func(ctx context.Context, metadataKey string) error {
		return w.CommitCatalog(ctx, func(next *format.Version) error {
			if err := move(next, t, metadataKey); err != nil {
				return err
			}
			if more != nil {
				more(next)
			}
			return nil
		}, func(v *format.Version) bool {
			e := v.Find(t.UUID())
			return e != nil && e.Metadata == metadataKey
		})
	}
}

// Move is a table whose next metadata file is to become current.
type Move struct {
	Table *base.Table // as it is current
	To    string      // key of the metadata file
}

// MoveAll makes the next metadata of several tables current by one catalog version: of all
// of them or of none.
func (w *Workshop) MoveAll(ctx context.Context, moves []Move) error {
	return w.CommitCatalog(ctx, func(next *format.Version) error {
		for _, m := range moves {
			if err := move(next, m.Table, m.To); err != nil {
				return err
			}
		}
		return nil
	}, func(v *format.Version) bool {
		return !slices.ContainsFunc(moves, func(m Move) bool {
			e := v.Find(m.Table.UUID())
			return e == nil || e.Metadata != m.To
		})
	})
}

// move edits a catalog version.
func move(next *format.Version, t *base.Table, metadataKey string) error {
	e := next.Find(t.UUID())
	switch {
	case e == nil:
		return lake.Errorf(lake.CodeDatasetNotFound, "the dataset was dropped meanwhile")
	case e.Metadata != t.MetadataKey():
		return lake.Errorf(lake.CodeInternal, "the base moved from %s to %s meanwhile; nothing was committed", t.MetadataKey(), e.Metadata)
	}
	e.Metadata = metadataKey
	return nil
}

// CommitCatalog commits an edit of the catalog. Where the outcome is unknown it
// goes on until it is known, by landed, or ctx ends: the caller's next step
// depends on it.
func (w *Workshop) CommitCatalog(ctx context.Context, edit func(*format.Version) error, landed func(*format.Version) bool) error {
	_, err := w.Catalog.Commit(ctx, edit)
	if errors.Is(err, lake.ErrUnknownOutcome) {
		w.settling.Add(1)
		defer w.settling.Add(-1)
	}
	for pause := 10 * time.Millisecond; errors.Is(err, lake.ErrUnknownOutcome); pause = min(2*pause, time.Second) {
		w.Log.Warn("a catalog commit's outcome is unknown; settling it", "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		v, settled := w.Catalog.Settle(ctx)
		switch {
		case settled != nil:
			if !errors.Is(settled, lake.ErrUnknownOutcome) {
				return settled
			}
		case landed(v):
			return nil
		default:
			return lake.Errorf(lake.CodeUnavailable, "the catalog commit did not go in: %w", err).WithHint("try again")
		}
	}
	return err
}

// Settling says whether the outcome of a catalog commit is unknown now.
func (w *Workshop) Settling() bool { return w.settling.Load() > 0 }

// Readable gives a table's data files with path and identity, each verified on
// this machine.
func (w *Workshop) Readable(ctx context.Context, t *base.Table) ([]lake.BaseFile, error) {
	files, err := t.Files(ctx)
	if err != nil {
		return nil, err
	}
	return w.Verifier.Files(ctx, files)
}

// Bring gives base files as a job can read them, until release.
func (w *Workshop) Bring(ctx context.Context, files []lake.BaseFile) (here []lake.BaseFile, release func(), err error) {
	if w.BringFiles == nil || len(files) == 0 {
		return files, func() {}, nil
	}
	return w.BringFiles(ctx, files)
}

// NextOrdinal is the arrival ordinal after those of files.
func NextOrdinal(files []lake.BaseFile) int64 {
	next := int64(0)
	for _, f := range files {
		next = max(next, f.Ordinal+1)
	}
	return next
}

// NewLog is the delta log of a new table.
func (w *Workshop) NewLog(tableUUID string) *delta.Log { return delta.New(w.Store, tableUUID) }

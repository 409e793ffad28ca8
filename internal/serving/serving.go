package serving

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"runtime"
	"sync"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// DefaultLargeDeltaBytes is the size above which a delta is not loaded.
const DefaultLargeDeltaBytes = 64 << 20

// Options of a serving database.
type Options struct {
	Duck            duck.Options
	MaxConcurrent   int   // queries at once; 0: 8
	LargeDeltaBytes int64 // above it a delta's file is read instead of loaded; 0: DefaultLargeDeltaBytes
	// ImageBudgetBytes is what images may take, with their key filters and
	// dropped ones that readers still hold; 0: none can be loaded.
	ImageBudgetBytes int64
	NoCodes          bool // group by texts as they are
	NoFirstRows      bool // order all rows of a condition, also for a few of them
	Log              *slog.Logger
	// Fatal is called when DuckDB cannot go on: the process must be replaced.
	// It may be called more than once; nil: the log says it.
	Fatal func(error)
}

// Serving is an open serving database. Its methods may be called from many
// goroutines; Replay comes first.
type Serving struct {
	log         *slog.Logger
	db          *duck.DB
	ear         *ear
	pool        *pool
	lanes       *lanes
	readers     readers
	gated       *gated
	tables      *imageTables
	luck        *luck
	orders      *orders
	board       board
	writer      *publisher
	dirs        []string
	noFirstRows bool
	// memoryBytes is DuckDB's limit.
	memoryBytes int64

	stop context.CancelFunc
	work sync.WaitGroup
	once sync.Once
}

// Open starts DuckDB and the publisher. Nothing is served before Replay.
func Open(ctx context.Context, o Options) (*Serving, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = 8
	}
	if o.LargeDeltaBytes <= 0 {
		o.LargeDeltaBytes = DefaultLargeDeltaBytes
	}
	if o.Duck.Threads <= 0 {
		o.Duck.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { o.Log.Error("DuckDB cannot go on", "error", err) }
	}
	db, err := openDatabase(ctx, o.Duck)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, db)
	if err != nil {
		db.Close()
		return nil, err
	}
	s := &Serving{log: o.Log, db: db, ear: newEar(), pool: newPool(db, o.MaxConcurrent), lanes: newLanes(o.MaxConcurrent), memoryBytes: cmp.Or(o.Duck.MemoryLimitBytes, math.MaxInt64), orders: newOrders(), gated: newGated(), tables: newImageTables(), luck: newLuck(), noFirstRows: o.NoFirstRows, dirs: o.Duck.AllowedDirs}
	s.readers.open, s.readers.tickets = map[int64]int{}, map[int64]struct{}{}
	p := &publisher{
		conn: conn, ear: s.ear, log: o.Log, largeBytes: o.LargeDeltaBytes, memoryBytes: o.Duck.MemoryLimitBytes, fatal: o.Fatal,
		datasets: map[string]*dataset{}, holders: map[string]string{}, spaces: map[string]string{},
		orders: s.orders, readers: &s.readers, board: &s.board, ledger: ledger{budget: o.ImageBudgetBytes}, noted: map[string]*dataset{},
		tables: s.tables, noCodes: o.NoCodes,
	}
	s.writer = p
	p.post()
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.work.Go(func() {
		defer conn.Close()
		p.run(run)
	})
	return s, nil
}

// openDatabase makes the serving database. The lock on DuckDB's settings and
// files comes after the ATTACH, which it would refuse.
func openDatabase(ctx context.Context, o duck.Options) (*duck.DB, error) {
	o.PlainJoins = true
	db, err := duck.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	c, err := db.Conn(ctx)
	if err == nil {
		defer c.Close()
		err = c.Exec(ctx, "ATTACH ':memory:' AS "+catalogName+" (COMPRESS);"+
			"CREATE SCHEMA "+catalogName+"."+internalSchema+";"+
			"CREATE TABLE "+internal("datasets")+" "+datasetsTable)
	}
	if err != nil {
		db.Close()
		return nil, lake.Step("make the serving database", err)
	}
	return db, nil
}

// connect opens a connection that speaks of datasets by their names.
func connect(ctx context.Context, db *duck.DB) (*duck.Conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.Exec(ctx, "USE "+catalogName); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Replay takes in the whole state as of a number of the stream: the first thing
// after Open. It returns when it is queued; each dataset answers as soon as it
// is built.
func (s *Serving) Replay(_ context.Context, entries []lake.Entry, end int64) error {
	return s.ear.replay(entries, end)
}

// Hear takes in the entries that follow, in order; those heard before are
// passed over. It returns when they are queued. A gap is CodeNotReady: a new
// life with a replay is needed.
func (s *Serving) Hear(_ context.Context, entries []lake.Entry) error { return s.ear.hear(entries) }

// Positions are the stream's last number taken in and the last that queries see.
func (s *Serving) Positions() (heard, applied int64) { return s.ear.positions() }

// Released is a number of the stream up to which every running query sees the
// entries: files that these took away are not read any more.
func (s *Serving) Released() int64 {
	_, applied := s.ear.positions()
	return s.readers.oldest(applied)
}

// Behind lists the datasets that answer nothing now, by name, and why.
func (s *Serving) Behind() map[string]string { return s.ear.behind() }

// Datasets is how many datasets were heard of.
func (s *Serving) Datasets() int { return s.ear.count() }

// Schema gives a dataset's schema once the stream was heard up to see.
func (s *Serving) Schema(ctx context.Context, tableUUID string, see int64) (lake.Schema, error) {
	if err := s.ear.waitHeard(ctx, see); err != nil {
		return lake.Schema{}, err
	}
	d, ok := s.ear.dataset(tableUUID)
	if !ok {
		return lake.Schema{}, lake.Errorf(lake.CodeDatasetNotFound, "the dataset does not exist")
	}
	return d.schema, nil
}

// Memory gives DuckDB's bytes by tag.
func (s *Serving) Memory(ctx context.Context) (map[string]int64, error) { return s.db.Memory(ctx) }

// Close ends the publisher and waits for running queries to be closed. It can
// be called twice.
func (s *Serving) Close() {
	s.once.Do(func() {
		s.ear.close()
		s.stop()
		s.work.Wait()
		s.pool.close()
		s.writer.endMasks()
		s.db.Close()
	})
}

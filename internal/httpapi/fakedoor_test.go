package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
	"tarn/internal/walls"
)

// door is a lake of one dataset that is told what to answer by the requests
// themselves. A text "fail:<code>" anywhere in SQL, body or key fails the call
// with that code; "early:" and "late:" fail an answer's stream before and after
// its first bytes. It logs what reaches it, a line a call.
type door struct {
	engine.Door // what is not faked panics

	settings  engine.Settings
	notReady  error
	outage    bool
	following engine.Following                        // with a bound: this door follows
	body      func(ctx context.Context) io.ReadCloser // of the next answers, instead of the usual one
	deadline  time.Time                               // of answers

	mu struct {
		sync.Mutex
		log  []string
		jobs []*engine.Job
	}
}

func newDoor() *door { return &door{settings: engine.Defaults(8 << 30)} }

func (d *door) logf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.log = append(d.mu.log, fmt.Sprintf(format, args...))
}

// heard gives and empties the log.
func (d *door) heard() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.mu.log
	d.mu.log = nil
	return out
}

// shown is what the lake heard of an Idempotency-Key; its owner has tests of his own.
func shown(i engine.Idempotency) string { return fmt.Sprintf("{%q %q}", i.Key, i.Scope) }

const tableUUID = "0190d9a8-0000-7000-8000-000000000001"

func told(text, word string) error {
	_, rest, ok := strings.Cut(text, word+":")
	if !ok {
		return nil
	}
	code := strings.FieldsFunc(rest, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })[0]
	return lake.Step("do as told", lake.Errorf(lake.Code(code), "told to fail").WithHint("do not tell"))
}

func known(name lake.Name) error {
	if name.Key() != "main.ts" {
		return lake.Errorf(lake.CodeDatasetNotFound, "there is no dataset %s", name)
	}
	return nil
}

func description(name lake.Name) engine.Description {
	snapshot := "42"
	return engine.Description{
		Dataset: name.String(), Columns: []engine.Column{{Name: "id", Type: "BIGINT"}, {Name: "note", Type: "VARCHAR", Nullable: true}},
		PrimaryKey: []string{"id"}, Rows: 3, BaseRows: 2, Files: 1, Bytes: 900, PendingDeltas: 1, PendingRows: 1, PendingBytes: 700,
		FoldedThrough: 6, ETag: `"` + tableUUID + `.7.1"`,
		ReadPoint: lake.Place{ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 7}, Snapshot: &snapshot},
	}
}

func (d *door) List(context.Context, *lake.NameSet) ([]engine.Description, error) {
	d.logf("list")
	return []engine.Description{description(lake.Name{Namespace: "main", Dataset: "ts"})}, nil
}

func (d *door) Describe(_ context.Context, name lake.Name) (engine.Description, error) {
	d.logf("describe %s", name)
	return description(name), known(name)
}

func (d *door) Create(_ context.Context, r engine.CreateRequest) (engine.Description, error) {
	d.logf("create %s %v key=%v idem=%s", r.Dataset, r.Schema.Columns, r.Schema.Key, shown(r.Idempotency))
	if known(r.Dataset) == nil {
		return engine.Description{}, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists", r.Dataset)
	}
	return engine.Description{Dataset: r.Dataset.String(), ETag: `"` + tableUUID + `.0.0"`}, nil
}

func (d *door) Rename(_ context.Context, name, to lake.Name, idem engine.Idempotency) (engine.Description, error) {
	d.logf("rename %s to %s idem=%s", name, to, shown(idem))
	return description(to), known(name)
}

func (d *door) Drop(_ context.Context, name lake.Name, idem engine.Idempotency) error {
	d.logf("drop %s idem=%s", name, shown(idem))
	return known(name)
}

func (d *door) Alter(_ context.Context, r engine.AlterRequest) (engine.AlterResult, error) {
	d.logf("alter %s %v idem=%s", r.Dataset, r.Operations, shown(r.Idempotency))
	return engine.AlterResult{
		Dataset: r.Dataset.String(), Changed: true, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}, Sequence: 8,
		ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 8}, ETag: `"` + tableUUID + `.8.0"`,
	}, known(r.Dataset)
}

func (d *door) Deltas(_ context.Context, name lake.Name) ([]engine.DeltaInfo, error) {
	d.logf("deltas %s", name)
	return []engine.DeltaInfo{{Sequence: 7, Rows: 1, Bytes: 700, Time: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), State: "pending", Requests: 1}}, known(name)
}

func (d *door) Change(ctx context.Context, r engine.ChangeRequest) (engine.ChangeResult, error) {
	body, err := io.ReadAll(r.Body)
	if errors.Is(err, io.EOF) {
		err = nil // as a careless reader would
	}
	d.logf("change %s %s %s missing=%d if-match=%q idem=%s body=%q err=%v", r.Dataset, r.Op, r.Format, r.Missing, r.IfMatch, shown(r.Idempotency), clip(body), err)
	if err = errors.Join(err, ctx.Err(), known(r.Dataset)); err != nil {
		return engine.ChangeResult{}, unjoin(err)
	}
	return engine.ChangeResult{Rows: 2, Sequence: 8, ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 8}, ETag: `"` + tableUUID + `.8.1"`}, told(string(body), "fail")
}

func (d *door) ExecuteTransaction(ctx context.Context, r engine.TransactionRequest) (engine.TransactionResult, error) {
	d.logf("transaction of %d params=%s timeout=%s idem=%s id=%s sql=%q", len(r.Transaction.Parts), r.Params, r.Timeout, shown(r.Idempotency), r.ID, r.SQL)
	res := engine.TransactionResult{Statement: "transaction", RolledBack: r.Transaction.Rollback, ReadPoints: map[string]lake.ReadPoint{}}
	for _, p := range r.Transaction.Parts {
		if err := errors.Join(ctx.Err(), known(p.Statement.Target)); err != nil {
			return engine.TransactionResult{}, unjoin(err)
		}
		res.Rows += 2
		res.Statements = append(res.Statements, engine.TransactionStatement{Statement: string(p.Statement.Verb), Dataset: p.Statement.Target.String(), Rows: 2})
		res.ReadPoints[p.Statement.Target.String()] = lake.ReadPoint{TableUUID: tableUUID, Sequence: 8}
	}
	return res, nil
}

func (d *door) Execute(ctx context.Context, r engine.StatementRequest) (engine.StatementResult, error) {
	d.logf("execute %s %s params=%s timeout=%s if-match=%q idem=%s id=%s sql=%q", r.Statement.Verb, r.Statement.Target, r.Params, r.Timeout, r.IfMatch, shown(r.Idempotency), r.ID, r.SQL)
	if err := errors.Join(ctx.Err(), known(r.Statement.Target)); err != nil {
		return engine.StatementResult{}, unjoin(err)
	}
	res := engine.StatementResult{Statement: string(r.Statement.Verb), Explain: r.Statement.Explain, Rows: 2, Sequence: 8, ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 8}}
	if !res.Explain {
		res.ETag = `"` + tableUUID + `.8.1"`
	}
	if r.Statement.Returning != nil && !res.Explain && !strings.Contains(r.SQL, "again") {
		tail := rows.Tail{RowCount: 2, ElapsedMS: 1.5}
		res.Returned = &engine.Answer{
			ID: r.ID, ContentType: r.Out.ContentType(), ETag: res.ETag, Body: io.NopCloser(strings.NewReader(fmt.Sprintf("rows as %d", r.Out))),
			Head: rows.Head{ReadPoints: map[string]lake.Place{"ts": {ReadPoint: res.ReadPoint}}, ServedFrom: map[string]string{"ts": "parquet"}},
			Tail: func() rows.Tail { return tail },
		}
	}
	return res, told(r.SQL, "fail")
}

func (d *door) Define(ctx context.Context, r engine.DefinitionRequest) (engine.DefinitionResult, error) {
	d.logf("define %s %s params=%s timeout=%s idem=%s id=%s sql=%q", r.Statement.Verb, r.Statement.Target, r.Params, r.Timeout, shown(r.Idempotency), r.ID, r.SQL)
	if err := ctx.Err(); err != nil {
		return engine.DefinitionResult{}, err
	}
	res := engine.DefinitionResult{Statement: string(r.Statement.Verb), Dataset: r.Statement.Target.String(), Changed: true}
	if r.Statement.Verb == sqlddl.Create {
		res.Rows, res.ReadPoint, res.ETag = 3, &lake.ReadPoint{TableUUID: tableUUID}, `"`+tableUUID+`.0.0"`
	}
	return res, told(r.SQL, "fail")
}

// unjoin gives the first of joined errors, as the engine would.
func unjoin(err error) error { return err.(interface{ Unwrap() []error }).Unwrap()[0] }

func clip(b []byte) string {
	if len(b) > 60 {
		return fmt.Sprintf("%s… %d bytes", b[:20], len(b))
	}
	return string(b)
}

func (d *door) Import(ctx context.Context, r engine.ImportRequest) (*engine.Job, error) {
	d.logf("import %s mode=%q key=%q on_duplicate=%q idem=%s", r.Dataset, r.Mode, r.PrimaryKey, r.OnDuplicate, shown(r.Idempotency))
	files := 0
	var fail error
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) { // as a careless reader asks
			break
		}
		if err != nil {
			d.logf("  next: %v", err)
			return nil, err
		}
		files++
		body, err := io.ReadAll(f.Body)
		d.logf("  file %q %s %q %q", f.Name, f.Format, f.Type, clip(body))
		if err != nil {
			d.logf("  body: %v", err)
			return nil, err
		}
		fail = errors.Join(fail, told(string(body), "fail"))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	job := d.start("import", r.Dataset.String())
	switch {
	case fail != nil:
		job.end(engine.JobFailed, nil, unjoin(fail))
	case !strings.HasPrefix(r.Dataset.Dataset, "slow"):
		job.end(engine.JobDone, engine.ImportResult{Dataset: r.Dataset.String(), Rows: 3, Files: files, ReadPoint: lake.ReadPoint{TableUUID: tableUUID}}, nil)
	}
	return job.Job, nil
}

type fakeJob struct {
	*engine.Job
	end func(engine.JobState, any, error)
}

func (d *door) start(kind, dataset string) fakeJob {
	d.mu.Lock()
	defer d.mu.Unlock()
	job, end := newJob(engine.JobInfo{
		ID: fmt.Sprintf("job-%d", len(d.mu.jobs)+1), Kind: kind, Dataset: dataset, State: engine.JobRunning,
		Created: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Progress: engine.JobProgress{Step: "read", Done: 1, Total: 3},
	})
	d.mu.jobs = append(d.mu.jobs, job)
	return fakeJob{job, end}
}

func (d *door) Compact(_ context.Context, r engine.CompactRequest) (*engine.Job, error) {
	one := engine.CompactResult{Dataset: "ts", DryRun: r.DryRun, BaseRows: 2, DeltaRows: 1, FinalRows: 3, DeltasMerged: 1, Inserted: 1, Reason: "asked for", ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 7}}
	if r.DryRun {
		one.FinalRows = -1
	}
	if r.Dataset == nil {
		d.logf("compact all dry=%v", r.DryRun)
		job := d.start("compact", "")
		job.end(engine.JobDone, engine.CompactResults{Results: []engine.CompactResult{one}}, nil)
		return job.Job, nil
	}
	d.logf("compact %s key=%q dry=%v", r.Dataset, r.PrimaryKey, r.DryRun)
	if err := known(*r.Dataset); err != nil {
		return nil, err
	}
	job := d.start("compact", r.Dataset.String())
	job.end(engine.JobDone, one, nil)
	return job.Job, nil
}

// attached is what an attach, or a sync, of a table of others gives.
func attached(name lake.Name, source string) engine.AttachResult {
	return engine.AttachResult{
		Dataset: name.String(), Changed: true, Attached: engine.Attachment{Source: source, Table: "9c12f9a4-0000-4000-8000-000000000001", Metadata: "/srv/wh/trips/metadata/00007-a.metadata.json", Snapshot: "77"},
		Rows: 300, Files: 5, FilesLinked: 4, FilesCopied: 1, BytesCopied: 900, RowsOnTop: 2, Sequence: 8, ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 8}, ElapsedMS: 1.5,
	}
}

func (d *door) Attach(ctx context.Context, r engine.AttachRequest) (*engine.Job, error) {
	d.logf("attach %s source=%s key=%q", r.Dataset, r.Source, r.PrimaryKey)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := told(r.Source.Location, "fail"); err != nil {
		return nil, err
	}
	job := d.start("attach", r.Dataset.String())
	if err := told(r.Source.Location, "late"); err != nil {
		job.end(engine.JobFailed, nil, err)
		return job.Job, nil
	}
	source := r.Source.Location
	if r.Source.Catalog != "" {
		source = "catalog:" + r.Source.Catalog + "/" + r.Source.Table
	}
	job.end(engine.JobDone, attached(r.Dataset, source), nil)
	return job.Job, nil
}

func (d *door) Sync(ctx context.Context, name lake.Name) (*engine.Job, error) {
	d.logf("sync %s", name)
	if err := errors.Join(ctx.Err(), known(name)); err != nil {
		return nil, unjoin(err)
	}
	job := d.start("sync", name.String())
	job.end(engine.JobDone, attached(name, "/srv/wh/trips"), nil)
	return job.Job, nil
}

func (d *door) Detach(ctx context.Context, name lake.Name) (engine.Description, error) {
	d.logf("detach %s", name)
	if err := errors.Join(ctx.Err(), known(name)); err != nil {
		return engine.Description{}, unjoin(err)
	}
	return description(name), nil
}

func (d *door) Backup(_ context.Context, r engine.BackupRequest) (*engine.Job, error) {
	d.logf("backup to %q keep=%d", r.Path, r.Keep)
	if r.Path == "" {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "\"\" is not the absolute path of a folder")
	}
	job := d.start("backup", "")
	job.end(engine.JobDone, engine.BackupResult{Path: r.Path, Backup: 3, CatalogVersion: 42, Time: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Datasets: 1, Files: 9, Bytes: 900, CopiedFiles: 2, CopiedBytes: 200}, nil)
	return job.Job, nil
}

func (d *door) Following() (engine.Following, bool) { return d.following, d.following.MaxStaleness > 0 }

func (d *door) Reroot(context.Context) (*engine.Job, error) {
	d.logf("reroot")
	job := d.start("reroot", "")
	job.end(engine.JobDone, engine.RerootResult{Root: "file:///srv/lake", Rerooted: 1, Datasets: 2}, nil)
	return job.Job, nil
}

func (d *door) Jobs() []engine.JobInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []engine.JobInfo
	for _, j := range d.mu.jobs {
		out = append(out, j.Info())
	}
	return out
}

func (d *door) Job(id string) (*engine.Job, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.mu.jobs {
		if j.Info().ID == id {
			return j, nil
		}
	}
	return nil, lake.Errorf(lake.CodeJobNotFound, "there is no job %s", id)
}

func (d *door) CancelJob(id string) (engine.JobInfo, error) {
	d.logf("cancel job %s", id)
	j, err := d.Job(id)
	if err != nil {
		return engine.JobInfo{}, err
	}
	return j.Info(), nil
}

func (d *door) Query(ctx context.Context, r engine.QueryRequest) (*engine.Answer, error) {
	by := ""
	if r.Engine != "" {
		by = " engine=" + r.Engine
	}
	d.logf("query %q params=%s timeout=%s format=%d%s", clip([]byte(r.SQL)), r.Params, r.Timeout, r.Format, by)
	if err := told(r.SQL, "fail"); err != nil {
		return nil, err
	}
	return d.answer(ctx, r.SQL, r.Format), nil
}

func (d *door) Get(ctx context.Context, r engine.GetRequest) (*engine.Answer, error) {
	body, err := io.ReadAll(r.Body)
	d.logf("get %s %s %q out=%d", r.Dataset, r.Format, body, r.Out)
	if err = errors.Join(err, known(r.Dataset)); err != nil {
		return nil, unjoin(err)
	}
	ans := d.answer(ctx, string(body), r.Out)
	ans.ETag = `"` + tableUUID + `.7.1"`
	return ans, nil
}

// firstQuery is the id of every query.
func firstQuery() string { return "q-1" }

// answer is what the worker would send: these bytes are not looked into.
func (d *door) answer(ctx context.Context, text string, f rows.OutFormat) *engine.Answer {
	snapshot := "42"
	ans := &engine.Answer{
		Outage: d.outage,
		ID:     "q-1", ContentType: f.ContentType(), Deadline: d.deadline,
		Head: rows.Head{
			ReadPoints: map[string]lake.Place{"ts": {ReadPoint: lake.ReadPoint{TableUUID: tableUUID, Sequence: 7}, Snapshot: &snapshot}},
			ServedFrom: map[string]string{"ts": lake.ServedFromParquet},
		},
		Tail: func() rows.Tail { return rows.Tail{RowCount: 3, ElapsedMS: 1.5} },
	}
	switch early, late := told(text, "early"), told(text, "late"); {
	case d.body != nil:
		ans.Body = d.body(ctx)
	case early != nil:
		ans.Body = io.NopCloser(&script{err: early})
	case late != nil:
		ans.Body = io.NopCloser(&script{chunks: []string{"first ", "second "}, err: late})
	default:
		ans.Body = io.NopCloser(&script{chunks: []string{"one ", "two ", "three"}, err: io.EOF})
	}
	return ans
}

// script is a reader of given chunks and a given end.
type script struct {
	chunks []string
	err    error
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.chunks) == 0 {
		return 0, s.err
	}
	n := copy(p, s.chunks[0])
	if s.chunks[0] = s.chunks[0][n:]; s.chunks[0] == "" {
		s.chunks = s.chunks[1:]
	}
	return n, nil
}

func (d *door) Row(_ context.Context, name lake.Name, key string) ([]byte, string, error) {
	d.logf("row %s %q", name, key)
	if err := told(key, "fail"); err != nil {
		return nil, "", err
	}
	return []byte(`{"id":1,"note":"n"}`), `"` + tableUUID + `.7.1"`, known(name)
}

func (d *door) Queries() []engine.QueryInfo {
	return []engine.QueryInfo{{ID: "q-1", SQL: "SELECT 1", State: "running", Started: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)}}
}

func (d *door) Workers(context.Context) (engine.WorkersInfo, error) {
	began := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	ended := began.Add(time.Minute)
	stands := walls.Report{DataLimitBytes: 2 << 30, OOMScore: 900, NoCoreFiles: true, DiesWithParent: true, LandlockABI: 7, Seccomp: true}
	return engine.WorkersInfo{
		Ready: true, Restarts: 1, Queries: 12, Retried: 1, Deaths: map[string]int64{"out_of_memory": 1},
		Generations: []engine.WorkerLife{
			{Generation: 2, PID: 4712, State: "serving", Started: ended, Queries: 2, Running: 1, ResidentBytes: 60 << 20, ImageBytes: 14 << 20, Walls: stands},
			{Generation: 1, PID: 4711, State: "dead", Started: began, Ended: &ended, Reason: "out_of_memory", LastWords: "exit status 2: fatal error: out of memory", Queries: 10, Walls: stands},
		},
	}, nil
}

func (d *door) CancelQuery(id string) (engine.QueryInfo, error) {
	d.logf("cancel query %s", id)
	if id != "q-1" {
		return engine.QueryInfo{}, lake.Errorf(lake.CodeQueryNotFound, "there is no query %s", id)
	}
	return d.Queries()[0], nil
}

// cached is an entry of the fake's cache. Hot since, pinned.
func cached(name lake.Name) engine.CacheEntry {
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	return engine.CacheEntry{
		Dataset: name.String(), State: "hot", Pinned: true, Rows: 3, Bytes: 4096, Hits: 5, LoadedAt: &at,
		ReadPoint: &lake.ReadPoint{TableUUID: tableUUID, Sequence: 7},
	}
}

func (d *door) CachePin(_ context.Context, name lake.Name) (engine.CacheEntry, error) {
	d.logf("pin %s", name)
	if name.Dataset == "huge" {
		return engine.CacheEntry{}, lake.Errorf(lake.CodeCacheFull, "huge cannot be pinned: needs about 90 GB; 8 GB are free").WithHint("unpin another")
	}
	return cached(name), known(name)
}

func (d *door) CacheUnpin(_ context.Context, name lake.Name) (engine.CacheEntry, error) {
	d.logf("unpin %s", name)
	e := cached(name)
	e.Pinned = false
	return e, known(name)
}

func (d *door) CacheEvict(_ context.Context, name lake.Name) (engine.CacheEntry, error) {
	d.logf("evict %s", name)
	return engine.CacheEntry{Dataset: name.String(), State: "cold"}, known(name)
}

func (d *door) CacheEvictAll(_ context.Context, pinnedToo bool) ([]engine.CacheEntry, error) {
	d.logf("evict all pinned=%v", pinnedToo)
	return nil, nil
}

func (d *door) CacheStats(context.Context) (engine.CacheStats, error) {
	d.logf("cache stats")
	lost := engine.CacheEntry{Dataset: "huge", State: "not_loaded", Reason: "needs about 90 GB", Pinned: true}
	return engine.CacheStats{
		BudgetBytes: 8 << 30, UsedBytes: 4096, Hits: 5, Misses: 2, Loads: 1,
		Datasets: []engine.CacheEntry{lost, cached(lake.Name{Namespace: "main", Dataset: "ts"})},
	}, nil
}

func (d *door) Ready() error { return d.notReady }
func (d *door) Outage() bool { return d.outage }

func (d *door) Settings() engine.Settings { return d.settings }

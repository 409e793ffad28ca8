package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"

	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
	"tarn/internal/workshop"
)

// byPlace says whether the statement changes rows of a dataset without a key, which it
// tells by their places.
func (x *execution) byPlace(s *dataset.State) bool {
	return !s.Schema.Keyed() && x.r.Statement.Verb != sqlwrite.Insert
}

// rewriting is such a statement under way: a content commit. Files of the base must not
// change from its read on, so it holds the dataset's job lock, taken before the committer
// as by all who take both.
type rewriting struct {
	*execution
	req replayed
	// begun is who has the request: its committer, or the caller that gave up before.
	begun   atomic.Bool
	release func() // of all that is held; may be called again
}

// rewrite runs the statement, or answers it by its Idempotency-Key.
func (x *execution) rewrite(client context.Context, q change.Request) (StatementResult, error) {
	ctx := x.turn.Context
	var before StatementResult
	req, done, err := x.e.begin(ctx, x.r.Idempotency, sqlAsked(x.r.SQL, x.r.Params), &before)
	if err != nil {
		return StatementResult{}, err
	}
	if done {
		before.ETag = dataset.ETag(before.ReadPoint.TableUUID, before.Sequence, 0)
		return before, nil
	}
	unlock, err := x.m.ds.LockJobs(ctx)
	if err != nil {
		req.end()
		return StatementResult{}, err
	}
	q.Folds = true // what else would make room has to wait for this
	leave := x.e.shop.InUse(q.UUID)
	w := &rewriting{execution: x, req: req, release: sync.OnceFunc(func() {
		leave()
		unlock()
		req.end()
	})}
	ack, err := x.m.committer.SubmitPrepared(client, ctx, q, func(ctx context.Context, s *dataset.State) (change.Request, error) {
		if !w.begun.CompareAndSwap(false, true) {
			return q, lake.Errorf(lake.CodeCancelled, "nobody waits for the statement any more")
		}
		made, err := w.prepare(ctx, s, q)
		if err != nil {
			w.release()
		}
		return made, err
	})
	if w.begun.CompareAndSwap(false, true) {
		w.release()
	}
	if err != nil {
		return StatementResult{}, err
	}
	x.e.metrics.changed(q.Name, ack.Rows)
	return x.done(ack), nil
}

// prepare reads what the statement changes and executes it, in the hand of the committer.
func (w *rewriting) prepare(ctx context.Context, s *dataset.State, q change.Request) (change.Request, error) {
	w.turn.Turn()
	read, err := w.read(ctx, s)
	if err != nil {
		return q, err
	}
	q.SchemaID, q.LetGo = s.Schema.ID, w.release
	made, err := whole(ctx, w.e, w.m, func() (executed, error) { return w.execute(ctx, w.m.ds.State(), read) })
	if err != nil {
		return q, err
	}
	scratch := made.remove
	q.LetGo = func() {
		scratch()
		w.release()
	}
	q.Rows = made.Inserted + made.Updated + made.Deleted
	if q.Rows == 0 { // with a key, a delta remembers it
		return q, nil
	}
	q.Content = func(ctx context.Context, h *change.Held) (change.Acknowledged, error) {
		return w.commit(ctx, h, made.Commit, q.Rows)
	}
	return q, nil
}

// rewroteBy says whether a key came with such a statement before.
func (e *Engine) rewroteBy(key string) bool {
	var was struct {
		Statement sqlwrite.Verb `json:"statement"`
	}
	entry := e.shop.Catalog.Current().FindRequest(key)
	if entry == nil || json.Unmarshal(entry.Answer, &was) != nil {
		return false
	}
	return was.Statement == sqlwrite.Update || was.Statement == sqlwrite.Delete || was.Statement == sqlwrite.Merge
}

// executed is what a job made, in a scratch folder until remove.
type executed struct {
	compaction.Rewriting
	remove func()
}

func (w *rewriting) execute(ctx context.Context, s *dataset.State, read sqlwrite.Read) (_ executed, err error) {
	b, err := onceMore(func() (*body, error) { return w.body(ctx, s, read) })
	if err != nil {
		return executed{}, err
	}
	defer b.Remove()
	if b.path == "" {
		if err := b.spool(w.e); err != nil {
			return executed{}, err
		}
	}
	_, _, pending := s.PendingSize()
	if err := w.e.shop.CheckDisk(b.bytes + pending); err != nil {
		return executed{}, err
	}
	pad, err := w.e.shop.NewScratchpad("rewrite")
	if err != nil {
		return executed{}, err
	}
	leave, err := w.e.shop.EnterChanges(ctx)
	if err != nil {
		pad.Remove()
		return executed{}, err
	}
	defer leave()
	input := job.InputFile{Path: b.path, Name: "the statement", Format: rows.ArrowStream}
	made, err := w.m.compactor.Rewrite(ctx, pad, s, placedOp(read), input, w.e.set.MaxRowBytes)
	if err != nil {
		pad.Remove()
		return executed{}, err
	}
	return executed{made, pad.Remove}, nil
}

// commit is the content commit. Its catalog version remembers an Idempotency-Key.
func (w *rewriting) commit(ctx context.Context, h *change.Held, commit workshop.Commit, changed int64) (change.Acknowledged, error) {
	s := h.State()
	ack := change.Acknowledged{Rows: changed}
	_, err := h.ContentCommit(ctx, func(ctx context.Context, n int64) (change.NewBase, error) {
		ack.ReadPoint, ack.ETag = lake.ReadPoint{TableUUID: s.UUID, Sequence: n}, dataset.ETag(s.UUID, n, 0)
		commit.Before, commit.FoldedThrough = s.Files, n // as they are read by now
		commit.Catalog = func(next *format.Version) { w.e.remember(next, w.req, http.StatusOK, w.done(ack)) }
		table, files, err := w.e.shop.Commit(ctx, s.Table, commit)
		return change.NewBase{Table: table, Files: files, FoldedThrough: n}, err
	})
	return ack, lake.Step("commit", err)
}

// placedOp is what a Read by place gives, as a job is told.
func placedOp(read sqlwrite.Read) string {
	switch {
	case read.Deletes:
		return job.OpDelete
	case read.Mixed:
		return job.OpChanges
	}
	return job.OpUpsert
}

// flaggedPlace is the error of a row that may not be taken, of a dataset without a key.
func flaggedPlace(s *dataset.State, flag int32) error {
	switch flag {
	case sqlwrite.FlagAmbiguous:
		return lake.Errorf(lake.CodeSQLInvalid, "the statement gives several new values to a row of %s", s.Name).
			WithHint("join so that each row meets one")
	case sqlwrite.FlagFailed:
		return lake.Errorf(lake.CodeSQLInvalid, "an arm THEN ERROR fits a row of %s", s.Name)
	}
	return lake.Errorf(lake.CodeInternal, "a row has the flag %d", flag)
}

// findPlaced is what a dataset without a key is read from as it is now, so that its rows
// have places: base files as its state has them, and the pending deltas.
func (e *Engine) findPlaced(ctx context.Context, m *member, in lake.Instant) (f lake.InstantFiles, release []func(), err error) {
	s := m.ds.State()
	if s.Schema.Keyed() {
		return f, nil, lake.Errorf(lake.CodeInternal, "%s has a primary key, and no places", s.Name)
	}
	let, ok := e.holds.From(s.UUID, s.FoldedThrough+1)
	if !ok {
		return f, nil, notKept(s)
	}
	release = append(release, let)
	f = lake.InstantFiles{
		Instant: in, TableUUID: s.UUID, Sequence: s.Sequence, Snapshot: s.Table.SnapshotID(), Evolved: s.Table.Evolved(),
		Schema: s.Schema, Files: append([]lake.BaseFile(nil), s.Files...),
	}
	var lets []func()
	f.Deltas, lets, err = e.bringDeltas(ctx, s.Pending())
	return f, append(release, lets...), err
}

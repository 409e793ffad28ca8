package engine

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"tarn/internal/dataset"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/results"
	"tarn/internal/rows"
	"tarn/internal/worker"
)

// Query runs a read. The answer streams; close it always.
func (e *Engine) Query(ctx context.Context, r QueryRequest) (*Answer, error) {
	e.asked.mark()
	if err := e.mayRead(); err != nil {
		return nil, err
	}
	a, err := e.queryBy(ctx, r)
	if err == nil {
		a.Outage = e.Outage()
	}
	return a, err
}

func (e *Engine) query(ctx context.Context, r QueryRequest) (*Answer, error) {
	if !e.results.Enabled() {
		return e.answer(ctx, r)
	}
	if a := e.answerHeld(r); a != nil {
		return a, nil
	}
	q := results.NewQuestion(r.SQL, r.Params, r.Format, r.Visible)
	if !r.Fresh {
		if a := e.again(q, r); a != nil {
			return a, nil
		}
	}
	a, err := e.answer(ctx, r)
	if err == nil {
		e.missedHeld(r, a.Head)
		a.Body = e.results.Record(q, r.Format, a.ContentType, a.Head, a.Body, a.Tail)
	}
	return a, err
}

func (e *Engine) answer(ctx context.Context, r QueryRequest) (*Answer, error) {
	a, err := e.run(ctx, worker.QueryRequest{ID: r.ID, SQL: r.SQL, Params: r.Params, Format: r.Format, Visible: r.Visible, Owner: r.Owner}, r.Timeout)
	if err != nil {
		return nil, err
	}
	e.used(a.Head)
	return a, nil
}

// run hands a query to the worker. Where it finds a base file that is not what
// was verified, the file is verified anew: one that is whole after all (it was
// touched, or copied) is published again and the query repeated once.
func (e *Engine) run(ctx context.Context, q worker.QueryRequest, timeout time.Duration) (*Answer, error) {
	began := time.Now()
	res, release, err := e.runAt(ctx, q, timeout)
	if lake.CodeOf(err) == lake.CodeDamaged && e.follower != nil {
		// The writer may have collected what is not shown there any more.
		if changed, behind := e.follower.catchUp(ctx); behind != nil {
			err = lake.Errorf(lake.CodeBehind, "a file is gone, and the lake could not be followed: %w", behind).WithHint("try again in a moment")
		} else if changed {
			res, release, err = e.runAt(ctx, q, timeout)
		}
	}
	if lake.CodeOf(err) == lake.CodeDamaged {
		mended := false
		for _, m := range e.members() {
			mended = e.reverify(ctx, m) || mended
		}
		if mended {
			res, release, err = e.runAt(ctx, q, timeout)
		}
	}
	e.metrics.queried(time.Since(began), err)
	if err != nil {
		return nil, err
	}
	return &Answer{
		ID: res.ID, ContentType: res.ContentType, Head: res.Head, Columns: res.Columns, Body: heldBody{res, release}, Tail: res.Tail, Deadline: res.Deadline,
	}, nil
}

// reverify verifies the base files of a dataset that are not as they were when
// last verified, and publishes them if they are whole: then it is true. Files that
// are as they were cost a stat each.
func (e *Engine) reverify(ctx context.Context, m *member) (mended bool) {
	if e.remote != nil {
		return e.remote.recheck(m)
	}
	s := m.ds.State()
	files, err := e.shop.Readable(ctx, s.Table)
	if err != nil {
		return false // who reads it says what is wrong with it
	}
	e.stream.Do(func() []lake.Entry {
		now := m.ds.State()
		if e.memberByUUID(s.UUID) != m || now.Dropped || now.Table != s.Table || sameIdentities(files, now.Files) {
			return nil
		}
		mended = true
		next := m.ds.Update(func(n *dataset.State) { n.Files = files })
		return []lake.Entry{next.Publish(false)}
	})
	return mended
}

// whole does work that reads the base files of a dataset, and again where a file was touched
// since it was verified, and is whole after all: who links to a file touches it.
func whole[T any](ctx context.Context, e *Engine, m *member, work func() (T, error)) (out T, err error) {
	for range touchedTries {
		was := m.ds.State().Files
		out, err = work()
		// A query that was part of the work may have had them verified again.
		if lake.CodeOf(err) != lake.CodeDamaged || !e.reverify(ctx, m) && sameIdentities(was, m.ds.State().Files) {
			break
		}
	}
	return out, err
}

// touchedTries is how often work is tried while files are touched.
const touchedTries = 4

func sameIdentities(a, b []lake.BaseFile) bool {
	return slices.EqualFunc(a, b, func(a, b lake.BaseFile) bool {
		return a.Identity == b.Identity && a.Path == b.Path && slices.Equal(a.Deletes, b.Deletes)
	})
}

// Get gives the rows of keys; absent ones are left out.
func (e *Engine) Get(ctx context.Context, r GetRequest) (*Answer, error) {
	if err := e.mayRead(); err != nil {
		return nil, err
	}
	m, err := e.keyed(r.Dataset)
	if err != nil {
		return nil, err
	}
	b, err := e.readBody(ctx, r.Body, e.set.SpoolBytes, e.set.SpoolBytes)
	if err != nil {
		return nil, lake.Step("get from "+r.Dataset.String(), err)
	}
	defer b.Remove()
	if a := e.getHeld(ctx, m, r, b.small); a != nil {
		return a, nil
	}
	return e.get(ctx, m, r.ID, r.Owner, r.Format, b.small, r.Out)
}

func (e *Engine) keyed(name lake.Name) (*member, error) {
	m, err := e.member(name)
	if err == nil && !m.ds.State().Schema.Keyed() {
		return nil, lake.Errorf(lake.CodeNoPrimaryKey, "%s has no primary key", name).WithHint("read it by SQL")
	}
	return m, err
}

func (e *Engine) get(ctx context.Context, m *member, id, owner string, in rows.Format, body []byte, out rows.OutFormat) (*Answer, error) {
	s := m.ds.State()
	a, err := e.run(ctx, worker.QueryRequest{ID: id, Owner: owner, Format: out, Get: &worker.Get{TableUUID: s.UUID, Format: in, Keys: body}}, 0)
	if err != nil {
		return nil, lake.Step("get from "+s.Name.String(), err)
	}
	e.used(a.Head)
	e.missed(s.UUID)
	a.ETag, a.Outage = e.etagAt(m, a.Head), e.Outage()
	return a, nil
}

// etagAt is the ETag of the state that an answer was read from, "" where its
// delta is trimmed already.
func (e *Engine) etagAt(m *member, head rows.Head) string {
	s := m.ds.State()
	for _, at := range head.ReadPoints {
		if at.TableUUID != s.UUID {
			continue
		}
		if at.Sequence == s.Sequence {
			return s.ETag()
		}
		for i := len(s.Deltas) - 1; i >= 0; i-- {
			if s.Deltas[i].Sequence == at.Sequence {
				return dataset.ETag(s.UUID, at.Sequence, len(s.Deltas[i].Requests))
			}
		}
		if at.Sequence == 0 {
			return dataset.ETag(s.UUID, 0, 0)
		}
	}
	return ""
}

// ask runs SQL of our own and decodes its NDJSON answer into out, a pointer to a
// slice of structs.
func (e *Engine) ask(ctx context.Context, sql string, out any) (rows.Head, error) {
	return e.askFor(ctx, 0, sql, out)
}

// askFor is ask with a timeout of its own.
func (e *Engine) askFor(ctx context.Context, timeout time.Duration, sql string, out any) (rows.Head, error) {
	a, err := e.run(ctx, worker.QueryRequest{SQL: sql, Format: rows.OutNDJSON}, timeout)
	if err != nil {
		return rows.Head{}, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return rows.Head{}, err
	}
	lines := strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ",")
	return a.Head, json.Unmarshal([]byte("["+lines+"]"), out)
}

// Queries lists the queries that run or wait.
func (e *Engine) Queries() []QueryInfo {
	out := []QueryInfo{}
	for _, q := range e.queries.List() {
		out = append(out, queryInfo(q))
	}
	return out
}

// NoQuery is the error for an id that no running query has.
func NoQuery(id string) error { return query.NotFound(id) }

// CancelQuery ends a query.
func (e *Engine) CancelQuery(id string) (QueryInfo, error) {
	q, err := e.queries.Cancel(id)
	return queryInfo(q), err
}

func queryInfo(q query.Running) QueryInfo {
	state := "running"
	if q.Queued {
		state = "queued"
	}
	return QueryInfo{ID: q.ID, SQL: q.SQL, State: state, Started: q.Started.UTC(), Owner: q.Owner}
}

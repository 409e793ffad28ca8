package engine

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"time"

	"github.com/google/uuid"

	"tarn/internal/dataset"
	"tarn/internal/keyread"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/results"
	"tarn/internal/rows"
)

// Reads by key of a hot dataset are answered from its rows in the server's memory, where
// these are held (results.Table; loaded by holding.go), as the worker would answer them.
// Whether they are, and which rows there are, is decided under the stream's lock with the
// dataset's state (I1, I2).

// What is looked for together in rows that are held: keys, and the bytes of their body.
// A longer body is decoded by the worker alone, whose memory is for that.
const (
	keysAtOnce    = 32
	heldBodyBytes = 64 << 10
)

// heldRows are the rows of some keys, and the state of the dataset that they are of.
type heldRows struct {
	table *results.Table
	rows  []uint32
	state *dataset.State
}

// findHeld finds the rows of keys, which were encoded for a schema of the dataset that has
// a name; nil where they have to be asked of the worker.
func (e *Engine) findHeld(m *member, name lake.Name, schema lake.Schema, keys ...string) (h *heldRows) {
	if !e.cache.Hot(m.ds.State().UUID) {
		return nil
	}
	e.stream.Do(func() []lake.Entry {
		s := m.ds.State()
		if s.Dropped || s.Name.Key() != name.Key() || s.Schema.ID != schema.ID {
			return nil
		}
		if t, found, ok := e.results.Find(s.UUID, s.Sequence, keys...); ok {
			h = &heldRows{t, found, s}
		}
		return nil
	})
	if h != nil {
		e.cache.Reused(h.state.UUID)
	}
	return h
}

// json is the row of one key as a JSON object, empty where there is none.
func (h *heldRows) json() ([]byte, error) {
	if len(h.rows) == 0 {
		return nil, nil
	}
	return h.table.AppendJSON(nil, h.rows[0])
}

// encodeHeld encodes the rows as an answer; nil where the worker has to say what is wrong
// with that.
func (e *Engine) encodeHeld(h *heldRows, format rows.OutFormat, repeatable bool, id string, began, until time.Time) *Answer {
	name := h.state.Name.String()
	head := rows.Head{
		ReadPoints: map[string]lake.Place{name: h.state.Place()}, ServedFrom: map[string]string{name: lake.ServedFromImage}, Repeatable: repeatable,
	}
	var body bytes.Buffer
	enc := rows.NewEncoder(format, &body)
	if enc.Begin(h.table.Columns, h.table.Schema, head) != nil {
		return nil
	}
	if len(h.rows) > 0 {
		rec, err := h.table.Take(h.rows)
		if err != nil || enc.Write(rec) != nil {
			return nil
		}
	}
	took := time.Since(began)
	tail := rows.Tail{RowCount: int64(len(h.rows)), ElapsedMS: float64(took.Microseconds()) / 1000}
	if enc.End(tail) != nil {
		return nil
	}
	e.metrics.queried(took, nil)
	return &Answer{
		ID: cmp.Or(id, uuid.NewString()), ContentType: format.ContentType(), Columns: h.table.Columns, Head: head, Deadline: until,
		Body: io.NopCloser(&body), Tail: func() rows.Tail { return tail },
	}
}

// answerHeld answers SQL that reads a row by its key; nil where it does something else,
// or the row is not held.
func (e *Engine) answerHeld(r QueryRequest) *Answer {
	began := time.Now()
	read, ok := keyread.Parse(r.SQL)
	if !ok || e.queries.CheckSQL(len(r.SQL)) != nil {
		return nil
	}
	until, err := e.queries.Deadline(r.Timeout)
	if err != nil {
		return nil // the runner says why
	}
	m, err := e.member(read.Name())
	if err != nil {
		return nil
	}
	s := m.ds.State()
	if !r.Visible.Has(read.Name()) { // which findHeld holds against the name under the lock
		return nil
	}
	params, err := keyread.ParseParams(r.Params)
	if err != nil {
		return nil
	}
	value, ok := read.Key(s.Schema, params)
	if !ok {
		return nil
	}
	key, err := keys.Whole(nil, s.Schema.KeySchema().Columns[0].Type, value)
	if err != nil {
		return nil
	}
	h := e.findHeld(m, read.Name(), s.Schema, string(key))
	if h == nil {
		return nil
	}
	return e.encodeHeld(h, r.Format, true, r.ID, began, until)
}

// getHeld answers a read of a few keys; nil where they are not held, or the worker has to
// say what is wrong with them.
func (e *Engine) getHeld(ctx context.Context, m *member, r GetRequest, body []byte) *Answer {
	s := m.ds.State()
	if !e.results.Enabled() || len(body) > heldBodyBytes || !e.cache.Hot(s.UUID) {
		return nil
	}
	began := time.Now()
	until, err := e.queries.Deadline(0)
	if err != nil {
		return nil
	}
	if !s.Schema.Keyed() {
		return nil
	}
	asked, err := bodyKeys(ctx, s.Schema, r.Format, body)
	if err != nil || len(asked) == 0 {
		return nil
	}
	h := e.findHeld(m, r.Dataset, s.Schema, asked...)
	if h == nil {
		return nil
	}
	a := e.encodeHeld(h, r.Out, false, r.ID, began, until)
	if a != nil {
		a.ETag, a.Outage = h.state.ETag(), e.Outage()
	}
	return a
}

// missedHeld notes a query that the worker answered, where it read a row by its key.
func (e *Engine) missedHeld(r QueryRequest, head rows.Head) {
	if _, ok := keyread.Parse(r.SQL); !ok || len(head.ReadPoints) != 1 {
		return
	}
	for _, at := range head.ReadPoints {
		e.missed(at.TableUUID)
	}
}

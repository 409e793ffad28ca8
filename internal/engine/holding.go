package engine

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/dataset"
	"tarn/internal/lake"
	"tarn/internal/results"
	"tarn/internal/rows"
	"tarn/internal/worker"
)

// missed notes a read by key that the worker answered: after some, the rows of a hot
// dataset are loaded to be held.
func (e *Engine) missed(uuid string) {
	n, hot := e.cache.HotRows(uuid)
	if !hot || !e.results.Enabled() || !e.results.Missed(uuid, n) {
		return
	}
	select {
	case e.holding <- uuid:
	default: // another is next; a later miss asks again
	}
}

// runHolding loads rows to be held, of one dataset at a time.
func (e *Engine) runHolding() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case uuid := <-e.holding:
			if err := e.hold(e.ctx, uuid); err != nil && e.ctx.Err() == nil {
				e.log.Debug("the rows of a dataset are not held", "table_uuid", uuid, "err", err)
			}
		}
	}
}

// hold reads all rows of a dataset and has them held from then on. What changes from the
// moment at which the load is known is noted beside them; the query that reads them is
// sent after that, and so sees all that came before.
func (e *Engine) hold(ctx context.Context, uuid string) error {
	m := e.memberByUUID(uuid)
	n, hot := e.cache.HotRows(uuid)
	if m == nil || !hot {
		return nil
	}
	var s *dataset.State
	var load *results.Load
	e.stream.Do(func() []lake.Entry {
		if s = m.ds.State(); !s.Dropped && s.Schema.Keyed() {
			load = e.results.Load(uuid, s.Sequence, n)
		}
		return nil
	})
	if load == nil {
		return nil
	}
	defer load.End()
	read, err := e.readAll(ctx, s, load)
	if err != nil {
		return lake.Step("read the rows of "+s.Name.String(), err)
	}
	if err := load.Index(); err != nil {
		return err
	}
	e.stream.Do(func() []lake.Entry {
		err = load.Keep(read, m.ds.State().Sequence)
		return nil
	})
	return err
}

// readAll reads the rows of a dataset into a load, and says at which sequence they are.
func (e *Engine) readAll(ctx context.Context, s *dataset.State, load *results.Load) (sequence int64, err error) {
	a, err := e.run(ctx, worker.QueryRequest{SQL: "SELECT * FROM " + s.Name.SQL(), Format: rows.OutArrow, Within: true}, 0)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	at, ok := a.Head.ReadPoints[s.Name.String()]
	if !ok || at.TableUUID != s.UUID {
		return 0, results.ErrOvertaken // its name is another dataset's by now
	}
	in, err := ipc.NewReader(a.Body, ipc.WithAllocator(memory.DefaultAllocator))
	if err != nil {
		return 0, err
	}
	defer in.Release()
	load.Begin(s.Schema, a.Columns, in.Schema())
	n := int64(0)
	for in.Next() {
		rec := in.RecordBatch()
		rec.Retain()
		if err := load.Add(rec); err != nil {
			return 0, err
		}
		n += rec.NumRows()
	}
	if err := in.Err(); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, a.Body); err != nil { // its end says whether it is whole
		return 0, err
	}
	if want := a.Tail().RowCount; n != want {
		return 0, lake.Errorf(lake.CodeInternal, "%d rows were read of %d", n, want)
	}
	return at.Sequence, nil
}

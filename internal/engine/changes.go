package engine

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Change commits the changes of one request, all or none.
func (e *Engine) Change(ctx context.Context, r ChangeRequest) (ChangeResult, error) {
	e.asked.mark()
	if err := e.mayWrite(); err != nil {
		return ChangeResult{}, err
	}
	m, err := e.member(r.Dataset)
	if err != nil {
		return ChangeResult{}, err
	}
	s := m.ds.State()
	if r.Op != OpUpsert && !s.Schema.Keyed() {
		return ChangeResult{}, lake.Errorf(lake.CodeNoPrimaryKey, "%s has no primary key: it takes appended rows only", s.Name).
			WithHint("POST its rows to /datasets/%s/rows; UPDATE, DELETE and MERGE change rows by SQL", s.Name)
	}
	b, err := e.readBody(ctx, r.Body, e.set.MaxBodyBytes, e.set.SpoolBytes)
	if err != nil {
		return ChangeResult{}, lake.Step("change "+s.Name.String(), err)
	}
	defer b.Remove()
	q := change.Request{
		Name: r.Dataset, UUID: s.UUID, SchemaID: s.Schema.ID, Bytes: b.bytes, IfMatch: r.IfMatch, Key: r.Idempotency.stored(),
	}
	if q.Key != "" {
		q.Hash = requestHash(r.Idempotency, b.hash)
		// A request that was done is answered before its rows are looked at
		// again: the schema may have moved on.
		if o, ok := m.ds.Find(q.Key); ok && o.Hash == q.Hash {
			return changeResult(change.Acknowledged{Rows: o.Rows, ReadPoint: o.ReadPoint, ETag: o.ETag}), nil
		}
	}
	submit := func() (change.Acknowledged, error) {
		if err := e.decodeBody(ctx, s, r, b, &q); err != nil {
			return change.Acknowledged{}, err
		}
		return m.committer.Submit(ctx, q)
	}
	if r.Missing == rows.MissingKeep && s.Schema.Keyed() {
		submit = func() (change.Acknowledged, error) { return e.keep(ctx, m, s, r, b, &q) }
	} else if r.Missing == rows.MissingKeep {
		r.Missing = rows.MissingNull // every row is new
	}
	ack, err := submit()
	if err != nil {
		e.notice(err)
		return ChangeResult{}, lake.Step("change "+s.Name.String(), err)
	}
	e.metrics.changed(s.Name, q.Rows)
	return changeResult(ack), nil
}

// decodeBody makes the changes of a body: in memory, or by a job.
func (e *Engine) decodeBody(ctx context.Context, s *dataset.State, r ChangeRequest, b *body, q *change.Request) (err error) {
	if b.path == "" {
		q.Changes, q.Rows, err = e.decodeChanges(ctx, s, r, b.Reader())
		if errors.Is(err, errGrows) {
			err = b.spool(e)
		}
	}
	if err == nil && b.path != "" {
		err = e.bodyByJob(ctx, s, r, b, q)
	}
	return err
}

func changeResult(a change.Acknowledged) ChangeResult {
	return ChangeResult{Rows: a.Rows, Sequence: a.ReadPoint.Sequence, ReadPoint: a.ReadPoint, ETag: a.ETag}
}

// errGrows says that a small body holds so much that it belongs into a job, as a
// well compressed one may.
var errGrows = errors.New("the body is much larger decoded")

// growth is how many times spool_bytes a decoded body may have in memory.
const growth = 8

// decodeChanges decodes a body in memory. It fails with errGrows where the rows
// are too large for that.
func (e *Engine) decodeChanges(ctx context.Context, s *dataset.State, r ChangeRequest, in io.Reader) ([]format.Changes, int64, error) {
	o := rows.DecodeOptions{
		Schema: s.Schema, Missing: r.Missing, MaxRowBytes: int(e.set.MaxRowBytes), ScratchDir: e.scratch(),
	}
	if r.Op == OpChanges {
		return decodeMixed(ctx, r, in, o)
	}
	op := format.OpUpsert
	if r.Op == OpDelete {
		op, o.Schema = format.OpDelete, s.Schema.KeySchema()
	}
	d, err := rows.Decode(ctx, r.Format, in, o)
	if err != nil {
		return nil, 0, err
	}
	defer d.Close()
	var out []format.Changes
	total, size := int64(0), int64(0)
	for {
		rec, err := d.Next()
		if err == io.EOF {
			return out, total, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if size += rows.BatchBytes(rec); size > growth*e.set.SpoolBytes {
			return nil, 0, errGrows
		}
		n := rec.NumRows()
		total += n
		if op == format.OpDelete {
			rec = onlyKeys(s.Schema, rec)
		}
		ops := make([]uint8, n)
		for i := range ops {
			ops[i] = op
		}
		out = append(out, format.Changes{Rows: rec, Ops: ops})
	}
}

func decodeMixed(ctx context.Context, r ChangeRequest, in io.Reader, o rows.DecodeOptions) ([]format.Changes, int64, error) {
	d, err := rows.DecodeMixed(ctx, r.Format, in, o)
	if err != nil {
		return nil, 0, err
	}
	defer d.Close()
	var out []format.Changes
	total := int64(0)
	for {
		b, err := d.Next()
		if err == io.EOF {
			return out, total, nil
		}
		if err != nil {
			return nil, 0, err
		}
		total += int64(len(b.Ops))
		out = append(out, format.Changes{Rows: b.Rows, Ops: b.Ops})
	}
}

// onlyKeys widens a batch of key columns to the dataset's columns: the others are
// null, as a delete sets none of them.
func onlyKeys(schema lake.Schema, keys arrow.RecordBatch) arrow.RecordBatch {
	want := format.ChangesSchema(schema)
	cols := make([]arrow.Array, len(schema.Columns))
	for k, i := range schema.KeyIndexes() {
		cols[i] = keys.Column(k)
	}
	for i := range cols {
		if cols[i] == nil {
			cols[i] = array.MakeArrayOfNull(memory.DefaultAllocator, want.Field(i).Type, int(keys.NumRows()))
		}
	}
	return array.NewRecordBatch(want, cols, keys.NumRows())
}

// bodyByJob lets a job make the delta's Parquet of a large body.
func (e *Engine) bodyByJob(ctx context.Context, s *dataset.State, r ChangeRequest, b *body, q *change.Request) (err error) {
	q.Rows, err = e.changesByJob(ctx, job.Changes{
		Schema: s.Schema, Op: string(r.Op), Missing: r.Missing, Input: job.InputFile{Path: b.path, Name: "the body", Format: r.Format},
	}, q)
	return err
}

// changesByJob lets a job make one file of large changes, and says how many it read. The
// file stays until the committer lets go of it.
func (e *Engine) changesByJob(ctx context.Context, c job.Changes, q *change.Request) (n int64, err error) {
	pad, err := e.shop.NewScratchpad("changes")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			pad.Remove()
		}
	}()
	leave, err := e.shop.EnterChanges(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	c.MaxRowBytes = int(e.set.MaxRowBytes)
	res, err := e.shop.Run(ctx, pad, job.Spec{Kind: job.KindChanges, Changes: &c}, nil)
	if err != nil {
		return 0, err
	}
	if len(res.Outputs) != 1 {
		return 0, lake.Errorf(lake.CodeInternal, "large changes came back as %d files", len(res.Outputs))
	}
	out := res.Outputs[0]
	q.File, q.FileRows, q.Bytes, q.LetGo = out.Path, out.Rows, out.Bytes, pad.Remove
	return res.Rows, nil
}

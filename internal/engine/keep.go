package engine

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/job"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// keep upserts rows that lack columns, which stay as they are (rows.MissingKeep). The rows
// are made one of each key first. When the committer's turn has come, the worker is asked
// for the rows of these keys; whole rows then take the way of a body.
func (e *Engine) keep(ctx context.Context, m *member, s *dataset.State, r ChangeRequest, b *body, q *change.Request) (change.Acknowledged, error) {
	k := &keeping{e: e, schema: s.Schema, enc: keys.NewEncoder(s.Schema.KeySchema(), s.Schema.KeyIndexes())}
	defer k.close()
	if err := k.read(ctx, s, r, b); err != nil {
		return change.Acknowledged{}, err
	}
	return m.committer.SubmitPrepared(ctx, ctx, *q, func(ctx context.Context, now *dataset.State) (change.Request, error) {
		return k.prepare(ctx, now, *q)
	})
}

// keeping is one such request.
type keeping struct {
	e      *Engine
	schema lake.Schema
	enc    *keys.Encoder
	count  int64 // rows of the request

	all  []partial // of a small one
	file string    // of a large one: a job's Arrow stream, by key
	done func()
}

func (k *keeping) close() {
	if k.done != nil {
		k.done()
	}
}

// read decodes the body: in memory, or by a job that sorts it.
func (k *keeping) read(ctx context.Context, s *dataset.State, r ChangeRequest, b *body) (err error) {
	if b.path == "" {
		err = k.decode(ctx, r, b)
		if errors.Is(err, errGrows) {
			err = b.spool(k.e)
		}
	}
	if err == nil && b.path != "" {
		r.Op = ChangeOp(job.OpKeep)
		var q change.Request
		if err = k.e.bodyByJob(ctx, s, r, b, &q); err == nil {
			k.all, k.file, k.count, k.done = nil, q.File, q.Rows, q.LetGo
		}
	}
	return err
}

func (k *keeping) decode(ctx context.Context, r ChangeRequest, b *body) error {
	d, err := rows.Decode(ctx, r.Format, b.Reader(), rows.DecodeOptions{
		Schema: k.schema, Missing: rows.MissingKeep, MaxRowBytes: int(k.e.set.MaxRowBytes), ScratchDir: k.e.scratch(),
	})
	if err != nil {
		return err
	}
	defer d.Close()
	size := int64(0)
	for {
		rec, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if size += rows.BatchBytes(rec); size > growth*k.e.set.SpoolBytes {
			return errGrows
		}
		p := partial{cols: rec.Columns(), numbers: make([]int64, rec.NumRows())}
		for i := range p.numbers {
			p.numbers[i] = k.count + int64(i) + 1
		}
		k.count += rec.NumRows()
		k.all = append(k.all, p)
	}
	if k.count == 0 {
		return nil
	}
	one, err := k.collapse(k.all)
	k.all = []partial{one}
	return err
}

// prepare makes whole rows, in the hand of the committer.
func (k *keeping) prepare(ctx context.Context, s *dataset.State, q change.Request) (change.Request, error) {
	if s.Schema.ID != k.schema.ID {
		return q, lake.Errorf(lake.CodeSchemaChanged, "the schema of %s changed while the request waited", s.Name).
			WithHint("send it again: it is checked against the new schema")
	}
	q.SchemaID = s.Schema.ID
	b, err := onceMore(func() (*body, error) { return k.whole(ctx, s) })
	if err != nil {
		return q, err
	}
	err = b.goesWith(&q, k.e.decodeBody(ctx, s, ChangeRequest{Op: OpUpsert, Format: rows.ArrowStream}, b, &q))
	q.Rows = k.count
	return q, err
}

// whole is a body of whole rows, one of each key.
func (k *keeping) whole(ctx context.Context, s *dataset.State) (*body, error) {
	parts, err := k.parts(ctx)
	if err != nil {
		return nil, err
	}
	defer parts.close()
	in := &wholeRows{k: k, ctx: ctx, uuid: s.UUID, parts: parts}
	defer in.close()
	in.out = ipc.NewWriter(&in.buf, ipc.WithSchema(k.schema.Arrow()))
	return k.e.readBodyWithin(ctx, k.e.made, in, math.MaxInt64-1, k.e.set.SpoolBytes)
}

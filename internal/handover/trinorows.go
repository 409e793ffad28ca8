package handover

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// A batch of Trino's rows ends after so many.
const trinoBatchRows = 4096

// trinoAnswer makes batches of the rows as they come. The client holds two of Trino's
// pages, which are of 16 MB at most unless Trino is set otherwise.
type trinoAnswer struct {
	ctx    context.Context
	t      *trino
	rows   *sql.Rows
	cancel context.CancelFunc
	schema *arrow.Schema
	values []any // of a row
	into   []any // pointers to them
	run    *trinoRun
	began  bool
	ended  bool
	once   sync.Once
}

func newTrinoAnswer(ctx context.Context, t *trino, rows *sql.Rows) (*trinoAnswer, error) {
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, t.failure(ctx, err, false)
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		typ, err := trinoColumnType(c)
		if err != nil {
			return nil, lake.Step(fmt.Sprintf("column %q", c.Name()), err)
		}
		fields[i] = arrow.Field{Name: c.Name(), Type: typ, Nullable: true}
	}
	if len(fields) == 0 {
		if err := rows.Err(); err != nil {
			return nil, t.failure(ctx, err, false)
		}
		return nil, lake.Errorf(lake.CodeEngineFailed, "the answer of Trino has no columns")
	}
	a := &trinoAnswer{ctx: ctx, t: t, rows: rows, schema: arrow.NewSchema(fields, nil), values: make([]any, len(fields)), into: make([]any, len(fields))}
	for i := range a.values {
		a.into[i] = &a.values[i]
	}
	return a, nil
}

// Schema implements Answer.
func (a *trinoAnswer) Schema() *arrow.Schema { return a.schema }

// Next implements Answer.
func (a *trinoAnswer) Next() (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, a.schema)
	defer b.Release()
	n := 0
	for ; n < trinoBatchRows && a.rows.Next(); n++ {
		a.began = true
		if err := a.rows.Scan(a.into...); err != nil {
			return nil, cut(Trino, err)
		}
		for i, v := range a.values {
			if err := appendTrino(b.Field(i), a.schema.Field(i).Type, v); err != nil {
				return nil, lake.Step(fmt.Sprintf("column %q", a.schema.Field(i).Name), err)
			}
		}
	}
	if n < trinoBatchRows {
		if err := a.rows.Err(); err != nil {
			return nil, a.t.failure(a.ctx, err, a.began)
		}
	}
	if n == 0 {
		a.ended = true
		return nil, io.EOF
	}
	return b.NewRecordBatch(), nil
}

// Close implements Answer. What the closing says is not needed: the rows that matter were
// read, or nobody wants them.
func (a *trinoAnswer) Close() {
	a.once.Do(func() {
		a.cancel()
		_ = a.rows.Close()
		if !a.ended {
			a.t.end(a.run)
		}
	})
}

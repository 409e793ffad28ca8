package job

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// runChanges decodes a body into a table, and writes the latest change of each
// key as the Parquet of a delta.
func (s *session) runChanges(ctx context.Context, ch Changes) (Result, error) {
	if !ch.Schema.Keyed() && ch.Op != OpUpsert {
		return Result{}, lake.Errorf(lake.CodeNoPrimaryKey, "a dataset without a primary key takes appends only")
	}
	arrive := s.bodyArrives
	if len(ch.Deltas) > 0 {
		arrive = s.deltasArrive
	}
	n, err := arrive(ctx, ch)
	if err != nil {
		return Result{}, err
	}
	write := s.writeChanges
	if ch.Op == OpKeep {
		write = s.writePartials
	}
	out, err := write(ctx, ch)
	if err != nil {
		return Result{}, err
	}
	return Result{Rows: n, DeltaRows: out.Rows, Outputs: []Output{out}}, nil
}

// bodyArrives fills the table arrived from a body.
func (s *session) bodyArrives(ctx context.Context, ch Changes) (int64, error) {
	comma, err := delimiterOf(ch.Input)
	if err != nil {
		return 0, err
	}
	body, err := unpack(ch.Input, s.meter("decode"))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return s.decodeChanges(ctx, ch, body, rows.DecodeOptions{
		Schema: ch.Schema, Missing: ch.Missing, MaxRowBytes: ch.MaxRowBytes, Comma: comma, ScratchDir: filepath.Join(s.spec.Scratch, "in"),
	})
}

// deltasArrive fills the table arrived, with op, from deltas, one after the other.
func (s *session) deltasArrive(ctx context.Context, ch Changes) (n int64, err error) {
	if err := s.createTable(ctx, "arrived", ch.Schema, "op INTEGER"); err != nil {
		return 0, err
	}
	if err := s.c.Exec(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	for _, d := range ch.Deltas {
		_, err := format.OpenDelta(ctx, d.Path, ch.Schema, func(c format.Changes) error {
			n += c.Rows.NumRows()
			batch := withOps(rows.ChangeBatch{Rows: c.Rows, Ops: c.Ops})
			defer batch.Release()
			return s.c.Append(ctx, catalog, "main", "arrived", []arrow.RecordBatch{batch})
		})
		if err != nil {
			return n, err // the session ends: nothing of it is kept
		}
	}
	return n, s.c.Exec(ctx, "COMMIT")
}

// decodeChanges fills the table arrived: the columns (of a delete, those of the
// key), and op where the body says it. Its row ids are the order of arrival.
func (s *session) decodeChanges(ctx context.Context, ch Changes, body *body, o rows.DecodeOptions) (int64, error) {
	if ch.Op == OpChanges {
		if err := s.createTable(ctx, "arrived", ch.Schema, "op INTEGER"); err != nil {
			return 0, err
		}
		d, err := rows.DecodeMixed(ctx, ch.Input.Format, body.Reader, o)
		if err != nil {
			return 0, err
		}
		defer d.Close()
		return s.fill(ctx, "arrived", func() (arrow.RecordBatch, error) {
			batch, err := d.Next()
			if err != nil {
				return nil, err
			}
			defer batch.Rows.Release()
			return withOps(batch), nil
		})
	}
	more := ""
	switch ch.Op {
	case OpDelete:
		o.Schema = ch.Schema.KeySchema()
	case OpKeep:
		o.Missing, more = rows.MissingKeep, "given BLOB"
	case OpUpsert:
	default:
		return 0, lake.Errorf(lake.CodeInternal, "changes by the operation %q", ch.Op)
	}
	if err := s.createTable(ctx, "arrived", o.Schema, more); err != nil {
		return 0, err
	}
	d, err := rows.Decode(ctx, ch.Input.Format, body.Reader, o)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return s.fill(ctx, "arrived", d.Next)
}

// withOps adds the operations as a last column.
func withOps(b rows.ChangeBatch) arrow.RecordBatch {
	ops := array.NewInt32Builder(memory.DefaultAllocator)
	defer ops.Release()
	ops.Reserve(len(b.Ops))
	for _, op := range b.Ops {
		ops.UnsafeAppend(int32(op))
	}
	column := ops.NewArray()
	defer column.Release()
	fields := append(b.Rows.Schema().Fields(), arrow.Field{Name: "op", Type: arrow.PrimitiveTypes.Int32})
	columns := append(append([]arrow.Array(nil), b.Rows.Columns()...), column)
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, b.Rows.NumRows())
}

// writeChanges writes the Parquet file, which may have no rows.
func (s *session) writeChanges(ctx context.Context, ch Changes) (Output, error) {
	dir, err := s.outDir("changes")
	if err != nil {
		return Output{}, err
	}
	names := make([]string, 0, len(ch.Schema.Columns)+1)
	for i, c := range ch.Schema.Columns {
		names = append(names, col(i)+" AS "+lake.QuoteIdent(c.Name))
	}
	names = append(names, "op::INTEGER AS "+format.OpColumn)
	columns := append(append([]lake.Column(nil), ch.Schema.Columns...), lake.Column{ID: format.OpFieldID, Name: format.OpColumn, Type: lake.Type{Kind: lake.Integer}})
	path := filepath.Join(dir, "changes.parquet")
	if err := s.rowGroup(ctx, unsorted(ch), ch.Schema); err != nil {
		return Output{}, err
	}
	relation := latestArrived(ch)
	if s.sizes.wide {
		relation = inOrder(relation)
	}
	sql := fmt.Sprintf("COPY (SELECT %s FROM (%s)) TO %s (FORMAT parquet, COMPRESSION %s, ROW_GROUP_SIZE %d, FIELD_IDS %s)",
		list(names), relation, lake.QuoteString(path), deltaCompression, s.sizes.group, fieldIDs(columns))
	if err := s.watched(ctx, "write", dir, sql); err != nil {
		return Output{}, err
	}
	return footer(path)
}

// latestArrived selects c1…cn and op of what the delta is to hold.
func latestArrived(ch Changes) string {
	if !ch.Schema.Keyed() {
		return unsorted(ch)
	}
	keys := keyCols(ch.Schema)
	return lastOfRun(fmt.Sprintf("SELECT * FROM (%s) ORDER BY %s, r", unsorted(ch), list(keys)), keys)
}

// unsorted selects c1…cn, op and the order of arrival r of all that arrived.
func unsorted(ch Changes) string {
	op := map[string]string{
		OpChanges: "op",
		OpUpsert:  fmt.Sprintf("%d AS op", format.OpUpsert),
		OpDelete:  fmt.Sprintf("%d AS op", format.OpDelete),
	}[ch.Op]
	// A delete's table has the key columns alone, called c1…ck in key order.
	exprs := cols(ch.Schema)
	if ch.Op == OpDelete {
		for i, c := range ch.Schema.Columns {
			exprs[i] = fmt.Sprintf("NULL::%s AS %s", c.Type.SQL(), col(i))
		}
		for k, i := range ch.Schema.KeyIndexes() {
			exprs[i] = col(k) + " AS " + col(i)
		}
	}
	return fmt.Sprintf("SELECT %s, %s, rowid AS r FROM arrived", list(exprs), op)
}

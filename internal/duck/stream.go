//go:build duckdb_arrow

package duck

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
)

// Column is a column of a result. Type is in DuckDB's spelling and tells apart
// what Arrow does not: HUGEINT and DECIMAL(38,0), JSON and VARCHAR, TIMESTAMP_NS.
type Column struct{ Name, Type string }

// Stream is a running query. DuckDB computes a few batches ahead of the reader
// and no more, so a result of any size takes the memory of a small one.
//
// It belongs to its Conn: not for concurrent use, and over with the connection's
// next statement. Names and types are those of the result itself; a prepared
// statement's can be older, as it binds again when a view was replaced.
type Stream struct {
	conn      *Conn
	statement duckdb.PreparedStatement
	stands    func() bool // see QueryIf; nil: a Query
	kept      *Statement  // whose statement and shape it has, nil: its own
	result    duckdb.Result
	shape     *resultShape
	over      error // what Next says from now on: io.EOF or the failure
}

// resultShape is what a result's columns are and how they leave.
type resultShape struct {
	options duckdb.ArrowOptions
	columns []Column
	wire    *arrow.Schema // as DuckDB exports the batches
	schema  *arrow.Schema // as they leave
	leave   []conversion  // from wire to schema, a column each; nil where they are the same
}

// Columns are the result's columns in order.
func (s *Stream) Columns() []Column { return s.shape.columns }

// Schema is the Arrow schema of the batches; see results.go for what becomes
// what.
func (s *Stream) Schema() *arrow.Schema { return s.shape.schema }

// Next gives the next batch, of 1 to 2,048 rows, which the caller releases;
// io.EOF at the end. An error can come after any number of batches, and then
// comes again. The values of strings point into C memory: clone what outlives
// the batch.
func (s *Stream) Next(ctx context.Context) (arrow.RecordBatch, error) {
	if s.over != nil {
		return nil, s.over
	}
	if ctx.Err() != nil {
		s.over = ended(ctx)
		return nil, s.over
	}
	batch, err := s.fetch(ctx)
	if err != nil {
		s.over = err
		return nil, err
	}
	return batch, nil
}

func (s *Stream) fetch(ctx context.Context) (arrow.RecordBatch, error) {
	release := s.conn.interruptOn(ctx)
	defer release()
	for {
		chunk := duckdb.FetchChunk(s.result)
		if chunk.Ptr == nil { // the end or an error
			if message := duckdb.ResultError(&s.result); message != "" {
				return nil, s.conn.db.failure(ctx, message)
			}
			return nil, io.EOF
		}
		if duckdb.DataChunkGetSize(chunk) == 0 {
			duckdb.DestroyDataChunk(&chunk)
			continue
		}
		batch, fault := duckdb.DataChunkToArrowArray(s.shape.options, s.shape.wire, chunk)
		duckdb.DestroyDataChunk(&chunk)
		if err := s.conn.db.fault(ctx, &fault); err != nil {
			return nil, err
		}
		return s.convert(batch)
	}
}

// convert turns a batch as DuckDB exports it into one of s.schema, and releases
// the former.
func (s *Stream) convert(batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	defer batch.Release()
	columns := make([]arrow.Array, 0, len(s.shape.columns))
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, column := range batch.Columns() {
		if s.shape.leave[i] == nil {
			column.Retain()
			columns = append(columns, column)
			continue
		}
		data, err := s.shape.leave[i](column.Data())
		if err != nil {
			return nil, lake.Step("column "+s.shape.columns[i].Name, err)
		}
		columns = append(columns, array.MakeFromData(data))
		data.Release()
	}
	return array.NewRecordBatch(s.shape.schema, columns, batch.NumRows()), nil
}

// readColumns takes names and types from the result and plans how each column
// leaves.
func (s *Stream) readColumns() error {
	sh := &resultShape{}
	s.shape = sh
	n := int(duckdb.ColumnCount(&s.result))
	types := make([]duckdb.LogicalType, n)
	names := make([]string, n)
	for i := range n {
		types[i] = duckdb.ColumnLogicalType(&s.result, duckdb.IdxT(i))
		names[i] = duckdb.ColumnName(&s.result, duckdb.IdxT(i))
	}
	defer func() {
		for i := range types {
			duckdb.DestroyLogicalType(&types[i])
		}
	}()
	sh.columns = make([]Column, n)
	for i := range n {
		sh.columns[i] = Column{names[i], typeSQL(types[i])}
		if err := canLeave(types[i]); err != nil {
			return lake.Step("column "+names[i], err)
		}
	}
	sh.options = duckdb.ResultGetArrowOptions(&s.result)
	wire, fault := duckdb.NewArrowSchema(sh.options, types, names)
	if err := s.conn.db.fault(context.Background(), &fault); err != nil {
		return err
	}
	sh.leave = make([]conversion, n)
	stored, fields := make([]arrow.Field, n), make([]arrow.Field, n)
	for i, f := range wire.Fields() {
		stored[i] = arrow.Field{Name: names[i], Type: storage(f.Type), Nullable: true}
		out, leave := leaving(types[i], stored[i].Type)
		fields[i] = arrow.Field{Name: names[i], Type: out, Nullable: true}
		sh.leave[i] = leave
	}
	sh.wire, sh.schema = arrow.NewSchema(stored, nil), arrow.NewSchema(fields, nil)
	return nil
}

// drain reads the stream to its end for its effect, and closes it.
func (s *Stream) drain(ctx context.Context) error {
	defer s.Close()
	for {
		batch, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		batch.Release()
	}
}

// Close ends the query if it still runs and frees the connection for the next
// statement. It can be called twice.
func (s *Stream) Close() {
	if s.over == nil {
		s.over = lake.Errorf(lake.CodeCancelled, "the result was closed before its end")
	}
	s.free()
	if s.conn.stream == s {
		s.conn.stream = nil
	}
}

func (s *Stream) free() {
	duckdb.DestroyResult(&s.result)
	if s.kept != nil {
		return
	}
	if s.shape != nil {
		duckdb.DestroyArrowOptions(&s.shape.options)
	}
	duckdb.DestroyPrepare(&s.statement)
}

// fault is the error that an ErrorData holds, if it does; it destroys it.
func (db *DB) fault(ctx context.Context, data *duckdb.ErrorData) error {
	defer duckdb.DestroyErrorData(data)
	if data.Ptr == nil || !duckdb.ErrorDataHasError(*data) {
		return nil
	}
	return db.failure(ctx, duckdb.ErrorDataMessage(*data))
}

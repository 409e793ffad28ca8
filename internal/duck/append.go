//go:build duckdb_arrow

package duck

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
)

// appendRowsAtOnce is DuckDB's vector size, the most rows a chunk can have.
const appendRowsAtOnce = 2048

// Append adds the rows of the batches to a table, in the transaction that the
// caller has begun. The batches have the table's columns in its order, in Arrow
// types that DuckDB casts to the table's. When it fails the transaction has to
// be rolled back.
func (c *Conn) Append(ctx context.Context, catalog, schema, table string, batches []arrow.RecordBatch) error {
	if err := c.begin(ctx, ""); err != nil {
		return err
	}
	var appender duckdb.Appender
	defer duckdb.AppenderDestroy(&appender)
	if duckdb.AppenderCreateExt(c.conn, catalog, schema, table, &appender) == duckdb.StateError {
		return c.appenderFailure(ctx, appender)
	}
	for _, batch := range batches {
		if err := c.appendBatch(ctx, appender, batch); err != nil {
			return lake.Step("append to "+table, err)
		}
	}
	release := c.interruptOn(ctx)
	state := duckdb.AppenderClose(appender)
	release()
	if state == duckdb.StateError {
		return lake.Step("append to "+table, c.appenderFailure(ctx, appender))
	}
	return nil
}

func (c *Conn) appendBatch(ctx context.Context, appender duckdb.Appender, batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	schema, fault := duckdb.SchemaFromArrow(c.conn, batch.Schema())
	defer duckdb.DestroyArrowConvertedSchema(&schema)
	if err := c.db.fault(ctx, &fault); err != nil {
		return err
	}
	for from := int64(0); from < batch.NumRows(); from += appendRowsAtOnce {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		chunk, err := chunkOf(batch, from, min(from+appendRowsAtOnce, batch.NumRows()))
		if err != nil {
			return err
		}
		if err := c.appendSlice(ctx, appender, schema, chunk); err != nil {
			return err
		}
	}
	return nil
}

// appendSlice appends one chunk and releases its batch.
func (c *Conn) appendSlice(ctx context.Context, appender duckdb.Appender, schema duckdb.ArrowConvertedSchema, slice arrow.RecordBatch) error {
	defer slice.Release()
	chunk, fault := duckdb.DataChunkFromArrow(c.conn, slice, schema)
	defer duckdb.DestroyDataChunk(&chunk)
	if err := c.db.fault(ctx, &fault); err != nil {
		return err
	}
	if duckdb.AppendDataChunk(appender, chunk) == duckdb.StateError {
		return c.appenderFailure(ctx, appender)
	}
	return nil
}

func (c *Conn) appenderFailure(ctx context.Context, appender duckdb.Appender) error {
	fault := duckdb.AppenderErrorData(appender)
	if err := c.db.fault(ctx, &fault); err != nil {
		return err
	}
	return lake.Errorf(lake.CodeInternal, "DuckDB refused rows without a reason")
}

//go:build duckdb_arrow

package duck

import (
	"context"
	"errors"
	"io"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// Query starts one statement and returns once its first rows are ready. ctx
// holds until then; later waits have the context of Stream.Next. The stream ends
// when it is closed or with the connection's next statement.
func (c *Conn) Query(ctx context.Context, sql string, params Params) (*Stream, error) {
	return c.query(ctx, sql, params, nil)
}

// ErrNotAlone says that a statement is to run within a transaction.
var ErrNotAlone = errors.New("the statement is to run within a transaction")

// QueryIf is Query of one SELECT outside of a transaction. It has a snapshot of its own,
// which goes with its last row; whoever leaves before that ends it by ROLLBACK. stands is
// asked once the snapshot is fixed and before anything runs. Where it says no, or the
// statement is no SELECT, QueryIf fails with ErrNotAlone.
func (c *Conn) QueryIf(ctx context.Context, sql string, params Params, stands func() bool) (*Stream, error) {
	return c.query(ctx, sql, params, stands)
}

func (c *Conn) query(ctx context.Context, sql string, params Params, stands func() bool) (*Stream, error) {
	if err := c.begin(ctx, sql); err != nil {
		return nil, err
	}
	release := c.interruptOn(ctx)
	defer release()

	s := &Stream{conn: c, stands: stands}
	if err := s.start(ctx, sql, params); err != nil {
		s.free()
		return nil, err
	}
	c.stream = s
	return s, nil
}

// start takes the statement up to its first rows.
func (s *Stream) start(ctx context.Context, sql string, params Params) error {
	if duckdb.Prepare(s.conn.conn, sql, &s.statement) == duckdb.StateError {
		return s.conn.db.failure(ctx, duckdb.PrepareError(s.statement))
	}
	if t := duckdb.PreparedStatementType(s.statement); s.stands != nil && t != duckdb.StatementTypeSelect {
		return ErrNotAlone
	}
	return s.run(ctx, params)
}

// run takes the prepared statement up to its first rows.
func (s *Stream) run(ctx context.Context, params Params) error {
	db := s.conn.db
	if err := params.bind(s.statement); err != nil {
		return err
	}
	var pending duckdb.PendingResult
	defer duckdb.DestroyPending(&pending)
	if duckdb.PendingPreparedStreaming(s.statement, &pending) == duckdb.StateError {
		return db.failure(ctx, duckdb.PendingError(pending))
	}
	if s.stands != nil && !s.stands() {
		s.giveUp(pending)
		return ErrNotAlone
	}
	if duckdb.ExecutePending(pending, &s.result) == duckdb.StateError {
		return db.failure(ctx, duckdb.ResultError(&s.result))
	}
	if s.kept != nil && s.kept.shape != nil {
		s.shape = s.kept.shape
		return nil
	}
	err := s.readColumns()
	if s.kept != nil {
		s.kept.shape = s.shape
	}
	return err
}

// giveUp ends a pending statement, of which DuckDB's threads have begun to work: it is
// interrupted and waited for. Where it was only forgotten, the next statement would wait
// for ever for a recursive query, whose steps then neither run nor fail.
func (s *Stream) giveUp(pending duckdb.PendingResult) {
	duckdb.Interrupt(s.conn.conn)
	duckdb.ExecutePending(pending, &s.result)
}

// Rows runs one statement and gives all its rows, for small internal results.
// Values are nil, bool, int64 (also HUGEINT that fits), uint64 (UBIGINT),
// float64, string (also DECIMAL, UUID and HUGEINT that does not fit in an
// int64), []byte, time.Time in UTC (dates and timestamps), time.Duration (TIME),
// []any (LIST), map[string]any (STRUCT) and [][2]any (MAP).
func (c *Conn) Rows(ctx context.Context, sql string, params ...any) ([][]any, error) {
	s, err := c.Query(ctx, sql, Params{Positional: params})
	if err != nil {
		return nil, err
	}
	return s.Rows(ctx)
}

// Rows gives all rows of the stream, as Conn.Rows does, and closes it.
func (s *Stream) Rows(ctx context.Context) (out [][]any, err error) {
	defer s.Close()
	for {
		batch, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out, err = appendRows(out, batch)
		batch.Release()
		if err != nil {
			return nil, err
		}
	}
}

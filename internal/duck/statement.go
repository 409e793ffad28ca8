//go:build duckdb_arrow

package duck

import (
	"context"
	"slices"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// Statement is a statement that is kept prepared, for texts that run over and
// over and whose result has the same columns each time: what these are is read
// once. DuckDB plans the text once, and again by itself where the catalog has
// changed; with parameters it plans it each time. It belongs to its Conn, which
// closes it where nobody did before.
//
// A kept plan is wrong where it was made from what the table held then: DuckDB
// 1.5.6 leaves out a filter that the statistics say is always true, and all rows
// where they say never, and does not look again when rows come or go. So a text
// without parameters must compare no column with a constant
// (TestAKeptPlanIsOfItsTime); no query of a client is ever kept.
type Statement struct {
	conn     *Conn
	prepared duckdb.PreparedStatement
	shape    *resultShape // nil before the first result
}

// Prepare prepares one statement.
func (c *Conn) Prepare(ctx context.Context, sql string) (*Statement, error) {
	if err := c.begin(ctx, sql); err != nil {
		return nil, err
	}
	st := &Statement{conn: c}
	if duckdb.Prepare(c.conn, sql, &st.prepared) == duckdb.StateError {
		defer duckdb.DestroyPrepare(&st.prepared)
		return nil, c.db.failure(ctx, duckdb.PrepareError(st.prepared))
	}
	c.kept = append(c.kept, st)
	return st, nil
}

// Query starts the statement, as Conn.Query does a text.
func (st *Statement) Query(ctx context.Context, params Params) (*Stream, error) {
	if err := st.conn.begin(ctx, ""); err != nil {
		return nil, err
	}
	release := st.conn.interruptOn(ctx)
	defer release()
	s := &Stream{conn: st.conn, statement: st.prepared, kept: st}
	if err := s.run(ctx, params); err != nil {
		s.free()
		return nil, err
	}
	st.conn.stream = s
	return s, nil
}

// Rows runs the statement and gives all its rows, as Conn.Rows does.
func (st *Statement) Rows(ctx context.Context, params ...any) ([][]any, error) {
	s, err := st.Query(ctx, Params{Positional: params})
	if err != nil {
		return nil, err
	}
	return s.Rows(ctx)
}

// Exec runs the statement, which has no parameters, and drops its rows.
func (st *Statement) Exec(ctx context.Context) error {
	if err := st.conn.begin(ctx, ""); err != nil {
		return err
	}
	release := st.conn.interruptOn(ctx)
	var result duckdb.Result
	state := duckdb.ExecutePrepared(st.prepared, &result)
	release()
	defer duckdb.DestroyResult(&result)
	if state == duckdb.StateError {
		return st.conn.db.failure(ctx, duckdb.ResultError(&result))
	}
	return nil
}

// Close frees the statement. It can be called twice.
func (st *Statement) Close() {
	if s := st.conn.stream; s != nil && s.kept == st {
		s.Close()
	}
	st.conn.kept = slices.DeleteFunc(st.conn.kept, func(k *Statement) bool { return k == st })
	st.free()
}

func (st *Statement) free() {
	if st.shape != nil {
		duckdb.DestroyArrowOptions(&st.shape.options)
	}
	duckdb.DestroyPrepare(&st.prepared)
}

//go:build duckdb_arrow

package duck

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
)

// Conn is one connection to a DB: one statement at a time, for one goroutine at
// a time. A statement ends the Stream of the one before it.
type Conn struct {
	db     *DB
	conn   duckdb.Connection
	stream *Stream // the one that is open, or nil
	kept   []*Statement
}

// Conn opens a connection.
func (db *DB) Conn(ctx context.Context) (*Conn, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	c := &Conn{db: db}
	if duckdb.Connect(db.db, &c.conn) == duckdb.StateError {
		return nil, lake.Errorf(lake.CodeInternal, "DuckDB: %w", &Fatal{"it takes no more connections"})
	}
	return c, nil
}

// Close ends the connection's stream, rolls back what it has not committed, and
// closes it. It can be called twice.
func (c *Conn) Close() {
	c.endStream()
	for _, st := range c.kept {
		st.free()
	}
	c.kept = nil
	duckdb.Disconnect(&c.conn)
}

func (c *Conn) endStream() {
	if c.stream != nil {
		c.stream.Close()
	}
}

// Exec runs a statement and drops its rows. Without params the text may hold
// several, which run in order up to the first that fails; params are positional.
func (c *Conn) Exec(ctx context.Context, sql string, params ...any) error {
	if len(params) > 0 {
		s, err := c.Query(ctx, sql, Params{Positional: params})
		if err != nil {
			return err
		}
		return s.drain(ctx)
	}
	if err := c.begin(ctx, sql); err != nil {
		return err
	}
	release := c.interruptOn(ctx)
	var result duckdb.Result
	state := duckdb.Query(c.conn, sql, &result)
	release()
	defer duckdb.DestroyResult(&result)
	if state == duckdb.StateError {
		return c.db.failure(ctx, duckdb.ResultError(&result))
	}
	return nil
}

// begin makes the connection free for a statement.
func (c *Conn) begin(ctx context.Context, sql string) error {
	c.endStream()
	switch {
	case c.conn.Ptr == nil:
		return lake.Errorf(lake.CodeInternal, "a statement on a closed connection")
	case ctx.Err() != nil:
		return ended(ctx)
	}
	return checkText(sql)
}

// checkText refuses what would reach DuckDB's parser as another text: its C
// interface ends a text at the first zero byte.
func checkText(sql string) error {
	if strings.IndexByte(sql, 0) >= 0 {
		return lake.Errorf(lake.CodeSQLInvalid, "the SQL holds a zero byte")
	}
	if !utf8.ValidString(sql) {
		return lake.Errorf(lake.CodeSQLInvalid, "the SQL is not valid UTF-8")
	}
	return nil
}

// interruptEvery is how often a statement is told again to stop: one interrupt
// can come just before the statement begins, which clears it.
const interruptEvery = 2 * time.Millisecond

// interruptOn interrupts the connection from the end of ctx until release is
// called. release waits for the interrupting to have ended, so that it never
// hits a later statement.
func (c *Conn) interruptOn(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	over, left := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		again := time.NewTicker(interruptEvery)
		defer again.Stop()
		for {
			duckdb.Interrupt(c.conn)
			select {
			case <-over:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(over)
		if !stop() {
			<-left
		}
	}
}

//go:build duckdb_arrow

package duck

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open gives a locked instance in memory with one connection.
func open(t testing.TB, change ...func(*Options)) (*DB, *Conn) {
	t.Helper()
	o := Options{Scratch: t.TempDir(), Threads: 2}
	for _, f := range change {
		f(&o)
	}
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db, conn(t, db)
}

func conn(t testing.TB, db *DB) *Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func locked(o *Options) { o.Lock = true }

func exec(t testing.TB, c *Conn, sql string, params ...any) {
	t.Helper()
	if err := c.Exec(t.Context(), sql, params...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// cell gives the one value of a query.
func cell(t testing.TB, c *Conn, sql string, params ...any) any {
	t.Helper()
	rows, err := c.Rows(t.Context(), sql, params...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: %v is not one value", sql, rows)
	}
	return rows[0][0]
}

// readAll counts the rows up to the end of a stream or its error.
func readAll(ctx context.Context, s *Stream, each func(arrow.RecordBatch)) (rows int64, err error) {
	for {
		batch, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if each != nil {
			each(batch)
		}
		rows += batch.NumRows()
		batch.Release()
	}
}

func mustWrite(t testing.TB, path string, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

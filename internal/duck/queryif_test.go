//go:build duckdb_arrow

package duck

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// attached is a database with another in it, as the worker has it, and two connections.
func attached(t *testing.T) (reader, writer *Conn) {
	t.Helper()
	db, reader := open(t)
	writer = conn(t, db)
	exec(t, writer, "ATTACH ':memory:' AS lake")
	exec(t, writer, "CREATE TABLE lake.t AS SELECT (hash(range) // 4)::BIGINT AS i FROM range(1000000)")
	exec(t, writer, "CREATE VIEW lake.v AS SELECT i FROM lake.t")
	exec(t, writer, "CHECKPOINT lake")
	return reader, writer
}

// TestASnapshotOfItsOwnIsFixedBeforeItRuns holds what QueryIf rests on: what is
// committed once stands was asked is not seen, not even by what is answered from
// statistics, and what was committed before is.
func TestASnapshotOfItsOwnIsFixedBeforeItRuns(t *testing.T) {
	ctx := context.Background()
	for _, sql := range []string{
		"SELECT count(*) FROM lake.t", "SELECT count(i) FROM lake.v WHERE i > -1", "SELECT count(*) FROM (SELECT i FROM lake.v UNION ALL SELECT i FROM lake.t WHERE false)",
	} {
		reader, writer := attached(t)
		exec(t, writer, "DELETE FROM lake.t WHERE i = (SELECT min(i) FROM lake.t)")
		s, err := reader.QueryIf(ctx, sql, Params{}, func() bool {
			exec(t, writer, "INSERT INTO lake.t VALUES (1), (2); DELETE FROM lake.t WHERE i = (SELECT max(i) FROM lake.t)")
			exec(t, writer, "CREATE OR REPLACE VIEW lake.v AS SELECT i FROM lake.t WHERE i > 5")
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		var got int64
		if _, err := readAll(ctx, s, func(b arrow.RecordBatch) { got = b.Column(0).(*array.Int64).Value(0) }); err != nil {
			t.Fatal(err)
		}
		if want := int64(999_999); got != want {
			t.Errorf("%s: %d rows, want %d", sql, got, want)
		}
	}
}

// TestASnapshotOfItsOwnGoes holds that a dropped table's memory is free after the last
// row, and after a ROLLBACK where the rows were not read or not to be.
func TestASnapshotOfItsOwnGoes(t *testing.T) {
	ctx := context.Background()
	no, yes := func() bool { return false }, func() bool { return true }
	for name, read := range map[string]func(*Conn) error{
		"last row": func(c *Conn) error {
			s, err := c.QueryIf(ctx, "SELECT i FROM lake.v", Params{}, yes)
			if err == nil {
				_, err = readAll(ctx, s, nil)
			}
			return err
		},
		"closed": func(c *Conn) error {
			s, err := c.QueryIf(ctx, "SELECT i FROM lake.v", Params{}, yes)
			if err != nil {
				return err
			}
			s.Close()
			_ = c.Exec(ctx, "ROLLBACK") // there is no transaction that it could end
			return nil
		},
		"moved": func(c *Conn) error {
			if _, err := c.QueryIf(ctx, "SELECT i FROM lake.v", Params{}, no); !errors.Is(err, ErrNotAlone) {
				return errors.Join(err, errors.New("it ran"))
			}
			_ = c.Exec(ctx, "ROLLBACK") // there is no transaction that it could end
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			reader, writer := attached(t)
			const held = "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()"
			before := cell(t, writer, held).(int64)
			if err := read(reader); err != nil {
				t.Fatal(err)
			}
			exec(t, writer, "DROP TABLE lake.t")
			exec(t, writer, "CHECKPOINT lake")
			if after := cell(t, writer, held).(int64); after > before/2 {
				t.Errorf("%d bytes are held, %d before", after, before)
			}
		})
	}
}

// TestWhatIsNotToRunEnds holds that a statement that is given up when its snapshot is fixed
// lets the next one run: DuckDB waits for ever for a recursive one that was forgotten.
func TestWhatIsNotToRunEnds(t *testing.T) {
	ctx := context.Background()
	reader, writer := attached(t)
	exec(t, writer, "CREATE TABLE lake.next AS SELECT range AS a, range * 7919 % 5000 AS b FROM range(5000)")
	var pause time.Duration
	later := func() bool {
		time.Sleep(pause)
		return false
	}
	for name, sql := range map[string]string{
		"steps": "WITH RECURSIVE r(n) AS (SELECT 0::BIGINT UNION SELECT e.b FROM r JOIN lake.next e ON e.a = r.n + 1 WHERE r.n < 4900) SELECT count(*) FROM r",
		"rows":  "WITH RECURSIVE r(n, k) AS (SELECT range, 0 FROM range(3000) UNION ALL SELECT e.b, k + 1 FROM r JOIN lake.next e ON e.a = r.n WHERE k < 60) SELECT * FROM r",
		"group": "SELECT i % 7, count(*) FROM lake.v GROUP BY ALL",
	} {
		for i := range 100 {
			pause = time.Duration(i%20) * 200 * time.Microsecond
			ended := make(chan error, 1)
			go func() {
				_, err := reader.QueryIf(ctx, sql, Params{}, later)
				_ = reader.Exec(ctx, "ROLLBACK") // there is no transaction that it could end
				ended <- err
			}()
			select {
			case err := <-ended:
				if !errors.Is(err, ErrNotAlone) {
					t.Fatalf("%s: %v", name, err)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%s: the statement after it hangs", name)
			}
		}
	}
	if n := cell(t, reader, "SELECT count(*) FROM lake.next"); n != int64(5000) {
		t.Errorf("%v rows", n)
	}
}

func TestOnlyASelectRunsAlone(t *testing.T) {
	reader, writer := attached(t)
	for _, sql := range []string{"DELETE FROM lake.t", "INSERT INTO lake.t VALUES (1)", "CREATE TABLE lake.u (i INT)", "EXPLAIN SELECT 1", "CHECKPOINT lake"} {
		_, err := reader.QueryIf(context.Background(), sql, Params{}, func() bool { return true })
		if !errors.Is(err, ErrNotAlone) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := cell(t, writer, "SELECT count(*) FROM lake.t"); n != int64(1_000_000) {
		t.Errorf("%v rows are left", n)
	}
}

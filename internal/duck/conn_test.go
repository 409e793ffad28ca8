//go:build duckdb_arrow

package duck

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/uuid"

	"tarn/internal/lake"
)

func TestRows(t *testing.T) {
	_, c := open(t, locked)
	rows, err := c.Rows(t.Context(), `SELECT NULL, true, 7::TINYINT, 18446744073709551615::UBIGINT, 1.5::FLOAT, 2::HUGEINT,
		1::DECIMAL(5,2), 'x', 'x'::BLOB, DATE '2020-01-02', TIMESTAMP '2020-01-02 03:04:05', TIME '00:00:01',
		[1, NULL], {'a': [2]}, MAP {'k': 3}, '00000000-0000-0000-0000-000000000001'::UUID, sum(i)
		FROM range(3) t(i)`)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)
	want := []any{nil, true, int64(7), uint64(1<<64 - 1), 1.5, int64(2), "1.00", "x", []byte("x"), day,
		day.Add(3*time.Hour + 4*time.Minute + 5*time.Second), time.Second,
		[]any{int64(1), nil}, map[string]any{"a": []any{int64(2)}}, [][2]any{{"k", int64(3)}},
		"00000000-0000-0000-0000-000000000001", int64(3)}
	if !reflect.DeepEqual(rows[0], want) {
		t.Errorf("got  %#v\nwant %#v", rows[0], want)
	}
}

func TestParams(t *testing.T) {
	_, c := open(t, locked)
	huge, _ := new(big.Int).SetString("-99999999999999999999999999", 10)
	for _, x := range []struct {
		param any
		want  string // typeof and text
	}{
		{nil, `"NULL" NULL`},
		{true, "BOOLEAN true"},
		{7, "BIGINT 7"},
		{uint64(1<<64 - 1), "UBIGINT 18446744073709551615"},
		{1.5, "DOUBLE 1.5"},
		{huge, "HUGEINT -99999999999999999999999999"},
		{json.Number("12"), "BIGINT 12"},
		{json.Number("-9223372036854775808"), "BIGINT -9223372036854775808"},
		{json.Number("-9223372036854775809"), "HUGEINT -9223372036854775809"},
		{json.Number("170141183460469231731687303715884105727"), "HUGEINT 170141183460469231731687303715884105727"},
		{json.Number("1.50"), "DECIMAL(3,2) 1.50"},
		{json.Number("-0.05"), "DECIMAL(3,2) -0.05"},
		{json.Number("123456789012345678901234567890.12345678"), "DECIMAL(38,8) 123456789012345678901234567890.12345678"},
		{json.Number("1e3"), "DOUBLE 1000.0"},
		{json.Number("1.5e3"), "DOUBLE 1500.0"},
		{"it's \x00 ü", "VARCHAR it's \x00 ü"},
		{[]byte{0, 255}, `BLOB \x00\xFF`},
		{uuid.MustParse("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), "UUID f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
		{time.Date(2020, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)), "TIMESTAMP WITH TIME ZONE 2020-01-02 02:04:05.000006+00"},
		{arrow.Date32(1), "DATE 1970-01-02"},
		{arrow.Timestamp(1), "TIMESTAMP 1970-01-01 00:00:00.000001"},
		{[]any{json.Number("1"), nil}, "BIGINT[] [1, NULL]"},
		{[]any{json.Number("1"), json.Number("2.5")}, "DECIMAL(20,1)[] [1.0, 2.5]"},
		{[]any{json.Number("1"), json.Number("2e0")}, "DOUBLE[] [1.0, 2.0]"},
		{[]any{json.Number("1"), json.Number("9223372036854775808")}, "HUGEINT[] [1, 9223372036854775808]"},
		{[]any{"a", "b"}, "VARCHAR[] [a, b]"},
		{[]any{}, `"NULL"[] []`},
		{[]any{[]any{"x"}, nil}, "VARCHAR[][] [[x], NULL]"},
		{map[string]any{"b": json.Number("1"), "a": "x"}, "STRUCT(a VARCHAR, b BIGINT) {'a': x, 'b': 1}"},
	} {
		got := cell(t, c, "SELECT concat_ws(' ', typeof(x), coalesce(x::VARCHAR, 'NULL')) FROM (SELECT ? AS x)", x.param)
		if got != x.want {
			t.Errorf("%v: got %v, want %s", x.param, got, x.want)
		}
	}
}

func TestParamsFit(t *testing.T) {
	_, c := open(t, locked)
	exec(t, c, "CREATE TABLE t AS SELECT i, DATE '2020-01-01' + i::INTEGER AS d FROM range(10) t(i)")
	for _, x := range []struct {
		sql    string
		params Params
		want   any // the value, or the code of the error
	}{
		{"SELECT $2 - $1", Params{Positional: []any{1, 10}}, int64(9)},
		{"SELECT count(*) FROM t WHERE d > ?", Params{Positional: []any{"2020-01-05"}}, int64(5)},
		{"SELECT count(*) FROM t WHERE i IN (SELECT unnest(?))", Params{Positional: []any{[]any{1, 2, 77}}}, int64(2)},
		{"SELECT $a + $b + $a", Params{Named: map[string]any{"a": 1, "B": 2}}, int64(4)},
		{"SELECT count(*) FROM t LIMIT $n", Params{Named: map[string]any{"n": 1}}, int64(10)},
		{"SELECT ?", Params{}, lake.CodeInvalidRequest},
		{"SELECT 1", Params{Positional: []any{1}}, lake.CodeInvalidRequest},
		{"SELECT $a", Params{Positional: []any{1}}, lake.CodeInvalidRequest},
		{"SELECT $a", Params{Named: map[string]any{"a": 1, "b": 1}}, lake.CodeInvalidRequest},
		{"SELECT $a", Params{Named: map[string]any{"b": 1}}, lake.CodeInvalidRequest},
		{"SELECT $a", Params{Named: map[string]any{"a": 1}, Positional: []any{1}}, lake.CodeInvalidRequest},
		{"SELECT ?", Params{Positional: []any{struct{}{}}}, lake.CodeInvalidRequest},
		{"SELECT ?", Params{Positional: []any{[]any{1, "a"}}}, lake.CodeInvalidRequest},
		{"SELECT ?", Params{Positional: []any{map[string]any{}}}, lake.CodeInvalidRequest},
		{"SELECT ?", Params{Positional: []any{json.Number(strings.Repeat("9", 40))}}, lake.CodeInvalidRequest},
		{"SELECT ?", Params{Positional: []any{"\xff"}}, lake.CodeInvalidRequest},
		{"SELECT ?::INTEGER", Params{Positional: []any{"x"}}, lake.CodeSQLInvalid},
	} {
		var got any
		s, err := c.Query(t.Context(), x.sql, x.params)
		if err == nil {
			batch, nextErr := s.Next(t.Context())
			if err = nextErr; err == nil {
				got, _ = goValue(batch.Column(0), 0)
				batch.Release()
			}
			s.Close()
		}
		if err != nil {
			got = lake.CodeOf(err)
		}
		if got != x.want {
			t.Errorf("%s %v: got %v (%v), want %v", x.sql, x.params, got, err, x.want)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "lake", "base", "main", "people-1234")
	if err := os.MkdirAll(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(secret, "broken.parquet"), "PAR1 this is none PAR1")
	_, c := open(t, locked, func(o *Options) {
		o.AllowedDirs = []string{filepath.Join(dir, "lake")}
		o.MemoryLimitBytes, o.Scratch = 64<<20, ""
	})
	exec(t, c, "CREATE TABLE people AS SELECT 1 AS candidate")
	for _, x := range []struct {
		sql  string
		code lake.Code
		says string
	}{
		{"SELEC 1", lake.CodeSQLInvalid, "syntax error"},
		{"SELECT * FROM peopel", lake.CodeSQLInvalid, "Did you mean \"people\""},
		{"SELECT kandidate FROM people", lake.CodeSQLInvalid, "Candidate bindings"},
		{"SELECT 'x'::INTEGER", lake.CodeSQLInvalid, "Conversion Error"},
		{"SELECT nosuch(1)", lake.CodeSQLInvalid, "nosuch"},
		{"SELECT error('no')", lake.CodeSQLInvalid, "no"},
		{"SELECT 1; SELECT 2", lake.CodeSQLInvalid, "multiple"},
		{"SELECT list(i) FROM range(100000000) t(i)", lake.CodeOutOfMemory, "Out of Memory"},
		{"SELECT * FROM read_csv('/etc/passwd')", lake.CodeSQLRefused, "disabled by configuration"},
		{"SET threads = 1", lake.CodeSQLRefused, "locked"},
		{"SELECT 1 \x00; DROP TABLE people", lake.CodeSQLInvalid, "zero byte"},
		{"SELECT '\xff'", lake.CodeSQLInvalid, "UTF-8"},
		{"SELECT * FROM read_parquet('" + secret + "/broken.parquet')", lake.CodeSQLInvalid, "broken.parquet"},
		{"SELECT * FROM read_parquet('" + secret + "/absent.parquet')", lake.CodeUnavailable, "absent.parquet"},
	} {
		_, err := c.Rows(t.Context(), x.sql)
		if lake.CodeOf(err) != x.code || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v (%s)", x.sql, err, lake.CodeOf(err))
		}
		if err != nil && strings.Contains(err.Error()+lake.HintOf(err), dir) {
			t.Errorf("%s: the error shows a path: %v", x.sql, err)
		}
		if IsFatal(err) {
			t.Errorf("%s: fatal: %v", x.sql, err)
		}
	}
	if got := cell(t, c, "SELECT candidate FROM people"); got != int64(1) {
		t.Errorf("afterwards the table says %v", got)
	}
}

func TestErrorKinds(t *testing.T) {
	db, _ := open(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, x := range []struct {
		ctx     context.Context
		message string
		code    lake.Code
		fatal   bool
	}{
		{t.Context(), "INTERNAL Error: assertion\n\nStack Trace:\n0 x", lake.CodeInternal, true},
		{t.Context(), "FATAL Error: database has been invalidated", lake.CodeInternal, true},
		{t.Context(), "IO Error: Could not write file: No space left on device", lake.CodeOutOfDisk, false},
		{t.Context(), "Invalid Error: std::bad_alloc", lake.CodeOutOfMemory, false},
		{t.Context(), "Parser Error: failed to allocate data of size 8.0 KiB (2.1 GiB/380.0 MiB used)\n\nPossible solutions:\n* Reducing (SET threads=X)", lake.CodeOutOfMemory, false},
		{t.Context(), "Binder Error: could not allocate block of size 256.0 KiB (2.3 GiB/380.0 MiB used)", lake.CodeOutOfMemory, false},
		{t.Context(), "Invalid Input Error: failed to pin block of size 256.0 KiB (2.3 GiB/380.0 MiB used)", lake.CodeOutOfMemory, false},
		{t.Context(), "TransactionContext Error: Current transaction is aborted (please ROLLBACK)", lake.CodeInternal, false},
		{t.Context(), "something else", lake.CodeInternal, false},
		{over, "INTERRUPT Error: Interrupted!", lake.CodeCancelled, false},
		{over, "Invalid Input Error: x", lake.CodeSQLInvalid, false},
	} {
		err := db.failure(x.ctx, x.message)
		if lake.CodeOf(err) != x.code || IsFatal(err) != x.fatal || IsFatal(lake.Step("s", err)) != x.fatal || strings.Contains(err.Error(), "Stack") || strings.Contains(err.Error(), "SET ") {
			t.Errorf("%s: %v (%s)", x.message, err, lake.CodeOf(err))
		}
	}
}

// Two hundred statements are cancelled at random moments; each comes back with
// the context's end or its whole answer, and the next statement is right.
func TestCancelAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	_, c := open(t, locked)
	exec(t, c, "CREATE TABLE t AS SELECT i, (i * 7919) % 10007 AS k FROM range(300000) t(i)")
	const join = "SELECT a.i, b.k FROM t a JOIN t b USING (k) WHERE a.i % 97 = 0"
	want := cell(t, c, "SELECT count(*) FROM ("+join+")")
	cancelled := 0
	for i := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(15_000))*time.Microsecond)
		explicit := i%3 == 0
		if explicit {
			exec(t, c, "BEGIN")
		}
		var rows int64
		s, err := c.Query(ctx, join, Params{})
		if err == nil {
			rows, err = readAll(ctx, s, nil)
			if i%2 == 0 {
				s.Close() // else the next statement does
			}
		}
		cancel()
		switch {
		case err == nil && rows != want:
			t.Fatalf("round %d: %d rows and no error", i, rows)
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("round %d: %v", i, err)
		case err != nil && lake.CodeOf(err) != lake.CodeDeadline:
			t.Fatalf("round %d: code %s", i, lake.CodeOf(err))
		case err != nil:
			cancelled++
		}
		if explicit {
			exec(t, c, "ROLLBACK")
		}
		if got := cell(t, c, "SELECT sum(i) FROM t"); got != int64(44999850000) {
			t.Fatalf("round %d: the next statement says %v", i, got)
		}
	}
	t.Logf("%d of 200 were cancelled", cancelled)
}

func TestCancelled(t *testing.T) {
	db, c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.Query(ctx, "SELECT * FROM range(1000000000)", Params{})
	if err != nil {
		t.Fatal(err)
	}
	if batch, err := s.Next(ctx); err != nil {
		t.Fatal(err)
	} else {
		batch.Release()
	}
	cancel()
	for range 2 {
		if _, err := s.Next(ctx); lake.CodeOf(err) != lake.CodeCancelled {
			t.Errorf("after the cancel: %v", err)
		}
	}
	if _, err := db.Conn(ctx); lake.CodeOf(err) != lake.CodeCancelled {
		t.Errorf("a connection: %v", err)
	}
	if err := c.Exec(ctx, "SELECT 1"); lake.CodeOf(err) != lake.CodeCancelled {
		t.Errorf("a statement: %v", err)
	}
	s.Close()
	s.Close()
	c.Close()
	c.Close()
	if err := c.Exec(t.Context(), "SELECT 1"); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("on a closed connection: %v", err)
	}
	db.Close()
	db.Close()
}

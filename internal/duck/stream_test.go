//go:build duckdb_arrow

package duck

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/lake"
)

// A result of ten million rows goes through in the memory of a few batches.
func TestStreamIsBounded(t *testing.T) {
	_, c := open(t, locked, func(o *Options) { o.MemoryLimitBytes = 256 << 20 })
	s, err := c.Query(t.Context(), "SELECT i, i::VARCHAR || '-padding-padding-padding' AS s FROM range(10000000) t(i)", Params{})
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	before, most, batches := residentBytes(t), int64(0), 0
	rows, err := readAll(t.Context(), s, func(b arrow.RecordBatch) {
		if b.NumRows() > 2048 {
			t.Errorf("a batch of %d rows", b.NumRows())
		}
		for _, v := range b.Column(0).(*array.Int64).Int64Values() {
			sum += v
		}
		if batches++; batches%100 == 0 {
			most = max(most, residentBytes(t))
		}
	})
	if err != nil || rows != 1e7 || sum != 49999995000000 {
		t.Fatalf("%d rows, sum %d, %v", rows, sum, err)
	}
	grown := most - before
	t.Logf("grew by %d MB", grown>>20)
	if grown > 200<<20 { // whole, the result has about 560 MB
		t.Errorf("memory grew by %d MB", grown>>20)
	}
}

func residentBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("the memory of a process cannot be read here: %v", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// An error after rows went out is an error, not the end. DuckDB may lose what it says
// (see ended), one time in a hundred.
func TestStreamErrorAfterRows(t *testing.T) {
	_, c := open(t, locked)
	said := false
	for range 10 {
		s, err := c.Query(t.Context(), "SELECT CASE WHEN i = 900000 THEN error('late') ELSE i END FROM range(1000000) t(i)", Params{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := readAll(t.Context(), s, nil)
		lost := lake.CodeOf(err) == lake.CodeCancelled && strings.Contains(err.Error(), "ended within DuckDB")
		late := lake.CodeOf(err) == lake.CodeSQLInvalid && strings.Contains(err.Error(), "late")
		if rows == 0 || !lost && !late {
			t.Errorf("%d rows, then %v", rows, err)
		}
		said = said || late
		if _, again := s.Next(t.Context()); again != err {
			t.Errorf("and then %v", again)
		}
		if got := cell(t, c, "SELECT 1"); got != int64(1) {
			t.Error(got)
		}
	}
	if !said {
		t.Error("it never says why")
	}
}

// The next statement on a connection ends the stream, which says so.
func TestStreamEndsWithNextStatement(t *testing.T) {
	_, c := open(t, locked)
	s, err := c.Query(t.Context(), "SELECT * FROM range(100000)", Params{})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "SELECT 1")
	if _, err := s.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the ended stream says %v", err)
	}
}

// A stream in a transaction sees its snapshot, whatever commits meanwhile.
func TestStreamSeesOneSnapshot(t *testing.T) {
	db, c := open(t, locked)
	exec(t, c, "CREATE TABLE t AS SELECT * FROM range(200000) t(i)")
	exec(t, c, "BEGIN")
	if got := cell(t, c, "SELECT count(*) FROM t"); got != int64(200000) {
		t.Fatal(got)
	}
	writer := conn(t, db)
	exec(t, writer, "DELETE FROM t WHERE i % 2 = 0; INSERT INTO t SELECT -1 FROM range(7)")
	s, err := c.Query(t.Context(), "SELECT i FROM t", Params{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := batch.NumRows()
	batch.Release()
	exec(t, writer, "DELETE FROM t")
	rest, err := readAll(t.Context(), s, nil)
	if err != nil || first+rest != 200000 {
		t.Errorf("%d rows, %v", first+rest, err)
	}
	exec(t, c, "COMMIT")
	if got := cell(t, c, "SELECT count(*) FROM t"); got != int64(0) {
		t.Errorf("a new snapshot has %v rows", got)
	}
}

func TestAppend(t *testing.T) {
	db, c := open(t, locked)
	schema := lake.Schema{Columns: []lake.Column{}}
	for _, typ := range []string{"BIGINT", "BOOLEAN", "VARCHAR", "DECIMAL(38,4)", "BLOB", "UUID", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ",
		"DOUBLE", "BIGINT[]", "STRUCT(a VARCHAR, b UUID[])", "MAP(VARCHAR, DOUBLE)"} {
		parsed, err := lake.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		schema.Columns = append(schema.Columns, lake.Column{Name: "c" + strconv.Itoa(len(schema.Columns)), Type: parsed, Nullable: true})
	}
	var columns []string
	for _, col := range schema.Columns {
		columns = append(columns, lake.QuoteIdent(col.Name)+" "+col.Type.SQL())
	}
	exec(t, c, "ATTACH ':memory:' AS lake_; CREATE SCHEMA lake_.s")
	for _, table := range []string{"a", "b"} {
		exec(t, c, "CREATE TABLE lake_.s."+table+" ("+strings.Join(columns, ", ")+")")
	}
	exec(t, c, `INSERT INTO lake_.s.a SELECT CASE WHEN i % 5 <> 0 THEN i END, i % 2 = 0, 'value ' || i, i / 8, ('b' || i)::BLOB, uuid(), DATE '2020-01-01' + (i % 1000)::INTEGER,
		TIME '00:00:00' + to_microseconds(i), TIMESTAMP '1960-01-01' + to_microseconds(i), TIMESTAMPTZ '2020-01-01 00:00:00+00' + to_microseconds(i), i / 3,
		CASE WHEN i % 3 = 0 THEN NULL ELSE [i, NULL, i + 1] END, {'a': 'x' || i, 'b': [uuid()]}, MAP {'k' || i: i / 7} FROM range(10000) t(i)`)

	// Whole batches of other sizes than DuckDB's, as they come from elsewhere.
	s, err := c.Query(t.Context(), "SELECT * FROM lake_.s.a", Params{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Schema(), schema.Arrow(); !equalTypes(got, want) {
		t.Errorf("schema of the result %s\nwant %s", got, want)
	}
	var batches []arrow.RecordBatch
	if _, err := readAll(t.Context(), s, func(b arrow.RecordBatch) { b.Retain(); batches = append(batches, b) }); err != nil {
		t.Fatal(err)
	}
	table := array.NewTableFromRecords(s.Schema(), batches)
	defer table.Release()
	for _, b := range batches {
		b.Release()
	}
	reader := array.NewTableReader(table, 0)
	defer reader.Release()
	batches = nil
	for reader.Next() {
		b := reader.RecordBatch()
		b.Retain()
		defer b.Release()
		batches = append(batches, b)
	}
	exec(t, c, "BEGIN")
	if err := c.Append(t.Context(), "lake_", "s", "b", batches); err != nil {
		t.Fatal(err)
	}
	other := conn(t, db)
	if got := cell(t, other, "SELECT count(*) FROM lake_.s.b"); got != int64(0) {
		t.Errorf("before the commit others see %v rows", got)
	}
	exec(t, c, "COMMIT")
	if got := cell(t, c, "SELECT count(*) FROM (FROM lake_.s.a EXCEPT ALL FROM lake_.s.b)"); got != int64(0) {
		t.Errorf("%v rows differ", got)
	}
	if got := cell(t, c, "SELECT count(*) FROM lake_.s.b"); got != int64(10000) {
		t.Errorf("%v rows", got)
	}
	if err := c.Append(t.Context(), "lake_", "s", "absent", batches); lake.CodeOf(err) != lake.CodeInternal || !strings.Contains(err.Error(), "absent") {
		t.Errorf("into no table: %v", err)
	}
}

func equalTypes(a, b *arrow.Schema) bool {
	if a.NumFields() != b.NumFields() {
		return false
	}
	for i, f := range a.Fields() {
		if !arrow.TypeEqual(f.Type, b.Field(i).Type) {
			return false
		}
	}
	return true
}

func TestMemory(t *testing.T) {
	db, c := open(t)
	before, err := db.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "CREATE TABLE t AS SELECT i FROM range(1000000) t(i)")
	after, err := db.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after["IN_MEMORY_TABLE"]-before["IN_MEMORY_TABLE"] < 4<<20 {
		t.Errorf("before %v, after %v", before, after)
	}
}

// A query that does not fit in memory spills into its own scratch, also when
// the database is locked, and fails cleanly without one.
func TestSpill(t *testing.T) {
	const sort = "SELECT i FROM range(8000000) t(i) ORDER BY hash(i)"
	first := func(c *Conn) error {
		s, err := c.Query(t.Context(), sort, Params{})
		if err == nil {
			s.Close()
		}
		return err
	}
	scratch := filepath.Join(t.TempDir(), "scratch")
	_, c := open(t, locked, func(o *Options) { o.Scratch, o.MemoryLimitBytes, o.TempLimitBytes = scratch, 48<<20, 1<<30 })
	s, err := c.Query(t.Context(), sort, Params{})
	if err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(scratch); len(files) == 0 {
		t.Error("nothing was spilled")
	}
	s.Close()
	_, c = open(t, locked, func(o *Options) { o.Scratch, o.MemoryLimitBytes = "", 48<<20 })
	if err := first(c); lake.CodeOf(err) != lake.CodeOutOfMemory || strings.Contains(err.Error(), "SET ") {
		t.Errorf("without scratch: %v (%s)", err, lake.CodeOf(err))
	}
	_, c = open(t, locked, func(o *Options) { o.MemoryLimitBytes, o.TempLimitBytes = 48<<20, 1<<20 })
	if err := first(c); lake.CodeOf(err) != lake.CodeOutOfMemory {
		t.Errorf("with too little scratch: %v (%s)", err, lake.CodeOf(err))
	}
}

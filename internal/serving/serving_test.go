package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tarn/internal/lake"
)

// simple is a keyed dataset of id and v.
func simple(t testing.TB) lake.Schema { return schemaOf(t, "id", "id BIGINT", "v VARCHAR") }

func row(id int, v string) string { return fmt.Sprintf(`{"id":%d,"v":%q}`, id, v) }

func name(s string) lake.Name {
	n, err := lake.ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

func wantCode(t testing.TB, err error, want lake.Code) {
	t.Helper()
	if err == nil || lake.CodeOf(err) != want {
		t.Fatalf("error %v (%s), want %s", err, lake.CodeOf(err), want)
	}
}

// publish makes a dataset of some rows in one base file.
func (l *testLake) publish(uuid, at string, objects ...string) lake.BaseFile {
	l.t.Helper()
	s := simple(l.t)
	p := lake.Publish{TableUUID: uuid, Name: name(at), Schema: s}
	var f lake.BaseFile
	if len(objects) > 0 {
		f = l.baseFile(s, objects, nil)
		p.Files = []lake.BaseFile{f}
	}
	l.tell(publishEntry(p))
	return f
}

// A question for the list of datasets waits for the replay, whose number is 0 in a
// server that has changed nothing yet.
func TestTheListWaitsForTheReplay(t *testing.T) {
	l := newTestLake(t, Options{})
	s := schemaOf(t, "id", "id BIGINT", "v VARCHAR")
	const datasets = 300
	var entries []lake.Entry
	for i := range datasets {
		entries = append(entries, publishEntry(lake.Publish{TableUUID: fmt.Sprintf("u%d", i), Name: name(fmt.Sprintf("d%d", i)), Schema: s}))
	}
	if err := l.s.Replay(t.Context(), entries, 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := l.ask("SHOW TABLES"); len(got) != datasets {
		t.Fatalf("%d datasets of %d", len(got), datasets)
	}
}

func TestNames(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	l.publish("u1", "a", row(1, "first"))
	l.publish("u2", "Sales.b", row(2, "second"))
	l.publish("u3", "c")
	got, _ := l.ask("SHOW TABLES")
	same(t, "show tables", got, []string{`{"name":"a"}`, `{"name":"c"}`, `{"name":"Sales.b"}`})
	got, a := l.ask("SELECT a.v, b.v AS w FROM A a, sales.B b")
	same(t, "join", got, []string{`{"v":"first","w":"second"}`})
	if len(a.ReadPoints) != 2 || a.ReadPoints["a"].TableUUID != "u1" || a.ReadPoints["Sales.b"].TableUUID != "u2" {
		t.Fatalf("%v", a.ReadPoints)
	}
	// Two datasets swap names and one changes its namespace, in one batch.
	l.tell(lake.Entry{Rename: &lake.Rename{TableUUID: "u1", To: name("tmp")}},
		lake.Entry{Rename: &lake.Rename{TableUUID: "u2", To: name("a")}},
		lake.Entry{Rename: &lake.Rename{TableUUID: "u1", To: name("other.b")}},
		lake.Entry{Rename: &lake.Rename{TableUUID: "u3", To: name("C")}})
	got, _ = l.ask("SELECT * FROM a")
	same(t, "a", got, []string{row(2, "second")})
	got, _ = l.ask("SELECT * FROM other.b")
	same(t, "other.b", got, []string{row(1, "first")})
	got, _ = l.ask("SHOW TABLES")
	same(t, "show tables", got, []string{`{"name":"a"}`, `{"name":"C"}`, `{"name":"other.b"}`})
	for _, gone := range []string{"Sales.b", "tmp"} {
		_, _, err := l.try("SELECT * FROM " + gone)
		wantCode(t, err, lake.CodeDatasetNotFound)
	}
	// A drop and a new dataset of the same name, in one batch.
	s := simple(t)
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "u2"}},
		publishEntry(lake.Publish{TableUUID: "u4", Name: name("a"), Schema: s}),
		applyEntry("u4", l.delta("u4", s, 1, []change{{row: row(4, "fourth")}})))
	got, a = l.ask("SELECT * FROM a")
	same(t, "a again", got, []string{row(4, "fourth")})
	if a.ReadPoints["a"] != (lake.Place{ReadPoint: lake.ReadPoint{TableUUID: "u4", Sequence: 1}}) {
		t.Fatalf("%+v", a.ReadPoints)
	}
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "u1"}}, lake.Entry{Drop: &lake.Drop{TableUUID: "u3"}}, lake.Entry{Drop: &lake.Drop{TableUUID: "u4"}})
	if got, _ = l.ask("SHOW TABLES"); len(got) != 0 {
		t.Fatal(got)
	}
	l.checkEmpty()
}

// checkEmpty checks that nothing of any dataset is left in the database.
func (l *testLake) checkEmpty() {
	l.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	a, err := l.s.Query(ctx, Request{See: l.number, Trusted: true, SQL: `
		SELECT table_name AS n FROM duckdb_tables() WHERE database_name = 'lake' AND table_name <> 'datasets'
		UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = 'lake' AND NOT internal
		UNION ALL SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'lake' AND NOT internal AND schema_name NOT IN ('main', '_tarn')
		UNION ALL SELECT table_uuid FROM lake._tarn.datasets`})
	if err != nil {
		l.t.Fatal(err)
	}
	defer a.Close()
	if got, err := read(ctx, a); err != nil || len(got) != 0 {
		l.t.Fatalf("left: %v %v", got, err)
	}
}

func TestDescribeAndExplain(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	l.publish("u", "d", row(1, "x"))
	want := []string{
		`{"column_name":"id","column_type":"BIGINT","null":"NO","key":"PRI","default":null,"extra":null}`,
		`{"column_name":"v","column_type":"VARCHAR","null":"YES","key":null,"default":null,"extra":null}`,
	}
	got, a := l.ask("DESCRIBE d")
	same(t, "describe", got, want)
	if a.ReadPoints["d"].TableUUID != "u" {
		t.Fatal(a.ReadPoints)
	}
	got, _ = l.ask("DESCRIBE SELECT v FROM d")
	same(t, "describe select", got, []string{`{"column_name":"v","column_type":"VARCHAR","null":"YES","key":null,"default":null,"extra":null}`})
	got, _ = l.ask("EXPLAIN SELECT v FROM d WHERE id = 1")
	text := strings.Join(got, "\n")
	if !strings.Contains(text, "PARQUET") || strings.Contains(text, l.dir) {
		t.Fatal(text)
	}
}

// A file that was changed or is gone is named by its key, never read, and never
// by its path. (I7)
func TestDamageIsFound(t *testing.T) {
	l := newTestLake(t, Options{LargeDeltaBytes: 100}).begin()
	f := l.publish("u", "d", row(1, "x"))
	s := simple(t)
	l.publish("ok", "fine", row(7, "fine"))
	damaged := func(key string) {
		t.Helper()
		_, _, err := l.try("SELECT * FROM d")
		wantCode(t, err, lake.CodeDamaged)
		if !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), l.dir) {
			t.Fatal(err)
		}
		got, _ := l.ask("SELECT v FROM fine")
		same(t, "the other", got, []string{`{"v":"fine"}`})
	}
	l.ask("SELECT * FROM d")
	if err := os.Chtimes(f.Path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	damaged(f.Key)
	hidden := f.Path + ".away"
	if err := os.Rename(f.Path, hidden); err != nil {
		t.Fatal(err)
	}
	damaged(f.Key)
	if err := os.Rename(hidden, f.Path); err != nil {
		t.Fatal(err)
	}
	// As verified again, and with a large delta that then goes.
	good := l.baseFile(s, []string{row(1, "x")}, nil)
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{good}}))
	d := l.delta("u", s, 1, []change{{row: row(1, "y")}, {row: row(2, "z")}})
	l.tell(applyEntry("u", d))
	got, _ := l.ask("SELECT * FROM d")
	same(t, "with a large delta", got, []string{row(1, "y"), row(2, "z")})
	if err := os.Remove(d.Path); err != nil {
		t.Fatal(err)
	}
	damaged(d.Key)
}

// A delta that cannot be applied hides its dataset and no other, until it can.
func TestBehindAndMended(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	s := simple(t)
	l.publish("u", "d", row(1, "x"))
	l.publish("w", "fine", row(7, "fine"))
	d1 := l.delta("u", s, 1, []change{{row: row(2, "two")}})
	whole, err := os.ReadFile(d1.Path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, whole...)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(d1.Path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	d2 := l.delta("w", s, 1, []change{{row: row(8, "eight")}})
	d3 := l.delta("u", s, 2, []change{{key: `{"id":1}`}})
	l.tell(applyEntry("u", d1), applyEntry("w", d2), lake.Entry{Rename: &lake.Rename{TableUUID: "w", To: name("better")}}, applyEntry("u", d3))
	_, _, err = l.try("SELECT * FROM d")
	wantCode(t, err, lake.CodeDamaged)
	if !strings.Contains(err.Error(), d1.Key) {
		t.Fatal(err)
	}
	got, _ := l.ask("SELECT * FROM better")
	same(t, "the other", got, []string{row(7, "fine"), row(8, "eight")})
	if b := l.s.Behind(); len(b) != 1 || b["d"] == "" {
		t.Fatal(b)
	}
	if err := os.WriteFile(d1.Path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	for len(l.s.Behind()) > 0 {
		time.Sleep(time.Millisecond)
	}
	got, a := l.ask("SELECT * FROM d")
	same(t, "mended", got, []string{row(2, "two")})
	if a.ReadPoints["d"].Sequence != 2 {
		t.Fatal(a.ReadPoints)
	}
	// A change that never came.
	l.tell(applyEntry("u", l.delta("u", s, 4, []change{{row: row(9, "nine")}})))
	_, _, err = l.try("SELECT * FROM d")
	wantCode(t, err, lake.CodeNotReady)
	got, _ = l.ask("SELECT count(*) AS n FROM better")
	same(t, "the other", got, []string{`{"n":2}`})
	// New files that contain it mend that at once.
	f := l.baseFile(s, []string{row(9, "nine")}, nil)
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{f}, FoldedThrough: 4, Sequence: 4}))
	got, _ = l.ask("SELECT * FROM d")
	same(t, "after the publish", got, []string{row(9, "nine")})
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "u"}}, lake.Entry{Drop: &lake.Drop{TableUUID: "w"}})
	l.checkEmpty()
}

func TestStreamRules(t *testing.T) {
	l := newTestLake(t, Options{})
	ctx := t.Context()
	wantCode(t, l.s.Hear(ctx, []lake.Entry{{Number: 1, Drop: &lake.Drop{}}}), lake.CodeNotReady)
	if err := l.s.Replay(ctx, nil, 5); err != nil {
		t.Fatal(err)
	}
	wantCode(t, l.s.Replay(ctx, nil, 5), lake.CodeInternal)
	l.number = 5
	l.publish("u", "d", row(1, "x"))
	d := l.delta("u", simple(t), 1, []change{{row: row(2, "two")}})
	e := applyEntry("u", d)
	l.tell(e)
	e.Number = l.number
	if err := l.s.Hear(ctx, []lake.Entry{e}); err != nil { // heard twice
		t.Fatal(err)
	}
	e.Number = l.number + 2
	wantCode(t, l.s.Hear(ctx, []lake.Entry{e}), lake.CodeNotReady)
	got, _ := l.ask("SELECT * FROM d")
	same(t, "d", got, []string{row(1, "x"), row(2, "two")})
	if heard, applied := l.s.Positions(); heard != 7 || applied != 7 || l.s.Released() != 7 {
		t.Fatal(heard, applied)
	}
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	_, err := l.s.Query(short, Request{SQL: "SELECT 1", See: 100})
	wantCode(t, err, lake.CodeNotReady)
}

// Readers beside a writer see exact prefixes of the stream, over two datasets
// that change in turn; folds go on meanwhile. (I2)
func TestReadersSeePrefixes(t *testing.T) {
	l := newTestLake(t, Options{MaxConcurrent: 4}).begin()
	s := simple(t)
	l.publish("a", "a")
	l.publish("b", "b")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
				a, err := l.s.Query(ctx, Request{SQL: "SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b, (SELECT max(v) FROM a) AS v"})
				if err != nil {
					t.Error(err)
					done()
					return
				}
				got, err := read(ctx, a)
				// a gets its change before b does, and both have as many rows as
				// their sequence says.
				na, nb := a.ReadPoints["a"].Sequence, a.ReadPoints["b"].Sequence
				want := fmt.Sprintf(`{"a":%d,"b":%d,"v":`, na, nb)
				if err != nil || len(got) != 1 || !strings.HasPrefix(got[0], want) || na != nb && na != nb+1 {
					t.Errorf("%v at a=%d b=%d: %v", got, na, nb, err)
				}
				a.Close()
				done()
			}
		})
	}
	var objects []string
	for i := range 120 {
		seq := int64(i + 1)
		objects = append(objects, row(i, fmt.Sprintf("%04d", i)))
		l.tell(applyEntry("a", l.delta("a", s, seq, []change{{row: objects[i]}})))
		l.tell(applyEntry("b", l.delta("b", s, seq, []change{{row: objects[i]}})))
		if i%20 == 19 {
			f := l.baseFile(s, objects, nil)
			l.tell(publishEntry(lake.Publish{TableUUID: "a", Name: name("a"), Schema: s, Files: []lake.BaseFile{f}, FoldedThrough: seq, Sequence: seq}))
		}
	}
	if err := l.s.ear.waitApplied(t.Context(), l.number); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
}

// A stream that is half read when its dataset is published anew, changed and
// dropped ends on the data that it began with, and holds the files it reads.
func TestHalfReadStream(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	s := simple(t)
	var objects []string
	for i := range 20000 {
		objects = append(objects, row(i, "old"))
	}
	l.publish("u", "d", objects...)
	l.tell(applyEntry("u", l.delta("u", s, 1, []change{{row: row(20000, "old")}, {key: `{"id":5}`}})))
	before := l.number
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	a, err := l.s.Query(ctx, Request{SQL: "SELECT id, v FROM d", See: before})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	rec, err := a.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := rec.NumRows()
	rec.Release()
	f := l.baseFile(s, []string{row(1, "new")}, nil)
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{f}, FoldedThrough: 1, Sequence: 1}))
	got, _ := l.ask("SELECT * FROM d")
	same(t, "after the publish", got, []string{row(1, "new")})
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "u"}})
	if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
		t.Fatal(err)
	}
	if got := l.s.Released(); got > before {
		t.Fatalf("released %d while a reader of %d runs", got, before)
	}
	for {
		rec, err := a.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += rec.NumRows()
		rec.Release()
	}
	if n != 20000 {
		t.Fatalf("%d rows", n)
	}
	a.Close()
	if got := l.s.Released(); got != l.number {
		t.Fatalf("released %d, want %d", got, l.number)
	}
}

func TestCancelled(t *testing.T) {
	l := newTestLake(t, Options{MaxConcurrent: 1}).begin()
	l.publish("u", "d", row(1, "x"))
	for range 20 {
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err := l.s.Query(ctx, Request{SQL: "SELECT count(*) FROM range(1000000000) a, range(1000000) b, d"})
		stop()
		if c := lake.CodeOf(err); c != lake.CodeDeadline && c != lake.CodeNotReady {
			t.Fatalf("%v (%s)", err, c)
		}
	}
	got, _ := l.ask("SELECT * FROM d")
	same(t, "afterwards", got, []string{row(1, "x")})
}

package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// viewOf is the SQL of the shown view of a dataset.
func (l *testLake) viewOf(n lake.Name) string {
	l.t.Helper()
	ctx := l.context()
	if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
		l.t.Fatal(err)
	}
	conn, err := connect(ctx, l.s.db)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.Rows(ctx, "SELECT sql FROM duckdb_views() WHERE database_name = '"+catalogName+"' AND lower(schema_name) = lower("+
		lake.QuoteString(n.Namespace)+") AND lower(view_name) = lower("+lake.QuoteString(n.Dataset)+")")
	if err != nil {
		l.t.Fatal(err)
	}
	if len(rows) != 1 {
		l.t.Fatalf("%d views of %s", len(rows), n)
	}
	return rows[0][0].(string)
}

// untilPlaced waits until queries of a dataset pay for no key that is not placed.
func (l *testLake) untilPlaced(n lake.Name) string {
	l.t.Helper()
	var view string
	l.until("the keys of "+n.String()+" are not placed", func() bool {
		view = l.viewOf(n)
		return !strings.Contains(view, "ANTI")
	})
	return view
}

// Keys are placed after a query; the same rows show before and after, and of two
// files the one without a dead row is read as it is.
func TestPlaces(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	s := simple(t)
	a := l.baseFile(s, []string{row(1, "a"), row(2, "b"), row(3, "c")}, nil)
	b := l.baseFile(s, []string{row(11, "d"), row(12, "e")}, nil)
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{a, b}}))
	l.tell(applyEntry("u", l.delta("u", s, 1, []change{{row: row(2, "B")}, {key: `{"id":3}`}, {row: row(4, "new")}})))
	want := []string{row(1, "a"), row(2, "B"), row(4, "new"), row(11, "d"), row(12, "e")}
	check := func() {
		t.Helper()
		got, _ := l.ask("SELECT * FROM d")
		same(t, "d", got, want)
	}
	if view := l.viewOf(name("d")); !strings.Contains(view, "ANTI") {
		t.Fatalf("before any query: %s", view)
	}
	check()
	view := l.untilPlaced(name("d"))
	if strings.Count(view, duck.LiveFunction) != 1 || strings.Count(view, "read_parquet") != 2 {
		t.Fatal(view)
	}
	check()

	// A key of the other file and one that is placed already.
	l.tell(applyEntry("u", l.delta("u", s, 2, []change{{row: row(12, "E")}, {row: row(2, "BB")}})))
	want = []string{row(1, "a"), row(2, "BB"), row(4, "new"), row(11, "d"), row(12, "E")}
	check()
	if view := l.untilPlaced(name("d")); strings.Count(view, "read_parquet") != 1 {
		t.Fatal(view)
	}
	check()

	// Placed keys that change again cost nothing.
	l.tell(applyEntry("u", l.delta("u", s, 3, []change{{key: `{"id":2}`}, {row: row(3, "back")}})))
	want = []string{row(1, "a"), row(3, "back"), row(4, "new"), row(11, "d"), row(12, "E")}
	if view := l.viewOf(name("d")); strings.Contains(view, "ANTI") {
		t.Fatal(view)
	}
	check()

	// New files have other rows at these numbers.
	a = l.baseFile(s, []string{row(1, "a"), row(2, "BB"), row(4, "new"), row(11, "d"), row(12, "E")}, nil)
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{a}, FoldedThrough: 2, Sequence: 3}))
	check()
	l.untilPlaced(name("d"))
	check()
}

// TestPlacedMeanwhile has keys change between the steps of a placing: the tail
// then has them with later sequences, and one of them in a large delta.
func TestPlacedMeanwhile(t *testing.T) {
	ctx := context.Background()
	l := newTestLake(t, Options{LargeDeltaBytes: 20_000}).begin()
	s := simple(t)
	var files []lake.BaseFile
	for i := range 3 {
		files = append(files, l.baseFile(s, []string{row(10*i, "a"), row(10*i+1, "b"), row(10*i+2, "c")}, nil))
	}
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: files}))
	l.tell(applyEntry("u", l.delta("u", s, 1, []change{{row: row(1, "1")}, {row: row(11, "1")}, {row: row(21, "1")}})))
	want := []string{row(0, "a"), row(1, "1"), row(2, "c"), row(10, "a"), row(11, "1"), row(12, "c"), row(20, "a"), row(21, "1"), row(22, "c")}
	p, entry := l.s.writer, func(e lake.Entry) {
		l.number++
		e.Number = l.number
		for _, group := range l.s.writer.declare([]lake.Entry{e}) {
			l.s.writer.bring(ctx, group)
		}
		l.s.writer.end = l.number
	}
	if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
		t.Fatal(err)
	}
	l.s.ear.close() // the publisher ends; the test does its steps
	l.s.work.Wait()
	conn, err := connect(ctx, l.s.db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.conn = conn
	check := func(what string) {
		t.Helper()
		stream, err := conn.Query(ctx, "SELECT * FROM d", duck.Params{})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var got []string
		for {
			rec, err := stream.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(rec.NumRows()) {
				got = append(got, fmt.Sprintf(`{"id":%s,"v":%q}`, rec.Column(0).ValueStr(i), rec.Column(1).ValueStr(i)))
			}
			rec.Release()
		}
		same(t, what, got, want)
	}
	d := p.datasets["u"]
	d.tail.startPlacing(d.files, d.last)
	w := d.tail.places.work
	w.slices = []placeSlice{{files: []int{0}}, {files: []int{1}}, {files: []int{2}}} // as of larger files
	step := func() bool {
		t.Helper()
		done, err := p.placeStep(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	step()
	check("after one step")
	// Of the three placed keys one of each file changes; so do keys that are not.
	entry(applyEntry("u", l.delta("u", s, 2, []change{{row: row(11, "2")}, {row: row(0, "2")}, {key: `{"id":20}`}})))
	large := []change{{row: row(21, strings.Repeat("x", 30_000))}, {row: row(22, "3")}}
	entry(applyEntry("u", l.delta("u", s, 3, large)))
	want = []string{row(0, "2"), row(1, "1"), row(2, "c"), row(10, "a"), row(11, "2"), row(12, "c"), row(21, strings.Repeat("x", 30_000)), row(22, "3")}
	if len(d.tail.large) != 1 {
		t.Fatal("the third delta is not large")
	}
	check("after changes in between")
	for !step() {
		check("after another step")
	}
	if !d.tail.places.on || !d.tail.loose() {
		t.Fatalf("%+v", d.tail.places)
	}
	check("after the placing")
	for !step() {
		check("in the next placing")
	}
	if d.tail.loose() {
		t.Fatal("something is not placed")
	}
	check("after the next placing")
	p.conn = conn
}

// A reader that began before its view was replaced goes on with the masks of its
// own view; when it has ended they are given back.
func TestMasksOutliveReaders(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	s := simple(t)
	var objects []string
	const n = 100_000
	for i := range n {
		objects = append(objects, row(i, "a text of some length"))
	}
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{l.baseFile(s, objects, nil)}}))
	l.tell(applyEntry("u", l.delta("u", s, 1, []change{{key: `{"id":7}`}, {key: `{"id":99999}`}})))
	l.ask("SELECT count(*) FROM d")
	l.untilPlaced(name("d"))
	ctx := l.context()
	a, err := l.s.Query(ctx, Request{SQL: "SELECT id, repeat(v, 20) FROM d", See: l.number})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i := range int64(3) {
		l.tell(applyEntry("u", l.delta("u", s, 2+i, []change{{key: fmt.Sprintf(`{"id":%d}`, 90_000+i)}})))
		l.ask("SELECT count(*) FROM d")
		l.untilPlaced(name("d"))
	}
	rows := int64(0)
	for {
		rec, err := a.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		rows += rec.NumRows()
		rec.Release()
	}
	if rows != n-2 {
		t.Fatalf("%d rows", rows)
	}
	a.Close()
	l.tell(applyEntry("u", l.delta("u", s, 5, nil)))
	if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
		t.Fatal(err)
	}
	l.s.Close()
	if p := l.s.writer; len(p.retired) != 0 || len(p.datasets["u"].masks) != 1 {
		t.Fatalf("%d masks are retired, %d kept", len(p.retired), len(p.datasets["u"].masks))
	}
}

// A file of more rows than one step reads is placed in several.
func TestPlacesOfALargeFile(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	const n = placeRows + 10
	l.many("big", n, 1)
	l.tell(applyEntry("big", l.delta("big", simple(t), 1, []change{{key: `{"id":5}`}, {key: fmt.Sprintf(`{"id":%d}`, placeRows)}, {row: row(placeRows+5, "x")}})))
	for range 2 {
		got, _ := l.ask(fmt.Sprintf("SELECT count(*) AS n, count(*) FILTER (v = 'x') AS x, count(*) FILTER (id IN (5, %d)) AS gone FROM big", placeRows))
		same(t, "big", got, []string{fmt.Sprintf(`{"n":%d,"x":1,"gone":0}`, n-2)})
		l.untilPlaced(name("big"))
	}
}

// A column with the name of a row number hides it: such a dataset is right, cold
// and hot, and never placed.
func TestNamesThatHideRowNumbers(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	s := schemaOf(t, "id", "id BIGINT", "File_Row_Number BIGINT")
	object := func(id, n int) string { return fmt.Sprintf(`{"id":%d,"File_Row_Number":%d}`, id, n) }
	f := l.baseFile(s, []string{object(1, 1), object(2, 0), object(3, 5)}, nil)
	l.tell(publishEntry(lake.Publish{TableUUID: "u", Name: name("d"), Schema: s, Files: []lake.BaseFile{f}}))
	l.tell(applyEntry("u", l.delta("u", s, 1, []change{{key: `{"id":2}`}})))
	for range 3 {
		got, _ := l.ask("SELECT * FROM d")
		same(t, "d", got, []string{object(1, 1), object(3, 5)})
	}
	if view := l.viewOf(name("d")); !strings.Contains(view, "ANTI") {
		t.Fatal(view)
	}
	const n = sliceRows + 10
	l.exec(fmt.Sprintf("COPY (SELECT i AS id, 7 AS File_Row_Number FROM range(%d) r(i)) TO %s (FORMAT parquet, FIELD_IDS {id: 1, File_Row_Number: 2})", n, lake.QuoteString(f.Path)))
	f.Lower, f.Upper, f.Identity, f.Rows = nil, nil, "", n
	l.tell(publishEntry(lake.Publish{TableUUID: "v", Name: name("e"), Schema: s, Files: []lake.BaseFile{f}}))
	l.load("v")
	got, _ := l.ask("SELECT count(*) AS n, sum(File_Row_Number)::BIGINT AS s FROM e")
	same(t, "e", got, []string{fmt.Sprintf(`{"n":%d,"s":%d}`, n, 7*n)})
}

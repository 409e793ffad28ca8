package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

var outFormats = []rows.OutFormat{rows.OutJSON, rows.OutNDJSON, rows.OutCSV, rows.OutArrow, rows.OutParquet}

// hold reads a row by its key until the rows of its dataset are held.
func (o *opened) hold(dataset, key string) {
	o.t.Helper()
	before := o.heldHits()
	until(o.t, "the rows of "+dataset+" are held", func() bool {
		o.gotten(dataset, key, rows.OutNDJSON)
		return o.heldHits() > before
	})
}

func (o *opened) heldHits() int64 { return o.cache().Results.HeldHits }

// gotten gives the rows of keys in a body of NDJSON.
func (o *opened) gotten(dataset, body string, out rows.OutFormat) (text string, a *engine.Answer) {
	o.t.Helper()
	a, err := o.Get(context.Background(), engine.GetRequest{Dataset: name(o.t, dataset), Format: rows.NDJSON, Body: strings.NewReader(body), Out: out})
	if err != nil {
		o.t.Fatalf("get %s of %s: %v", body, dataset, err)
	}
	return o.whole(a), a
}

// whole reads an answer, but for how long it took.
func (o *opened) whole(a *engine.Answer) string {
	o.t.Helper()
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	cut, _, _ := strings.Cut(string(text), `,"elapsed_ms":`)
	return cut
}

func (o *opened) queried(sql, params string, out rows.OutFormat, fresh bool) (text string, a *engine.Answer) {
	o.t.Helper()
	r := engine.QueryRequest{SQL: sql, Format: out, Fresh: fresh}
	if params != "" {
		r.Params = []byte(params)
	}
	a, err := o.Query(context.Background(), r)
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	return o.whole(a), a
}

// sameAnswer holds what is said of an answer beside its rows against another's.
func sameAnswer(a, b *engine.Answer) bool {
	return a.ContentType == b.ContentType && fmt.Sprint(a.Columns) == fmt.Sprint(b.Columns) && a.Tail().RowCount == b.Tail().RowCount &&
		headText(a.Head) == headText(b.Head) && !a.Again && a.ID != "" && a.ID != b.ID && !a.Deadline.IsZero()
}

func headText(h rows.Head) string {
	text := fmt.Sprint(h.ServedFrom, h.Repeatable)
	for name, p := range h.ReadPoints {
		snapshot := "none"
		if p.Snapshot != nil {
			snapshot = *p.Snapshot
		}
		text += fmt.Sprint(name, p.ReadPoint, snapshot)
	}
	return text
}

// same compares answers: texts byte for byte; Arrow and Parquet by schema and values, as
// bytes behind nulls mean nothing and are whatever DuckDB had there.
func (o *opened) same(f rows.OutFormat, a, b string) bool {
	if f != rows.OutArrow && f != rows.OutParquet {
		return a == b
	}
	as, ar := o.batches(f, a)
	bs, br := o.batches(f, b)
	values := func(rec arrow.RecordBatch) (out []string) {
		for _, c := range rec.Columns() { // as text: NaN is NaN
			for row := range c.Len() {
				out = append(out, c.ValueStr(row))
			}
		}
		return out
	}
	return as.Equal(bs) && slices.EqualFunc(ar, br, func(a, b arrow.RecordBatch) bool { return slices.Equal(values(a), values(b)) })
}

func (o *opened) batches(f rows.OutFormat, text string) (*arrow.Schema, []arrow.RecordBatch) {
	o.t.Helper()
	if f == rows.OutParquet {
		tbl, err := pqarrow.ReadTable(context.Background(), strings.NewReader(text), nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			o.t.Fatal(err)
		}
		return readBatches(o.t, array.NewTableReader(tbl, 0))
	}
	r, err := ipc.NewReader(strings.NewReader(text))
	if err != nil {
		o.t.Fatal(err)
	}
	return readBatches(o.t, r)
}

func readBatches(t testing.TB, r array.RecordReader) (s *arrow.Schema, out []arrow.RecordBatch) {
	t.Helper()
	for r.Next() {
		r.RecordBatch().Retain()
		out = append(out, r.RecordBatch())
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return r.Schema(), out
}

// What is answered from rows that are held is what the worker answers: all types, all
// formats, keys of one column and of all types that a key can have.
func TestHeldRowsAnswerAsTheWorker(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	tt := newTypeTable()
	o.create("one", schema(t, []string{"id"}, tt.columns...))
	keyTypes := []string{"k0 VARCHAR", "k1 UUID", "k2 DECIMAL(38,10)", "k3 BLOB", "k4 TIMESTAMP WITH TIME ZONE", "k5 DATE", "k6 TIME", "k7 BOOLEAN", "k8 INTEGER", "k9 TIMESTAMP"}
	var names []string
	for _, k := range keyTypes {
		names = append(names, columnName(k))
	}
	o.create("wide", schema(t, append(names[:len(names):len(names)], "id"), append(tt.columns[:len(tt.columns):len(tt.columns)], keyTypes...)...))
	key := func(i int) (texts []string, body, where string) {
		texts = []string{
			fmt.Sprintf("it's %d,", i), fmt.Sprintf("7fffffff-ffff-ffff-ffff-%012d", i), fmt.Sprintf("-%d.0000000001", i), "AP8=",
			"2024-03-31T01:30:00Z", "1969-12-31", "12:34:56.000001", "true", fmt.Sprint(-i), "2024-03-31T01:30:00.5", fmt.Sprint(i),
		}
		body = fmt.Sprintf(`"k0":%q,"k1":%q,"k2":%q,"k3":%q,"k4":%q,"k5":%q,"k6":%q,"k7":%s,"k8":%s,"k9":%q`, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], texts[7], texts[8], texts[9])
		return texts, body, fmt.Sprintf("id = %d", i)
	}
	for i, row := range strings.Split(strings.TrimSpace(tt.text(rows.NDJSON)), "\n") {
		_, body, _ := key(i)
		o.change("one", engine.OpUpsert, row)
		o.change("wide", engine.OpUpsert, row[:len(row)-1]+","+body+"}")
	}
	o.compact("one") // a snapshot stands beside the read points
	for _, d := range []string{"one", "wide"} {
		o.pin(d)
	}
	_, first, _ := key(0)
	o.hold("one", `{"id":0}`)
	o.hold("wide", "{"+first+`,"id":0}`)
	n := len(tt.rows)
	if held := o.cache().Results.HeldRows; held != int64(2*n) {
		t.Fatalf("%d rows are held of %d", held, 2*n)
	}
	for i := range n + 2 { // the last two are absent
		texts, body, where := key(i)
		for _, f := range outFormats {
			want, worker := o.queried("select * from one where "+where+" limit 2", "", f, true)
			hits := o.heldHits()
			for n, ask := range []struct{ sql, params string }{{"select * from one where " + where, ""}, {`SELECT * FROM main."One" WHERE ID = $1;`, fmt.Sprintf("[%d]", i)}} {
				if got, a := o.queried(ask.sql, ask.params, f, n == 0); !o.same(f, got, want) || !sameAnswer(a, worker) {
					t.Errorf("%s as %v: %.200q of %+v, want %.200q of %+v", ask.sql, f, got, a, want, worker)
				}
			}
			if got, a := o.gotten("one", fmt.Sprintf(`{"id":%d}`, i), f); !o.same(f, got, want) || a.ETag != o.describe("one").ETag || a.Again {
				t.Errorf("one, %d as %v: %.200q of %+v, want %.200q", i, f, got, a, want)
			}
			wantAll, _ := o.queried("select * from wide where "+where+" limit 2", "", f, true)
			if got, a := o.gotten("wide", "{"+body+fmt.Sprintf(`,"id":%d}`, i), f); !o.same(f, got, wantAll) || a.ETag != o.describe("wide").ETag || a.Again {
				t.Errorf("wide, %d as %v: %.200q of %+v, want %.200q", i, f, got, a, wantAll)
			}
			if now := o.heldHits(); now != hits+4 {
				t.Fatalf("%d of 4 reads were answered from rows that are held", now-hits)
			}
		}
		for dataset, path := range map[string]string{"one": fmt.Sprint(i), "wide": escaped(texts)} {
			want, _ := o.queried("select * from "+dataset+" where "+where+" limit 2", "", rows.OutNDJSON, true)
			hits := o.heldHits()
			row, etag, err := o.Row(context.Background(), name(t, dataset), path)
			if i >= n {
				wantCode(t, err, lake.CodeRowNotFound)
			} else if err != nil || string(row)+"\n" != want || etag != o.describe(dataset).ETag {
				t.Errorf("%s/%s: %s, %s, %v; want %s", dataset, path, row, etag, err, want)
			}
			if o.heldHits() != hits+1 {
				t.Fatalf("%s/%s was not answered from rows that are held", dataset, path)
			}
		}
	}
	many, a := o.gotten("one", `{"id":2}`+"\n"+`{"id":1}`+"\n"+`{"id":2}`+"\n"+`{"id":1000}`, rows.OutJSON)
	if want, _ := o.queried("select * from one where id in (1, 2) order by id", "", rows.OutJSON, true); many != want || a.Tail().RowCount != 2 {
		t.Errorf("%s, want %s", many, want)
	}
}

// escaped is a key in a path.
func escaped(parts []string) string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = strings.ReplaceAll(url.PathEscape(p), ",", "%2C")
	}
	return strings.Join(out, ",")
}

package serving

import (
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// What was loaded while the stream was gathered needs no file any more, and is used for
// rows of that form alone.
func TestLoadedAhead(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	s := simple(t)
	small := l.delta("a", s, 2, []change{{row: row(2, "two")}, {key: `{"id":1}`}})
	known := l.delta("a", s, 1, []change{{row: row(1, "one")}})
	large := l.delta("a", s, 3, []change{{row: row(3, "a longer text, so that it is large")}})
	void := lake.Delta{Key: "void", First: 4, Sequence: 4, Void: true}
	lost := l.delta("a", s, 5, []change{{row: row(5, "five")}})
	if err := os.Remove(lost.Path); err != nil {
		t.Fatal(err)
	}
	d := &dataset{uuid: "a", schema: s, last: 1}
	p := &publisher{datasets: map[string]*dataset{"a": d}, largeBytes: max(small.Bytes, known.Bytes, lost.Bytes)}
	if large.Bytes <= p.largeBytes {
		t.Fatalf("%d bytes are not more than %d", large.Bytes, p.largeBytes)
	}
	p.loadAhead([]lake.Entry{{Drop: &lake.Drop{TableUUID: "b"}}, applyEntry("b", small), applyEntry("a", known, small), applyEntry("a", large, void, lost, small)})
	if there := slices.Collect(maps.Keys(p.ahead.deltas)); !slices.Equal(there, []string{small.Key}) || p.ahead.bytes < small.Bytes {
		t.Fatalf("loaded ahead: %v, %d bytes; not %s alone", there, p.ahead.bytes, small.Key)
	}
	want, err := loadDelta(small, s, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer want.release()
	if err := os.Remove(small.Path); err != nil {
		t.Fatal(err)
	}
	d.schema = schemaOf(t, "id", "id BIGINT", "other VARCHAR")
	if _, err := p.load(small, d); lake.CodeOf(err) != lake.CodeDamaged {
		t.Errorf("rows of another form: %v", err)
	}
	d.schema = s
	voided := small
	voided.Void = true
	if l, err := p.load(voided, d); err != nil || len(l.changes) > 0 {
		t.Errorf("a void delta has %d changes: %v", len(l.changes), err)
	}
	got, err := p.load(small, d)
	if err != nil {
		t.Fatal(err)
	}
	defer got.release()
	if got.sequence != 2 || len(got.changes) != 1 || !array.RecordEqual(got.changes[0].Rows, want.changes[0].Rows) || !slices.Equal(got.changes[0].Ops, want.changes[0].Ops) {
		t.Errorf("loaded ahead: %v", got)
	}
	if _, err := p.load(small, d); lake.CodeOf(err) != lake.CodeDamaged {
		t.Errorf("it is held after it was taken: %v", err)
	}
	p.loadAhead([]lake.Entry{applyEntry("a", l.delta("a", s, 3, []change{{row: row(3, "three")}}))})
	if len(p.ahead.deltas) != 1 {
		t.Errorf("once more loaded ahead: %v", p.ahead)
	}
	if p.ahead.forget(); len(p.ahead.deltas) != 0 || p.ahead.bytes != 0 {
		t.Errorf("after forgetting it has %v", p.ahead)
	}

	p.ahead.bytes = bytesAtOnce
	if p.loadAhead([]lake.Entry{applyEntry("a", l.delta("a", s, 2, []change{{row: row(2, "two")}}))}); len(p.ahead.deltas) > 0 {
		t.Error("more is loaded ahead than is applied at once")
	}
}

// What was loaded ahead is let go of with the apply that it was for, whoever was told of it.
func TestNothingStaysLoadedAhead(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	l.publish("a", "a", row(1, "one"))
	l.publish("b", "b", row(1, "one"))
	l.load("a")
	for n := range int64(3) {
		l.tell(applyEntry("a", l.delta("a", simple(t), n+1, []change{{row: row(int(n), "two")}})),
			applyEntry("b", l.delta("b", simple(t), n+1, []change{{row: row(int(n), "two")}})))
		time.Sleep(gatherTime / 5) // in which it is loaded ahead, on most machines
		if err := l.s.ear.waitApplied(t.Context(), l.number); err != nil {
			t.Fatal(err)
		}
		if a := l.s.writer.ahead; len(a.deltas) != 0 || a.bytes != 0 {
			t.Errorf("after an apply there is still %v", a)
		}
	}
	if got, _ := l.ask("SELECT count(*) AS n FROM a JOIN b USING (id, v)"); got[0] != `{"n":3}` {
		t.Error(got)
	}
}

// The rows of small batches stand in the order in which they came.
func TestTogether(t *testing.T) {
	s := schemaOf(t, "i", "i BIGINT").Arrow()
	held := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer held.AssertSize(t, 0)
	next := int64(0)
	batch := func(rows int) arrow.RecordBatch {
		b := array.NewRecordBuilder(held, s)
		defer b.Release()
		for range rows {
			b.Field(0).(*array.Int64Builder).Append(next)
			next++
		}
		return b.NewRecordBatch()
	}
	for _, c := range []struct{ rows, want []int64 }{
		{nil, nil},
		{[]int64{3}, []int64{3}},
		{[]int64{1, 1, 1}, []int64{3}},
		{[]int64{2048, 1, 2046, 1, 1}, []int64{2048, 2048, 1}},
		{[]int64{1, 5000, 1, 2}, []int64{1, 5000, 3}},
		{[]int64{200_000, 1, 1}, []int64{200_000, 2}},
	} {
		next = 0
		var batches []arrow.RecordBatch
		for _, n := range c.rows {
			batches = append(batches, batch(int(n)))
		}
		var got []int64
		at := int64(0)
		for _, b := range together(batches) {
			got = append(got, b.NumRows())
			for row := range int(b.NumRows()) {
				if v := b.Column(0).(*array.Int64).Value(row); v != at {
					t.Fatalf("%v: %d where %d comes next", c.rows, v, at)
				}
				at++
			}
			b.Release()
		}
		if !slices.Equal(got, c.want) || at != next {
			t.Errorf("%v: %v with %d rows, not %v", c.rows, got, at, c.want)
		}
	}
}

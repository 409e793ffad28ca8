package serving

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// What a step cannot have added is nobody's: an image has no more than it had and what
// was added to it, whatever else DuckDB holds at that moment.
func TestAStepAddsNoMoreThanItSays(t *testing.T) {
	const before, more = 1 << 20, 2 * blockBytes
	for _, x := range []struct {
		name       string
		sized      size
		measured   int64
		compressed bool
		want       int64
	}{
		{"rows of a change, and blocks of a transaction", size{measured: before, fresh: 17}, before + more, false, before + 17},
		{"less than they were thought to take", size{measured: before, fresh: more}, before + 100, false, before + 100},
		{"a slice, whatever it was guessed to take", size{measured: before, fresh: 17, guess: true}, before + more, false, before + more},
		{"a CHECKPOINT that compresses", size{measured: before, unsettled: before}, before / 2, true, before / 2},
		{"a CHECKPOINT that compresses nothing", size{measured: before, unsettled: before}, before + more, true, before},
	} {
		l, m := ledger{budget: math.MaxInt64}, &image{sized: x.sized}
		l.settle(x.measured, []*image{m}, x.compressed)
		if got := m.sized.bytes(); got != x.want {
			t.Errorf("%s: %d bytes, not %d", x.name, got, x.want)
		}
		if sum := m.sized.measured + l.other.measured; sum != x.measured {
			t.Errorf("%s: the books sum up to %d of %d", x.name, sum, x.measured)
		}
		if m.sized.guess || m.sized.fresh != 0 {
			t.Errorf("%s: left %+v", x.name, m.sized)
		}
	}
}

// What rows are said to take before they are compressed is what DuckDB holds for them, or
// somewhat more.
func TestWhatLooseRowsTake(t *testing.T) {
	for _, columns := range []string{"a BIGINT,b BIGINT", "a BIGINT,b VARCHAR,c DOUBLE", "a INTEGER"} {
		s := schemaOf(t, "", strings.Split(columns, ",")...)
		for _, rows := range []int64{1, 1000, 60_000, 110_000} { // a row group that is full is compressed at once
			if took, said := looseTable(t, s, rows), looseBytes(s, 0, rows); took > said+slackBytes || took < said/3 {
				t.Errorf("%d rows of %s take %d bytes, by looseBytes %d", rows, columns, took, said)
			}
		}
	}
	s := schemaOf(t, "", "a BIGINT", "b BIGINT")
	if got := looseBytes(s, 1, 2*groupRows); got != 2*looseBytes(s, 1, groupRows) || got < looseBytes(s, 0, 2*groupRows)+4*blockBytes {
		t.Errorf("two row groups take %d", got)
	}
}

// looseTable is what DuckDB holds for a table of so many rows.
func looseTable(t *testing.T, s lake.Schema, rows int64) int64 {
	t.Helper()
	db, err := openDatabase(t.Context(), duck.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := &image{table: "x", schema: s}
	if err := m.create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	before, err := measureTables(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	values := ""
	for i, col := range s.Columns {
		values += fmt.Sprintf("%s CAST(range + %d AS %s)", map[bool]string{true: ",", false: ""}[i > 0], i, col.Type.SQL())
	}
	if err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO %s SELECT %s FROM range(%d)", internal("x"), values, rows)); err != nil {
		t.Fatal(err)
	}
	after, err := measureTables(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return after - before
}

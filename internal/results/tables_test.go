package results

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// pairs is a dataset with a key of two columns, of which the second comes first.
func pairs(t testing.TB) lake.Schema {
	t.Helper()
	text, err := lake.ParseType("VARCHAR")
	if err != nil {
		t.Fatal(err)
	}
	return lake.Schema{Columns: []lake.Column{
		{Name: "v", Type: text, Nullable: true}, {Name: "n", Type: lake.Type{Kind: lake.Bigint}}, {Name: "s", Type: text},
	}, Key: []string{"s", "n"}}
}

// pairRow is the row of a number, pairKey its key.
func pairRow(n int) []any { return []any{fmt.Sprintf("v%d", n), int64(n / 3), fmt.Sprint("s", n%3)} }

func pairKey(t testing.TB, n int) string {
	s := pairs(t)
	return string(keys.NewEncoder(s.KeySchema(), s.KeyIndexes()).Append(nil, pairBatch(t, n, n+1), 0))
}

func pairBatch(t testing.TB, from, to int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, pairs(t).Arrow())
	for n := from; n < to; n++ {
		row := pairRow(n)
		b.Field(0).(*array.StringBuilder).Append(row[0].(string))
		b.Field(1).(*array.Int64Builder).Append(row[1].(int64))
		b.Field(2).(*array.StringBuilder).Append(row[2].(string))
	}
	return b.NewRecordBatch()
}

// begin begins a load of n rows in batches of 100.
func begin(t testing.TB, c *Cache, sequence int64, n int) *Load {
	t.Helper()
	l := c.Load("u", sequence, int64(n))
	if l == nil {
		t.Fatal("no load")
	}
	t.Cleanup(l.End)
	l.Begin(pairs(t), []rows.Column{{Name: "v"}, {Name: "n"}, {Name: "s"}}, pairs(t).Arrow())
	return l
}

func fill(t testing.TB, l *Load, n int) error {
	t.Helper()
	for from := 0; from < n; from += 100 {
		if err := l.Add(pairBatch(t, from, min(n, from+100))); err != nil {
			return err
		}
	}
	return l.Index()
}

// holding is a cache that holds n rows of u, at sequence 1.
func holding(t testing.TB, n int) *Cache {
	t.Helper()
	c := New(8 << 20)
	l := begin(t, c, 1, n)
	if err := errors.Join(fill(t, l, n), l.Keep(1, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

// is holds what is found of a row: its object, "absent", or "unknown".
func is(t testing.TB, c *Cache, sequence int64, n int, want string) {
	t.Helper()
	table, found, ok := c.Find("u", sequence, pairKey(t, n))
	got := "unknown"
	if ok && len(found) == 0 {
		got = "absent"
	} else if ok {
		text, err := table.AppendJSON(nil, found[0])
		if err != nil {
			t.Fatal(err)
		}
		got = string(text)
	}
	if row := pairRow(n); want == "held" {
		want = fmt.Sprintf(`{"v":%q,"n":%d,"s":%q}`, row...)
	}
	if got != want {
		t.Errorf("row %d: %s, want %s", n, got, want)
	}
}

func TestRowsAreFoundByTheirKeys(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 5000} {
		c := holding(t, n)
		for i := range n {
			is(t, c, 1, i, "held")
		}
		for i := n; i < n+200; i++ {
			is(t, c, 1, i, "absent")
		}
		if s := c.Stats(); s.HeldRows != int64(n) || s.HeldHits != int64(n+200) || s.Hits != s.HeldHits || s.Misses != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestSeveralRowsAtOnce(t *testing.T) {
	c := holding(t, 300)
	var asked []string
	for _, n := range []int{250, 3, 777, 120, 3} {
		asked = append(asked, pairKey(t, n))
	}
	table, found, ok := c.Find("u", 1, asked...)
	if !ok || fmt.Sprint(found) != "[3 120 250]" {
		t.Fatalf("%v, %v", found, ok)
	}
	rec, err := table.Take(found)
	if err != nil || rec.NumRows() != 3 || rec.Column(0).String() != `["v3" "v120" "v250"]` || rec.Column(0).Data().Offset() != 0 || rows.BatchBytes(rec) > 400 {
		t.Fatalf("%v, %v", rec, err)
	}
	c.Changed("u", 2, []string{pairKey(t, 120)})
	if _, _, ok := c.Find("u", 2, asked...); ok {
		t.Error("one of them was changed")
	}
	if _, _, ok := c.Find("u", 2, asked[:3]...); !ok {
		t.Error("none of these was changed")
	}
}

// What was changed is not answered from the table, gone, changed or come anew; the rest is.
func TestTouchedKeys(t *testing.T) {
	c := holding(t, 80)
	if !c.Watching("u") {
		t.Fatal("changes have to be told")
	}
	used := c.Stats().UsedBytes
	c.Changed("u", 2, []string{pairKey(t, 7), pairKey(t, 1000), pairKey(t, 7), pairKey(t, 1000)})
	is(t, c, 2, 7, "unknown")
	is(t, c, 2, 1000, "unknown")
	is(t, c, 2, 8, "held")
	is(t, c, 2, 1001, "absent")
	if s := c.Stats(); s.UsedBytes != used+keyBytes+int64(len(pairKey(t, 1000))) {
		t.Errorf("a key that came is not counted: %d bytes, then %+v", used, s)
	}
	var more []string
	for n := range 8 { // with the two before, ten of eighty: an eighth
		more = append(more, pairKey(t, 10+n))
	}
	c.Changed("u", 3, more)
	is(t, c, 3, 8, "held")
	c.Changed("u", 4, []string{pairKey(t, 1002)})
	is(t, c, 4, 8, "unknown")
	if s := c.Stats(); s.UsedBytes != 0 || s.HeldRows != 0 || s.Entries != 0 {
		t.Errorf("of no use any more, and still there: %+v", s)
	}
}

// A table goes where the keys of a change are not known, or the dataset stands where no
// told change brought it.
func TestTablesGo(t *testing.T) {
	for what, change := range map[string]func(*Cache) int64{
		"unknown keys":    func(c *Cache) int64 { c.Changed("u", 2, nil); return 2 },
		"a jump":          func(c *Cache) int64 { c.Changed("u", 3, []string{"x"}); return 3 },
		"another state":   func(c *Cache) int64 { return 2 },
		"it is forgotten": func(c *Cache) int64 { c.Forget("u"); return 1 },
	} {
		c := holding(t, 10)
		is(t, c, change(c), 1, "unknown")
		if s := c.Stats(); s.UsedBytes != 0 || s.HeldRows != 0 {
			t.Errorf("%s: %+v", what, s)
		}
	}
}

// What changes while rows are loaded is touched from the start; a load whose dataset went
// on otherwise, or by too much, comes to nothing.
func TestChangesBesideALoad(t *testing.T) {
	type step = func(c *Cache, l *Load) (read, now int64)
	for what, s := range map[string]struct {
		step
		kept bool
	}{
		"nothing":         {func(*Cache, *Load) (int64, int64) { return 1, 1 }, true},
		"a change":        {func(c *Cache, l *Load) (int64, int64) { c.Changed("u", 2, []string{pairKey(t, 5)}); return 1, 2 }, true},
		"a change, read":  {func(c *Cache, l *Load) (int64, int64) { c.Changed("u", 2, []string{pairKey(t, 5)}); return 2, 2 }, true},
		"unknown keys":    {func(c *Cache, l *Load) (int64, int64) { c.Changed("u", 2, nil); return 2, 2 }, false},
		"another state":   {func(*Cache, *Load) (int64, int64) { return 2, 2 }, false},
		"read too early":  {func(*Cache, *Load) (int64, int64) { return 0, 1 }, false},
		"it is forgotten": {func(c *Cache, l *Load) (int64, int64) { c.Forget("u"); return 1, 1 }, false},
		"too much": {func(c *Cache, l *Load) (int64, int64) {
			for n := range 21 {
				c.Changed("u", int64(2+n), []string{pairKey(t, n)})
			}
			return 1, 22
		}, false},
	} {
		c := New(8 << 20)
		l := begin(t, c, 1, 160)
		if !c.Watching("u") || c.Load("u", 1, 160) != nil {
			t.Errorf("%s: the load is not known", what)
		}
		for from := 0; from < 160; from += 100 {
			if err := l.Add(pairBatch(t, from, min(160, from+100))); err != nil {
				t.Fatal(err)
			}
		}
		read, now := s.step(c, l)
		err := l.Index()
		if err == nil {
			err = l.Keep(read, now)
		}
		l.End()
		if s.kept != (err == nil) || !s.kept && !errors.Is(err, ErrOvertaken) {
			t.Errorf("%s: %v", what, err)
		}
		if !s.kept {
			is(t, c, now, 6, "unknown")
			if got := c.Stats(); got.UsedBytes != 0 || got.HeldRows != 0 {
				t.Errorf("%s: %+v", what, got)
			}
			continue
		}
		is(t, c, now, 6, "held")
		if strings.HasPrefix(what, "a change") {
			is(t, c, now, 5, "unknown")
		}
	}
}

// Loads and tables are within the budget: one that takes more than half of it is not held
// and not tried again, unless there are clearly fewer rows; others make room for one that fits.
func TestRoomForRows(t *testing.T) {
	c := New(1 << 20)
	putN := func(n int) {
		for i := range n {
			c.put(Question(fmt.Sprint(i)), &Entry{Body: make([]byte, 10<<10)})
		}
	}
	putN(90)
	const many = 20_000
	l := begin(t, c, 1, many)
	if err := fill(t, l, many); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("%d rows fit: %v", many, err)
	}
	l.End()
	if s := c.Stats(); s.UsedBytes > int64(s.Entries)*(11<<10) || s.HeldRows != 0 {
		t.Errorf("what did not fit is still there: %+v", s)
	}
	for range 100 {
		if c.Missed("u", many) || c.Missed("u", many-many/5) {
			t.Fatal("it is tried again")
		}
	}
	const few = 4000
	misses := 1
	for ; !c.Missed("u", few); misses++ {
	}
	if misses != 4 { // two, and twice that after a load that came to nothing
		t.Errorf("loaded at miss %d", misses)
	}
	putN(90)
	l = begin(t, c, 1, few)
	if err := errors.Join(fill(t, l, few), l.Keep(1, 1)); err != nil {
		t.Fatal(err)
	}
	is(t, c, 1, 3, "held")
	if s := c.Stats(); s.UsedBytes > s.BudgetBytes || s.Entries < 20 || s.HeldRows != few {
		t.Errorf("%+v", s)
	}
	if c.Missed("u", few) {
		t.Error("they are held: a miss is of a touched key")
	}
	putN(200) // nobody reads the rows any more
	is(t, c, 1, 3, "unknown")
	if s := c.Stats(); s.UsedBytes > s.BudgetBytes || s.HeldRows != 0 || s.Entries < 50 {
		t.Errorf("%+v", s)
	}
}

func TestMissesFor(t *testing.T) {
	c := New(1 << 20)
	for rows, want := range map[int64]int{0: 2, 1000: 2, 98_304: 3, 32_768_000: 1000} {
		n := 1
		for ; !c.Missed(fmt.Sprint("d", rows), rows); n++ {
		}
		if n != want {
			t.Errorf("%d rows are loaded at miss %d, want %d", rows, n, want)
		}
	}
}

// Rows that went before they were read much are loaded again later, and later each time.
func TestRowsThatDidNotPay(t *testing.T) {
	const rows = 3 * 4096
	c := New(64 << 20)
	round := func(want, reads int) {
		t.Helper()
		n := 1
		for ; !c.Missed("u", rows); n++ {
		}
		if n != want {
			t.Errorf("loaded at miss %d, want %d", n, want)
		}
		l := begin(t, c, 1, rows)
		if err := errors.Join(fill(t, l, rows), l.Keep(1, 1)); err != nil {
			t.Fatal(err)
		}
		for range reads {
			is(t, c, 1, 3, "held")
		}
		c.mu.Lock()
		c.remove(c.mu.rows["u"].table.at)
		c.mu.Unlock()
	}
	round(2, 2)
	round(4, 2)
	round(8, 3)
	round(2, 0)
}

// What was changed before all rows were there is not left to Keep, which is called under
// the stream's lock.
func TestAnIndexKnowsWhatChangedBefore(t *testing.T) {
	c := New(8 << 20)
	const n = 2000
	l := begin(t, c, 1, n)
	c.Changed("u", 2, []string{pairKey(t, 7), pairKey(t, n+1)})
	used := c.Stats().UsedBytes
	if err := fill(t, l, n); err != nil {
		t.Fatal(err)
	}
	if len(l.changed) > 0 || l.held.touched != 2 {
		t.Errorf("%d keys are left to Keep, %d are touched", len(l.changed), l.held.touched)
	}
	c.Changed("u", 3, []string{pairKey(t, 8), pairKey(t, 7)})
	if err := l.Keep(1, 3); err != nil {
		t.Fatal(err)
	}
	for row, want := range map[int]string{6: "held", 7: "unknown", 8: "unknown", n: "absent", n + 1: "unknown"} {
		is(t, c, 3, row, want)
	}
	c.Forget("u")
	if now := c.Stats().UsedBytes; now != used {
		t.Errorf("%d bytes are used of nothing, %d before", now, used)
	}

	l = begin(t, c, 1, 2*n) // half of the rows that were expected are there
	var keys []string
	for i := range n/dueShare + 1 {
		keys = append(keys, pairKey(t, i))
	}
	c.Changed("u", 2, keys)
	if err := fill(t, l, n); !errors.Is(err, ErrOvertaken) {
		t.Errorf("too many of the rows are changed: %v", err)
	}
}

package results

import (
	"fmt"
	"testing"
)

// fetch reads a row that is not kept.
func fetch(t *testing.T, c *Cache, key string, sequence int64) *Fetch {
	t.Helper()
	_, f, ok := c.Row("u", key, sequence)
	if ok {
		t.Fatalf("%s is kept at %d", key, sequence)
	}
	return f
}

func keep(t *testing.T, c *Cache, key, row string, sequence int64) {
	t.Helper()
	c.Keep(fetch(t, c, key, sequence), []byte(row), sequence)
}

func wantRow(t *testing.T, c *Cache, key, row string, sequence int64) {
	t.Helper()
	got, _, ok := c.Row("u", key, sequence)
	if !ok || string(got) != row {
		t.Fatalf("%s at %d: %q, %v; want %q", key, sequence, got, ok, row)
	}
}

func TestARowIsKeptUntilItsKeyChanges(t *testing.T) {
	c := New(1 << 20)
	keep(t, c, "a", "1", 3)
	keep(t, c, "b", "", 3) // known to be absent
	wantRow(t, c, "a", "1", 3)
	c.Changed("u", 4, []string{"a", "x"})
	wantRow(t, c, "b", "", 4)
	keep(t, c, "a", "2", 4)
	wantRow(t, c, "a", "2", 4)

	c.Changed("u", 5, nil) // whose keys nobody knows
	fetch(t, c, "a", 5)
	keep(t, c, "b", "3", 5)
	fetch(t, c, "b", 6) // the dataset went on without a word: a content commit
	keep(t, c, "b", "4", 6)
	c.Changed("u", 8, []string{"x"}) // 7 was not told
	fetch(t, c, "b", 8)
	keep(t, c, "b", "5", 8)
	c.Forget("u")
	fetch(t, c, "b", 8)
	if s := c.Stats(); s.Entries != 0 || s.UsedBytes != 0 {
		t.Fatalf("%+v", s)
	}
}

// A row that was read before its key changed is not kept after it.
func TestAStaleFetchIsNotKept(t *testing.T) {
	for name, change := range map[string]func(c *Cache) (sequence int64){
		"its key changed":   func(c *Cache) int64 { c.Changed("u", 2, []string{"z", "a"}); return 2 },
		"any key changed":   func(c *Cache) int64 { c.Changed("u", 2, nil); return 2 },
		"a content commit":  func(c *Cache) int64 { return 2 },
		"forgotten":         func(c *Cache) int64 { c.Forget("u"); return 1 },
		"seen by another":   func(c *Cache) int64 { c.Row("u", "other", 2); return 2 },
		"changed and again": func(c *Cache) int64 { c.Changed("u", 2, []string{"a"}); c.Changed("u", 3, []string{"b"}); return 3 },
	} {
		c := New(1 << 20)
		f := fetch(t, c, "a", 1)
		if !c.Watching("u") {
			t.Errorf("%s: a fetch needs to hear of changes", name)
		}
		at := change(c)
		c.Keep(f, []byte("old"), at)
		if got, _, ok := c.Row("u", "a", at); ok {
			t.Errorf("%s: %q was kept", name, got)
		}
	}
	c := New(1 << 20)
	f := fetch(t, c, "a", 1)
	c.Changed("u", 2, []string{"b"})
	c.Keep(f, []byte("right"), 2)
	wantRow(t, c, "a", "right", 2)
	f = fetch(t, c, "z", 2)
	c.Drop(f)
	c.Changed("u", 3, []string{"a"})
	if c.Watching("u") {
		t.Error("nothing is kept or read")
	}
}

func TestRowsAndAnswersShareTheBudget(t *testing.T) {
	c := New(64 << 10)
	for i := range 200 {
		keep(t, c, fmt.Sprint(i), "row", 1)
		if s := c.Stats(); s.UsedBytes > s.BudgetBytes {
			t.Fatalf("%+v", s)
		}
	}
	wantRow(t, c, "199", "row", 1)
	fetch(t, c, "0", 1)
	if s := c.Stats(); s.Entries < 40 || s.Entries > 64 {
		t.Fatalf("%+v", s)
	}
}

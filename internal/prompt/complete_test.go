package prompt

import (
	"slices"
	"testing"
)

func testVocabulary() Vocabulary {
	columns := map[string][]string{"trips": {"trip_id", "city", "Order Date"}, "sales.orders": {"order_id", "city"}}
	return Vocabulary{
		Commands: []string{".datasets", ".schema", ".help"},
		Datasets: func() []string { return []string{"trips", "travellers", "sales.orders"} },
		Columns:  func(d string) []string { return columns[d] },
	}
}

func TestNamesAreCompleted(t *testing.T) {
	for _, c := range []struct {
		before, word string
		want         []string
	}{
		{".s", ".s", []string{".schema"}},
		{".schema tr", "tr", []string{"travellers", "trips"}},
		{"sel", "sel", []string{"select"}},
		{"SEL", "SEL", []string{"SELECT"}},
		{"select * from tr", "tr", []string{"travellers", "trips", "true"}},
		{"select * from sa", "sa", []string{"sales.orders", "sample"}},
		{"select * from sales.o", "sales.o", []string{"sales.orders"}},
		{"select * from trips where ci", "ci", []string{"city"}},
		{"select * from trips where ord", "ord", []string{`"Order Date"`, "order"}},
		{"select * from sales.orders o where o.or", "or", []string{"order_id"}},
		{"select trips.ci", "ci", []string{"city"}},
		{"select * from \"trips\"\nwhere trip_", "trip_", []string{"trip_id"}},
		{"select ci", "ci", []string{}},
		{"select 'ci", "", nil},
		{"select 1 -- ci", "", nil},
	} {
		word, got := testVocabulary().Complete(c.before)
		if word != c.word || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q %q, want %q %q", c.before, word, got, c.word, c.want)
		}
	}
}

func TestCommonPrefix(t *testing.T) {
	if got := commonPrefix([]string{"travellers", "trips", "TRUE"}); got != "tr" {
		t.Errorf("%q", got)
	}
	if got := commonPrefix([]string{`"a b"`, "ab"}); got != "" {
		t.Errorf("%q", got)
	}
}

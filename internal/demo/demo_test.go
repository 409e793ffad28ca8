package demo

import (
	"bytes"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/demo/staffing"
)

func smallSet(t *testing.T) *staffing.Set {
	t.Helper()
	set, err := staffing.New(staffing.DefaultSeed, 0.005)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The tour's arithmetic must be the same whether changes were applied one by
// one or everything is counted again.
func TestArithmeticFollowsChanges(t *testing.T) {
	set := smallSet(t)
	e := newExpected(set)
	p := planChanges(e)
	p.apply(e)

	again := &expected{set: set, rows: e.rows, sheets: e.sheets, groups: map[group]*totals{}, homes: e.homes, pays: e.pays}
	for id := int64(1); id <= e.rows+int64(len(p.inserts)); id++ {
		if s, ok := e.sheet(id); ok {
			again.count(&s, 1)
		}
	}
	if again.total() != e.total() || again.billed() != e.billed() || len(again.groups) != len(e.groups) {
		t.Fatalf("%d rows, billed %s in %d groups; counted again %d, %s, %d", e.total(), e.billed(), len(e.groups), again.total(), again.billed(), len(again.groups))
	}
	if want := e.rows + int64(len(p.inserts)) - int64(len(p.deletes)); e.total() != want {
		t.Errorf("%d rows, want %d", e.total(), want)
	}
}

func TestPlannedChangesAreApart(t *testing.T) {
	for _, scale := range []float64{0.001, 0.00123, 0.0077, 0.02} {
		set, err := staffing.New(1, scale)
		if err != nil {
			t.Fatal(err)
		}
		e := newExpected(set)
		p, seen := planChanges(e), map[int64]bool{}
		for _, s := range append(append([]staffing.Timesheet{}, p.updates...), p.inserts...) {
			if seen[s.ID] {
				t.Errorf("scale %v: timesheet %d is changed twice", scale, s.ID)
			}
			seen[s.ID] = true
		}
		for _, id := range p.deletes {
			if seen[id] || id < 1 || id > e.rows {
				t.Errorf("scale %v: timesheet %d is deleted, of %d, changed before: %v", scale, id, e.rows, seen[id])
			}
			seen[id] = true
		}
		if int64(len(seen)) != p.rows() || len(p.updates) == 0 || len(p.inserts) == 0 || len(p.deletes) == 0 {
			t.Errorf("scale %v: %d updates, %d inserts, %d deletes", scale, len(p.updates), len(p.inserts), len(p.deletes))
		}
	}
}

func TestComparisonFindsEveryDifference(t *testing.T) {
	e := &expected{groups: map[group]*totals{{"Oslo", "paid"}: {sheets: 2, billed: 123_4567, pay: 5000}}}
	right := func() []any { return []any{"Oslo", "paid", json.Number("2"), "123.4567", json.Number("25")} }
	if wrong := e.compare([][]any{right()}); wrong != "" {
		t.Fatalf("the right answer: %s", wrong)
	}
	for i, v := range map[int]any{0: "Rome", 1: "open", 2: json.Number("3"), 3: "123.4568", 4: json.Number("25.1")} {
		row := right()
		row[i] = v
		if e.compare([][]any{row}) == "" {
			t.Errorf("%v instead of %v was not found", v, right()[i])
		}
	}
	if e.compare(nil) == "" || e.compare([][]any{right(), right()}) == "" {
		t.Error("a missing or double group was not found")
	}
}

func TestTenThousandths(t *testing.T) {
	for n, want := range map[int64]string{0: "0.0000", 1: "0.0001", 12_345: "1.2345", -12_345: "-1.2345", -1: "-0.0001"} {
		if got := tenThousandths(big.NewInt(n)); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// What the crash expects after n requests must be what these requests say.
func TestLoadExpectsWhatItWrites(t *testing.T) {
	l := newSheetLoad(smallSet(t), newExpected(smallSet(t)))
	rows := map[int64]string{}
	for n := range 20 {
		for line := range strings.Lines(string(l.request(3, n))) {
			var c struct {
				Op  string
				Row struct {
					ID     int64 `json:"timesheet_id"`
					Status string
				}
				Key struct {
					ID int64 `json:"timesheet_id"`
				}
			}
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			if c.Op == "delete" {
				delete(rows, c.Key.ID)
			} else {
				rows[c.Row.ID] = c.Row.Status
			}
		}
		if !same(rows, l.after(3, n+1)) {
			t.Fatalf("after %d requests: %v, but %v is expected", n+1, rows, l.after(3, n+1))
		}
		if same(l.after(3, n), l.after(3, n+1)) {
			t.Fatalf("request %d changes nothing", n)
		}
	}
}

func TestOwnLoadExpectsWhatItWrites(t *testing.T) {
	var sample []map[string]any
	for i := range 23 {
		sample = append(sample, map[string]any{"id": i})
	}
	l := newOwnLoad(&ownDataset{name: "d", key: []string{"id"}}, sample)
	if n := l.writers(8); n != 5 {
		t.Fatalf("%d writers for 23 rows, want 5", n)
	}
	total := 0
	for w := range 5 {
		total += len(l.share(w))
		there := int64(len(l.share(w)))
		for n := range 4 {
			body := string(l.request(w, n))
			if deletes := strings.Count(body, `"delete"`); deletes > 0 {
				there -= int64(deletes)
			} else {
				there += int64(strings.Count(body, `"upsert"`))
			}
			if there != l.left(w, n+1) {
				t.Fatalf("writer %d after %d requests: %d rows, but %d are expected", w, n+1, there, l.left(w, n+1))
			}
		}
	}
	if total != len(sample) {
		t.Errorf("the writers share %d of %d rows", total, len(sample))
	}
}

func TestTheTourClearsOnlyItsOwnFolder(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious.txt")
	if err := os.WriteFile(precious, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	walk := func(lake string) error {
		return (&tour{Options: Options{Lake: lake}, report: report{w: &out}}).prepare()
	}
	if err := walk(dir); err == nil || !strings.Contains(err.Error(), "--lake") {
		t.Errorf("a folder of somebody else: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Fatalf("it was cleared: %v", err)
	}
	own := filepath.Join(dir, "lake")
	if err := walk(own); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(own, "catalog")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := walk(own); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the last tour's lake was not cleared")
	}
}

func TestNamesOfDatasets(t *testing.T) {
	for file, want := range map[string]string{
		"flights-3m.parquet": "flights_3m", "2024.parquet": "d_2024", "añ b.parquet": "a__b", "trips": "trips", ".parquet": "d_",
	} {
		if got := datasetName(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func TestAFailedCheckIsCounted(t *testing.T) {
	var out bytes.Buffer
	r := report{w: &out}
	r.check(true, "one")
	r.equal("two", 1, 2)
	if r.passed != 1 || len(r.failed) != 1 || !strings.Contains(out.String(), "✗ two: 1, but it must be 2") {
		t.Errorf("%d passed, %d failed: %s", r.passed, len(r.failed), out.String())
	}
}

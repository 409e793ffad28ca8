package engine_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"tarn/internal/engine"
)

// TestI3SQLite changes two datasets and two tables of SQLite alike, at random, and
// asks both the same random questions, of the SQL in which they mean the same: cold
// and hot, with changes pending and folded. SQLite is no relative of DuckDB, so a
// mistake of planner, merge or image that DuckDB would share shows here.
// TARN_SQLITE_SEEDS checks so many histories.
func TestI3SQLite(t *testing.T) {
	usual := 6
	if testing.Short() {
		usual = 2
	}
	first := rand.Uint64()
	t.Logf("seed %d", first)
	asked := 0
	for i := range numberFrom(t, "TARN_SQLITE_SEEDS", usual) {
		asked += sqliteHistory(t, first+uint64(i))
	}
	t.Logf("%d questions", asked)
}

// twins are a lake and a SQLite database that hold the same.
type twins struct {
	*opened
	db     *sql.DB
	random *rand.Rand
}

func sqliteHistory(t *testing.T, seed uint64) int {
	random := rand.New(rand.NewPCG(seed, 5))
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		linearShape(random, o)
		o.Settings.CompactAuto = false
	})
	defer o.close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "twin.db")+"?_pragma=case_sensitive_like(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w := &twins{o, db, random}
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "g VARCHAR", "n BIGINT", "m BIGINT"))
	o.create("u", schema(t, []string{"k"}, "k BIGINT", "tid BIGINT", "s VARCHAR"))
	w.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, g TEXT, n INTEGER, m INTEGER)")
	w.exec("CREATE TABLE u (k INTEGER PRIMARY KEY, tid INTEGER, s TEXT)")
	asked := 0
	for range 8 {
		w.change()
		switch random.IntN(4) {
		case 0:
			o.compact("t")
		case 1:
			o.compact("u")
		}
		if random.IntN(3) == 0 {
			if _, err := o.CachePin(context.Background(), parsed([]string{"t", "u"}[random.IntN(2)])); err != nil && !beaten(err) {
				t.Fatal(err)
			}
		}
		for range 25 {
			q := w.question()
			if err := w.ask(q); err != nil {
				t.Fatalf("seed %d: %s: %v", seed, q, err)
			}
			asked++
		}
	}
	return asked
}

// quotedNumber is a number that is written as a text; no text here looks like one.
var quotedNumber = regexp.MustCompile(`"(-?[0-9]+)"`)

func (w *twins) exec(text string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(text, args...); err != nil {
		w.t.Fatalf("SQLite: %s: %v", text, err)
	}
}

var twinTexts = []string{"", "a", "A", "ab", "b%", "é", "it''s", "long enough to be no inlined text", "long enough to be no inlined text!"}

func (w *twins) orNull(of func() any) any {
	if w.random.IntN(5) == 0 {
		return nil
	}
	return of()
}

func (w *twins) text() any {
	return strings.ReplaceAll(twinTexts[w.random.IntN(len(twinTexts))], "''", "'")
}

func (w *twins) number() any { return w.random.IntN(41) - 20 }

// change upserts and deletes some rows of both datasets, in one request each.
func (w *twins) change() {
	w.t.Helper()
	for _, table := range []string{"t", "u"} {
		var lines []string
		for range 1 + w.random.IntN(60) {
			key := w.random.IntN(80)
			if w.random.IntN(5) == 0 {
				column := map[string]string{"t": "id", "u": "k"}[table]
				lines = append(lines, fmt.Sprintf(`{"op":"delete","key":{"%s":%d}}`, column, key))
				w.exec("DELETE FROM "+table+" WHERE "+column+" = ?", key)
				continue
			}
			row := map[string]any{"id": key, "g": w.orNull(w.text), "n": w.orNull(w.number), "m": w.orNull(w.number)}
			if table == "u" {
				row = map[string]any{"k": key, "tid": w.orNull(func() any { return w.random.IntN(90) }), "s": w.orNull(w.text)}
				w.exec("INSERT OR REPLACE INTO u VALUES (?, ?, ?)", row["k"], row["tid"], row["s"])
			} else {
				w.exec("INSERT OR REPLACE INTO t VALUES (?, ?, ?, ?)", row["id"], row["g"], row["n"], row["m"])
			}
			line, err := json.Marshal(map[string]any{"op": "upsert", "row": row})
			if err != nil {
				w.t.Fatal(err)
			}
			lines = append(lines, string(line))
		}
		w.opened.change(table, engine.OpChanges, lines...)
	}
}

func (w *twins) one(of ...string) string { return of[w.random.IntN(len(of))] }

// integer, text and condition are expressions over t (and u, aliased b).
func (w *twins) integer(deep int) string {
	if deep == 0 {
		return w.one("a.id", "a.n", "a.m", fmt.Sprint(w.number()))
	}
	x, y := w.integer(deep-1), w.integer(deep-1)
	return w.one(x, "("+x+" + "+y+")", "("+x+" - "+y+")", "("+x+" * "+y+")", "coalesce("+x+", "+y+")", "-"+"("+x+")",
		"CASE WHEN "+w.condition(deep-1)+" THEN "+x+" ELSE "+y+" END", "abs("+x+")", "nullif("+x+", "+y+")", "length("+w.textual()+")")
}

func (w *twins) textual() string {
	return w.one("a.g", "coalesce(a.g, 'none')", "upper('x')", "a.g || '-' || a.g", "substr(a.g, 1, 2)", "'"+twinTexts[w.random.IntN(len(twinTexts))]+"'")
}

func (w *twins) condition(deep int) string {
	x, y, s := w.integer(max(deep-1, 0)), w.integer(max(deep-1, 0)), w.textual()
	c := w.one(x+" < "+y, x+" = "+y, x+" <> "+y, x+" BETWEEN -5 AND "+y, x+" IS NULL", s+" IS NOT NULL", s+" = 'a'", s+" < 'b'",
		s+" IN ('a', 'ab', 'é')", s+" LIKE 'long%'", s+" LIKE '%a%'", x+" IN (1, 2, 3, "+y+")", s+" >= "+w.textual(),
		"EXISTS (SELECT 1 FROM u e WHERE e.tid = a.id)", "a.id IN (SELECT e.tid FROM u e WHERE e.k > "+fmt.Sprint(w.number())+")",
		"a.id NOT IN (SELECT coalesce(e.tid, 0) FROM u e)")
	if deep > 0 {
		d := w.condition(deep - 1)
		c = w.one(c, "("+c+" AND "+d+")", "("+c+" OR "+d+")", "NOT ("+c+")")
	}
	return c
}

func (w *twins) question() string {
	from := w.one("t a", "t a", "t a JOIN u b ON b.tid = a.id", "t a LEFT JOIN u b ON b.tid = a.id AND b.s = a.g", "t a JOIN u b ON b.s = a.g",
		"t a JOIN t c ON c.n = a.m JOIN u b ON b.tid = c.id")
	where := w.one("", " WHERE "+w.condition(1), " WHERE "+w.condition(2))
	group := w.one("a.g", "a.n", "a.g, a.n", "a.n + 1", "a.id")
	x := w.integer(1)
	switch w.random.IntN(7) {
	case 0:
		return "SELECT a.id, a.g, " + x + " FROM " + from + where
	case 1:
		return "SELECT count(*), count(" + x + "), sum(" + x + "), min(" + x + "), max(" + w.textual() + ") FROM " + from + where
	case 2:
		return "SELECT " + group + ", count(*), sum(" + x + "), min(a.g) FROM " + from + where + " GROUP BY " + group + w.one("", " HAVING count(*) > 1", " HAVING sum(a.m) IS NOT NULL")
	case 3:
		return "SELECT DISTINCT a.g, a.n FROM " + from + where
	case 4:
		return "SELECT a.id, a.n FROM t a" + where + " ORDER BY a.n " + w.one("", "DESC") + " NULLS LAST, a.id LIMIT 7 OFFSET " + fmt.Sprint(w.random.IntN(5))
	case 5:
		return "SELECT a.g FROM t a" + where + w.one(" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ") + "SELECT s FROM u"
	default:
		return "SELECT a.id, row_number() OVER (PARTITION BY a.g ORDER BY a.id), sum(a.n) OVER (PARTITION BY a.g ORDER BY a.id), count(*) OVER (PARTITION BY a.n) FROM t a" + where
	}
}

// ask compares the two bags of rows; where an order is asked for it is a total one, so
// the rows of a LIMIT are the same too.
func (w *twins) ask(q string) error {
	got, err := w.tryRows(q)
	if err != nil {
		return err
	}
	for i, row := range got { // of DuckDB a sum is a HUGEINT, which JSON has as a text
		got[i] = quotedNumber.ReplaceAllString(row, "$1")
	}
	want, err := w.sqlite(q)
	if err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	if !strings.Contains(q, "ORDER BY a.n") {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%d rows and not %d:\n%s\nand not\n%s", len(got), len(want), strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}

func (w *twins) sqlite(q string) ([]string, error) {
	found, err := w.db.Query(q)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return nil, err
	}
	var out []string
	for found.Next() {
		row := make([]any, len(columns))
		at := make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		if err := found.Scan(at...); err != nil {
			return nil, err
		}
		text, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		out = append(out, string(text))
	}
	return out, found.Err()
}

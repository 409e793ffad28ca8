package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
)

// TestStatementsLikeDuckDB runs the same random statements here and in plain DuckDB,
// which has tables of its own with the same keys, or none: each changes the same number of rows
// or fails in both, and after each all rows are the same, cold and hot, with changes
// pending and folded. TARN_STATEMENT_SEEDS checks so many histories.
func TestStatementsLikeDuckDB(t *testing.T) {
	usual := 2
	if testing.Short() {
		usual = 1
	}
	first := rand.Uint64()
	t.Logf("seed %d", first)
	first = from(t, "TARN_STATEMENT_SEED", first, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	done := map[string]int{}
	for i := range numberFrom(t, "TARN_STATEMENT_SEEDS", usual) {
		statementHistory(t, first+uint64(i), done)
	}
	t.Log(done)
	for _, verb := range []string{"insert", "update", "delete", "merge", "without a key"} {
		if done[verb+" done"] == 0 || done["insert refused"] == 0 {
			t.Errorf("the generator is lame: %v", done)
		}
	}
}

// scribe writes random statements.
type scribe struct {
	*opened
	p      *plain
	random *rand.Rand
	keys   map[string][]string // by table

	inTransaction bool // of DuckDB
}

const scribeColumns = "id BIGINT, k VARCHAR, n INTEGER, f DOUBLE, s VARCHAR, d DECIMAL(12,3), ts TIMESTAMP, l BIGINT[], b BOOLEAN"

func statementHistory(t *testing.T, seed uint64, done map[string]int) {
	random := rand.New(rand.NewPCG(seed, 7))
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		linearShape(random, o)
		o.Settings.CompactAuto = false
		if random.IntN(3) == 0 {
			o.Settings.SpoolBytes = 1500 // most go through a job
		}
	})
	defer o.close()
	w := &scribe{opened: o, p: newPlain(t), random: random}
	key := [][]string{{"id"}, {"k", "id"}}[random.IntN(2)]
	columns := strings.Split(strings.ReplaceAll(scribeColumns, "12,3", "12;3"), ", ")
	for i := range columns {
		columns[i] = strings.ReplaceAll(columns[i], ";", ",")
	}
	o.create("t", schema(t, key, columns...))
	o.create("u", schema(t, []string{"id"}, columns...))
	o.create("log", schema(t, nil, columns...))
	w.p.exec("SET TimeZone='UTC'")
	w.p.exec("CREATE TABLE t (%s, PRIMARY KEY (%s))", scribeColumns, strings.Join(key, ", "))
	w.p.exec("CREATE TABLE u (%s, PRIMARY KEY (id))", scribeColumns)
	w.p.exec("CREATE TABLE log (%s)", scribeColumns)
	w.p.exec("CREATE SCHEMA bare")
	w.keys = map[string][]string{"t": key, "u": {"id"}}
	for range 60 {
		switch random.IntN(12) {
		case 0:
			o.compact([]string{"t", "u", "log"}[random.IntN(3)])
		case 1:
			if _, err := o.CachePin(context.Background(), parsed([]string{"t", "u", "log"}[random.IntN(3)])); err != nil && !beaten(err) {
				t.Fatal(err)
			}
		}
		w.step(seed, w.statement(key), done)
		for range 4 {
			w.garbled(seed, garble(random, w.statement(key)), done)
		}
	}
}

// fine says whether DuckDB runs a statement, and rolls it back.
func (w *scribe) fine(sql string, s *sqlwrite.Statement) bool {
	w.inTransaction = true
	defer func() { w.inTransaction = false }()
	w.p.exec("BEGIN")
	defer w.p.exec("ROLLBACK")
	_, err := w.plainly(sql, s)
	return err == nil
}

// garbled runs a text that was a statement: it is refused, or means what it means to
// DuckDB.
func (w *scribe) garbled(seed uint64, sql string, done map[string]int) {
	w.t.Helper()
	s, err := sqlwrite.Parse(sql)
	if err != nil || s == nil {
		done["garbled, no statement"]++
		return
	}
	before, target := w.state(), []string{}
	if s.Merge != nil || s.Returning != nil || s.OnConflict != nil {
		// DuckDB casts also where no arm comes to it, takes no keyword as an alias without
		// AS, and its excluded has the types of what was given, so it says what is fine.
		if !w.fine(sql, s) {
			done["garbled, refused by DuckDB"]++
			return
		}
		target, _ = w.tryRows("SELECT * FROM " + s.Target.String())
	}
	r, err := w.exec(sql, func(r *engine.StatementRequest) { r.Out = rows.OutJSON })
	if err != nil {
		if lake.CodeOf(err) == lake.CodeInternal {
			w.t.Fatalf("seed %d: %s: %v", seed, sql, err)
		}
		done["garbled, refused"]++
		if after := w.state(); !slices.Equal(before, after) {
			w.t.Fatalf("seed %d: %s failed (%v) and changed rows", seed, sql, err)
		}
		return
	}
	done["garbled, done"]++
	told, err := w.plainly(sql, s)
	if mine := w.outcome(s, r, target); err != nil || !sameOutcome(s, mine, told) {
		w.t.Fatalf("seed %d: %s:\n%s, and in DuckDB\n%s, %v", seed, sql, mine, told, err)
	}
	if got, want := w.state(), w.plainState(); !slices.Equal(got, want) {
		w.t.Fatalf("seed %d: after %s\n%v\nand DuckDB has\n%v", seed, sql, got, want)
	}
}

const scribeState = "(SELECT 't' AS which, * FROM t) UNION ALL (SELECT 'u', * FROM u) UNION ALL (SELECT 'log', * FROM log) ORDER BY ALL"

func (w *scribe) state() []string {
	w.t.Helper()
	return w.rows(scribeState)
}

func (w *scribe) plainState() []string { return rowTexts(w.p.answer(scribeState)) }

var garbage = strings.Fields(`) ( , ; * union select from where group by order limit 1 on conflict do nothing update set delete using insert into
	merge matched error and returning values as x t u o z id n s k = + -- /* */ ' " $$ null default returning case when then else end distinct is not in exists #1 t.* columns(*) [ ] { } . :: : -> lateral join
	true false with materialized by name recursive having qualify window offset except intersect all sample tablesample pivot unpivot (select (1) , order,by`)

// garble changes a text word by word.
func garble(random *rand.Rand, sql string) string {
	words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", ",", " , ").Replace(sql))
	for range 1 + random.IntN(2) {
		i := random.IntN(len(words))
		switch random.IntN(5) {
		case 0:
			words = slices.Delete(words, i, i+1)
		case 1:
			words = slices.Insert(words, i, garbage[random.IntN(len(garbage))])
		case 2:
			words[i] = garbage[random.IntN(len(garbage))]
		case 3:
			j := random.IntN(len(words))
			words[i], words[j] = words[j], words[i]
		case 4:
			j := random.IntN(len(words))
			words = slices.Insert(words, i, words[j:min(len(words), j+1+random.IntN(4))]...)
		}
		if len(words) == 0 {
			return sql
		}
	}
	return strings.Join(words, " ")
}

// step runs a statement in both, and compares.
func (w *scribe) step(seed uint64, sql string, done map[string]int) {
	w.t.Helper()
	s, err := sqlwrite.Parse(sql)
	if err != nil {
		w.t.Fatalf("seed %d: %s: %v", seed, sql, err)
	}
	w.p.exec("BEGIN")
	before := w.rows("SELECT * FROM " + s.Target.Dataset)
	w.inTransaction = true
	want, plainErr := w.plainly(sql, s)
	w.inTransaction = false
	r, err := w.exec(sql, func(r *engine.StatementRequest) { r.Out = rows.OutJSON })
	verb, _, _ := strings.Cut(sql, " ")
	switch {
	case err != nil && (plainErr != nil || takesAny(sql, err)):
		w.p.exec("ROLLBACK")
		done[verb+" refused"]++
	case err != nil || plainErr != nil:
		w.t.Fatalf("seed %d: %s\nhere    %v\nDuckDB  %v", seed, sql, err, plainErr)
	default:
		w.p.exec("COMMIT")
		done[verb+" done"]++
		if s.Target.Dataset == "log" && s.Verb != sqlwrite.Insert {
			done["without a key done"]++
		}
		if got := w.outcome(s, r, before); !sameOutcome(s, got, want) {
			w.t.Fatalf("seed %d: %s:\n%s, and in DuckDB\n%s", seed, sql, got, want)
		}
	}
	for _, name := range []string{"t", "u", "log"} {
		q := "SELECT * FROM " + name + " ORDER BY ALL"
		got, err := w.tryRows(q)
		want := w.p.answer(q)
		if err != nil || !slices.Equal(got, rowTexts(want)) {
			w.t.Fatalf("seed %d: after %s (%v): %s\n%v\nand DuckDB has\n%v", seed, sql, err, name, got, rowTexts(want))
		}
	}
}

// takesAny says whether a statement is one that DuckDB runs with one of several new
// values for a row, whichever it comes to first.
func takesAny(sql string, err error) bool {
	return strings.Contains(err.Error(), "several new values") ||
		strings.Contains(err.Error(), "two rows with the key") && (strings.Contains(sql, "do update") || strings.HasPrefix(sql, "insert or replace"))
}

func (w *scribe) one(of ...string) string { return of[w.random.IntN(len(of))] }

// value is a literal, or an expression without columns.
func (w *scribe) value(column string) string {
	if w.random.IntN(8) == 0 {
		return "NULL"
	}
	n := w.random.IntN(30)
	switch column {
	case "id":
		return fmt.Sprint(n)
	case "k":
		return w.one("'a'", "'b'", "'it''s'", "'ä'")
	case "n":
		return w.one(fmt.Sprint(n), fmt.Sprint(-n), "1.5", "'7'", "2.5::double", "(select count(*) from u)", "2147483647")
	case "f":
		return w.one(fmt.Sprint(n), "1e300", "-0.5", "'0.25'", "9007199254740993")
	case "s":
		return w.one("''", "'x'", "'a longer text, of no inlined kind'", "12", "true", "1.50", "date '2020-02-02'", "$$ ); delete from t; -- $$", "e'\\n'")
	case "d":
		return w.one("1.2345", "-3", "'0.0005'", "1e3", "123456789.123", "99999999999")
	case "ts":
		return w.one("'2020-01-01'", "date '1999-12-31'", "timestamp '2024-02-29 12:00:00.000001'", "'1969-12-31 23:59:59'")
	case "l":
		return w.one("[]", "[1, NULL]", "[1.5, 2]", "range(3)", "['7']")
	}
	return w.one("true", "false", "1", "'t'")
}

// expr is an expression over the columns of a table known by a name.
func (w *scribe) expr(column, table string) string {
	if w.random.IntN(3) == 0 {
		return w.value(column)
	}
	c := table + "."
	switch column {
	case "n":
		return w.one("n + 1", c+"n * 2", "case when n is null then 0 else n end", "length("+c+"s)", "id", "(select max(n) from t where id < 5)", "(select count(*) from u x where x.id > "+c+"id)")
	case "f":
		return w.one("f / 3", "n", c+"f + id", "round(f)", "extract(year from "+c+"ts)")
	case "s":
		return w.one("s || '!'", c+"k", "upper(s)", "n", "ts", "case when b then 'yes' else s end", "d", "l[1]")
	case "d":
		return w.one("d + 0.001", "n", "-d", c+"f", "id / 7")
	case "ts":
		return w.one("ts + interval 1 day", "make_timestamp(2000 + id % 50, 1, 1, 0, 0, 0)", c+"ts")
	case "l":
		return w.one("list_append(l, id)", "[n, id]", c+"l[1:1]")
	}
	return w.one("not b", "n > 5", c+"s is distinct from "+c+"k", "b and f > 0", "s = ''")
}

var scribeNames = []string{"id", "k", "n", "f", "s", "d", "ts", "l", "b"}

func (w *scribe) condition(table string) string {
	c := table + "."
	return w.one("true", c+"id < 10", c+"id = 3", c+"id in (select id from u)", c+"n > 5 or "+c+"n is null", c+"s like '%x%'", c+"b", "not "+c+"b",
		c+"f is not distinct from "+c+"d", "case when "+c+"b then "+c+"id else 5 end = 5", "exists (select 1 from u x where x.id = "+c+"id and x.n is not null)", c+"id % 2 = 0 and ("+c+"k = 'a' or "+c+"ts < '2020-01-01')")
}

func (w *scribe) assignments(table string, key []string) string {
	var out []string
	for _, i := range w.random.Perm(len(scribeNames))[:1+w.random.IntN(4)] {
		if c := scribeNames[i]; !slices.Contains(key, c) {
			out = append(out, c+" = "+w.expr(c, table))
		}
	}
	if out == nil {
		out = []string{"n = " + w.expr("n", table)}
	}
	return strings.Join(out, ", ")
}

func (w *scribe) plainStatement(tKey []string) string {
	table := w.one("t", "t", "t", "u", "log", "log")
	key := map[string][]string{"t": tKey, "u": {"id"}}[table]
	kind := w.random.IntN(10)
	other := w.one("u", "t", "(select * from u where id % 2 = 0)", "(select id, min(n) as n, 'q' as k, 2.5 as f from t group by id)")
	if w.random.IntN(3) == 0 {
		return w.merge(table, key)
	}
	switch {
	case kind < 5:
		return w.insert(table, key)
	case kind < 7:
		switch w.random.IntN(4) {
		case 3:
			return w.moved(table, other)
		case 0:
			return "update " + table + " set " + w.assignments(table, key) + " where " + w.condition(table)
		case 1:
			return "update " + table + " as z set " + w.assignments("z", key)
		}
		return "update " + table + " set n = o.n, s = o.k, f = " + table + ".f + o.f from " + other + " o where o.id = " + table + ".id and " + w.condition(table)
	}
	switch w.random.IntN(4) {
	case 0:
		return "delete from " + table + " where " + w.condition(table)
	case 1:
		return "delete from " + table + " z where z.id = " + w.value("id")
	case 2:
		return "delete from " + table + " using " + other + " o where o.id = " + table + ".id and o.n > 3"
	}
	return "delete from " + table + " where id > 24"
}

func (w *scribe) insert(table string, key []string) string {
	columns := slices.Clone(scribeNames)
	list := ""
	if w.random.IntN(2) == 0 {
		w.random.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
		columns = slices.DeleteFunc(columns, func(c string) bool { return !slices.Contains(key, c) && w.random.IntN(3) == 0 })
		if len(columns) == 0 {
			columns = []string{"id"}
		}
		list = " (" + strings.Join(columns, ", ") + ")"
	}
	row := func() string {
		var out []string
		for _, c := range columns {
			v := w.value(c)
			if slices.Contains(key, c) && v == "NULL" && w.random.IntN(10) > 0 {
				v = map[string]string{"id": "77", "k": "'c'"}[c]
			}
			out = append(out, v)
		}
		return strings.Join(out, ", ")
	}
	source := ""
	switch w.random.IntN(5) {
	case 0, 1, 2:
		var all []string
		for range 1 + w.random.IntN(4) {
			all = append(all, "("+row()+")")
		}
		source = "values " + strings.Join(all, ", ")
	case 3:
		var out []string
		for _, c := range columns {
			v := w.expr(c, "src")
			if c == "id" {
				v = w.one("src.id", "src.id + 20", "id * 2")
			}
			if c == "k" {
				v = "coalesce(src.k, 'n')"
			}
			out = append(out, v)
		}
		source = "select " + strings.Join(out, ", ") + " from " + w.one("t", "u", "log") + " src where " + w.condition("src") + " order by all limit 20"
	case 4:
		source = "with src as (select * from u order by all) select " + strings.Join(columns, ", ") + " from src"
	}
	if list == "" && strings.HasPrefix(source, "with") && w.random.IntN(2) == 0 {
		list = " by name"
	}
	sql := "insert into " + table + list + " " + source
	if key == nil {
		return sql
	}
	switch w.random.IntN(6) {
	case 0:
		return "insert or ignore into " + table + list + " " + source
	case 1:
		return sql + " on conflict (" + strings.Join(key, ", ") + ") do nothing"
	case 2:
		return sql + " on conflict (" + strings.Join(key, ", ") + ") do update set " + w.one("n = excluded.n", "n = n + excluded.n, s = excluded.k", "f = 1, d = excluded.id", "s = "+table+".s || excluded.k, b = not excluded.b")
	case 3:
		return sql + " on conflict do update set n = excluded.id, f = " + table + ".id where " + w.one(table+".n > 3", "excluded.id > 5", "n < excluded.id or n is null")
	case 4:
		return "insert or replace into " + table + list + " " + source
	}
	return sql
}

// rowTexts are the rows of an answer as tryRows gives them.
func rowTexts(a answer) []string {
	out := []string{}
	for _, row := range a.Rows {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(row); err != nil {
			panic(err) // of what was JSON
		}
		out = append(out, strings.TrimSpace(b.String()))
	}
	return out
}

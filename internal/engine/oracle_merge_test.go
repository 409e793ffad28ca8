package engine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/sqlwrite"
)

// outcome is the number of rows of a statement, or the rows that it returned. Those of
// MERGE are held against the rows before and after it, and so is their number: DuckDB
// 1.5.6 returns zeros for what WHEN NOT MATCHED BY SOURCE does not set.
func (w *scribe) outcome(s *sqlwrite.Statement, r engine.StatementResult, before []string) string {
	if r.Returned == nil {
		return fmt.Sprint(r.Rows)
	}
	defer r.Returned.Body.Close()
	a, err := readAnswer(r.Returned.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if int64(len(a.Rows)) != r.Rows {
		w.t.Fatalf("%d rows came, of %+v", len(a.Rows), r)
	}
	if s.Merge == nil {
		return outcomeOf(a)
	}
	if a.Columns[0].Name == "merge_action" && len(a.Columns) == 1+len(scribeNames) {
		w.checkMerged(s.Target.Dataset, a, before, w.rows("SELECT * FROM "+s.Target.Dataset))
	}
	return fmt.Sprint(r.Rows)
}

// sameOutcome compares outcomes. DuckDB counts a row of MERGE once for each row of the
// source that changes it in the same way.
func sameOutcome(s *sqlwrite.Statement, got, want string) bool {
	if s.Merge == nil || got == want {
		return got == want
	}
	mine, err := strconv.ParseInt(got, 10, 64)
	theirs, plainErr := strconv.ParseInt(want, 10, 64)
	return err == nil && plainErr == nil && mine > 0 && mine < theirs
}

// checkMerged holds what MERGE returned against the rows of its target.
func (w *scribe) checkMerged(target string, a answer, before, after []string) {
	w.t.Helper()
	told := map[string]bool{}
	for i, text := range rowTexts(answer{Rows: a.Rows}) {
		action := a.Rows[i][0].(string)
		row := "[" + strings.SplitN(text, ",", 2)[1]
		if action == "DELETE" && !slices.Contains(before, row) || action != "DELETE" && !slices.Contains(after, row) {
			w.t.Fatalf("MERGE of %s returned %s", target, text)
		}
		told[fmt.Sprint(action == "DELETE", row)] = true
	}
	for _, row := range after {
		if !slices.Contains(before, row) && !told["false"+row] {
			w.t.Fatalf("MERGE of %s did not return %s", target, row)
		}
	}
}

func outcomeOf(a answer) string {
	texts := rowTexts(a)
	slices.Sort(texts)
	types := make([]string, len(a.Columns)) // how DuckDB writes an expression as a name is its own
	for i, c := range a.Columns {
		types[i] = c.Type
	}
	return fmt.Sprint(types, "\n", strings.Join(texts, "\n"))
}

// plainly runs a statement in DuckDB, and gives its outcome. What gives rows another key,
// and MERGE, runs there on tables without keys, which are looked at afterwards: DuckDB
// refuses a key that another row has had until the same statement.
func (w *scribe) plainly(sql string, s *sqlwrite.Statement) (string, error) {
	bare := s.Merge != nil || slices.ContainsFunc(s.Set, func(a sqlwrite.Assignment) bool {
		return slices.ContainsFunc(w.keys[s.Target.Dataset], func(k string) bool { return strings.EqualFold(k, a.Column) })
	})
	if bare {
		for _, name := range []string{"t", "u", "log"} {
			w.p.exec("CREATE OR REPLACE TABLE bare.%s AS FROM main.%s", name, name)
		}
		w.p.exec("SET schema = 'bare'")
	}
	if at := strings.LastIndex(sql, " returning "); s.Merge != nil && s.Returning != nil && at > 0 {
		sql = sql[:at]
	}
	outcome, err := w.p.outcome(sql, s.Returning != nil && s.Merge == nil)
	if err != nil && w.inTransaction {
		w.p.exec("ROLLBACK")
		w.p.exec("BEGIN")
	}
	w.p.exec("SET schema = 'main'")
	if err != nil || !bare {
		return outcome, err
	}
	for name, key := range w.keys {
		by := strings.Join(key, ", ")
		bad := w.p.texts("SELECT concat(%s) FROM bare.%s GROUP BY %s HAVING count(*) > 1 OR %s IS NULL", by, name, by, strings.Join(key, " IS NULL OR "))
		if len(bad) > 0 {
			return outcome, fmt.Errorf("%s has the keys %v more than once, or null", name, bad)
		}
	}
	for name, key := range w.keys {
		w.p.exec("CREATE OR REPLACE TABLE main.%s (%s, PRIMARY KEY (%s))", name, scribeColumns, strings.Join(key, ", "))
		w.p.exec("INSERT INTO main.%s FROM bare.%s", name, name)
	}
	w.p.exec("CREATE OR REPLACE TABLE main.log AS FROM bare.log")
	return outcome, nil
}

// statement is one of any kind; some return rows.
func (w *scribe) statement(tKey []string) string {
	sql := w.plainStatement(tKey)
	if w.random.IntN(3) > 0 {
		return sql
	}
	of := "id"
	if strings.HasPrefix(sql, "merge") {
		return sql + " returning " + w.one("merge_action, *", "merge_action, z.*", "k || '!' as k2, id", "merge_action, k")
	}
	return sql + " returning " + w.one("*", of, "id + 1 as next, n, upper(s) \"S\"", of+", *", "f, ts, d + 1, coalesce(l, []) as l", "case when b then 'yes' else k end, b", "n, id is_it, (l)")
}

// merge is a MERGE of a table with a key.
func (w *scribe) merge(table string, key []string) string {
	source := w.one("u", "t", "(select * from u where id % 2 = 0)", "(select id + 3 as id, k, n, f, s, d, ts, l, b from u order by id limit 6)",
		"(select id, min(n) as n, 'q' as k, 2.5 as f, 'x' as s, true as b, null::timestamp as ts, 1.5 as d, [1] as l from t group by id)",
		"(select 5 as id, 'a' as k, i as n, 1.5 as f, 'dup' as s, 2 as d, null as ts, null as l, i < 1 as b from range(2) r(i))")
	whole := source == "u" || source == "t"
	on := " on o.id = z.id"
	if slices.Contains(key, "k") && w.random.IntN(2) == 0 {
		on = " on (o.id = z.id and o.k = z.k)"
	}
	switch w.random.IntN(10) {
	case 0:
		on = " using (id)"
	case 1:
		on = w.one(" on o.n = z.n", " on z.id = o.id + 1", " on false")
	}
	var arms []string
	free := map[string]bool{"m": true, "t": true, "s": true}
	for range 1 + w.random.IntN(4) {
		which := w.one("m", "m", "t", "t", "s")
		if !free[which] {
			continue
		}
		cond, do := w.arm(which, key, whole)
		free[which] = strings.Contains(cond, " and ")
		arms = append(arms, cond+" then "+do)
	}
	return "merge into " + table + w.one(" as z", " z") + " using " + source + w.one(" as o", " o") + on + " " + strings.Join(arms, " ")
}

// arm is a condition and what is done.
func (w *scribe) arm(which string, key []string, whole bool) (cond, do string) {
	and := func(of ...string) string {
		if w.random.IntN(2) == 0 {
			return ""
		}
		return " and " + w.one(of...)
	}
	insert := w.one("insert values (o.id + 40, coalesce(o.k, 'n'), 1, 2.5, 'ins', o.n % 1000, null, [o.id], default)",
		"insert (id, k, s) values (o.id, 'k' || o.id, case when o.b then 'when' else 'not' end)", "insert (k, id) values (coalesce(o.k, 'm'), o.id)")
	switch which {
	case "m":
		cond = "when matched" + and("z.n > 5", "o.b", "o.id % 2 = 0 and case when z.b then true else o.n is null end")
		do = w.one("update set "+w.mergeSet(key), "update set "+w.mergeSet(key), "delete", "do nothing", "error", "update set (n, s) = (o.n, 'two')", "error 'it is ' || z.id")
		if whole {
			do = w.one(do, "update", "update by name", "update set *")
		}
	case "t":
		cond = "when not matched" + w.one("", " by target") + and("o.id > 4", "o.b", "o.n is not null")
		if do = w.one(insert, insert, "insert by name", "do nothing", "error"); whole {
			do = w.one(do, "insert", "insert *", "insert by position")
		}
	case "s":
		cond = "when not matched by source" + and("z.id > 12", "z.b", "z.n is null")
		do = w.one("delete", "update set n = z.id, s = 'alone'", "update set f = z.f + 1", "do nothing")
	}
	return cond, do
}

func (w *scribe) mergeSet(key []string) string {
	var out []string
	for _, i := range w.random.Perm(len(scribeNames))[:1+w.random.IntN(3)] {
		c := scribeNames[i]
		if slices.Contains(key, c) && w.random.IntN(6) > 0 {
			continue
		}
		value := w.one("z."+c, "o."+c, "o."+c)
		if !slices.Contains(key, c) && c != "d" && w.random.IntN(4) == 0 {
			value = w.value(c) // that can be cast: DuckDB casts also where no arm comes to it
		}
		out = append(out, c+" = "+value)
	}
	if out == nil {
		out = []string{"n = o.n"}
	}
	return strings.Join(out, ", ")
}

// moved is an UPDATE that gives rows other keys.
func (w *scribe) moved(table, other string) string {
	if w.random.IntN(3) == 0 {
		return "update " + table + " set (id, k) = (o.id + 1, o.k) from " + other + " o where o.id = " + table + ".id and " + w.condition(table)
	}
	return "update " + table + " set id = " + w.one("-id", "id + 1", "id - 1", "100 - id", "id * 2", "case when id < 5 then 5 - id else id end", "7", "null", "id % 12") +
		w.one("", ", n = id", ", s = 'moved'") + w.one("", " where "+w.condition(table), " where id < 6")
}

package sqlwrite_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
	"tarn/internal/sqlwrite"
)

func parse(t *testing.T, sql string) *sqlwrite.Statement {
	t.Helper()
	s, err := sqlwrite.Parse(sql)
	if err != nil || s == nil {
		t.Fatalf("%s: %v, %v", sql, s, err)
	}
	return s
}

// TestPieces: where a statement is cut.
func TestPieces(t *testing.T) {
	for sql, want := range map[string]string{
		"delete from t":                                                                              `delete main.t`,
		"DELETE FROM t WHERE id = 1 ;; ":                                                             `delete main.t where[id = 1]`,
		"delete from a.b x where x.id = 1":                                                           `delete a.b as x where[x.id = 1]`,
		`delete from "T" as "A ""b""" where true`:                                                    `delete main.T as A "b" where[true]`,
		"delete from t using u join v using (k) where k=1":                                           `delete main.t from[u join v using (k)] where[k=1]`,
		"delete from t using (select 1 where true group by all) s":                                   `delete main.t from[(select 1 where true group by all) s]`,
		"update t set a = 1":                                                                         `update main.t set[a: 1]`,
		"update t x set a = b, \"c, d\" = f(1, 2), e = default":                                      `update main.t as x set[a: b][c, d: f(1, 2)][e: NULL]`,
		"update t set a = b is distinct from c from u where x":                                       `update main.t set[a: b is distinct from c] from[u] where[x]`,
		"update t set a = b is not distinct from c where x":                                          `update main.t set[a: b is not distinct from c] where[x]`,
		"update t set a = extract(year from d) where d > '1'":                                        `update main.t set[a: extract(year from d)] where[d > '1']`,
		"update t set a = case when x then 1 else 2 end, b=[1,2]":                                    `update main.t set[a: case when x then 1 else 2 end][b: [1,2]]`,
		"update t set a = {'x': 1, 'y': (2)}, b = $$ where , $$":                                     `update main.t set[a: {'x': 1, 'y': (2)}][b: $$ where , $$]`,
		"update t set a = /* where , */ 1 -- from u\n where b":                                       `update main.t set[a: 1] where[b]`,
		"update t set a = (select max(n) from t where k = 1) from u, v where u.k = v.k":              `update main.t set[a: (select max(n) from t where k = 1)] from[u, v] where[u.k = v.k]`,
		"update t set a = x.from, b = e'\\' where' where y.\"where\"":                                `update main.t set[a: x.from][b: e'\' where'] where[y."where"]`,
		"with u as (select 1 as k), v(a) as not materialized (select 2) update t set a = u.k from u": `with[with u as (select 1 as k), v(a) as not materialized (select 2)] update main.t set[a: u.k] from[u]`,
		"with recursive u using key (k) as (select 1) delete from t":                                 `with u`,
		"explain delete from t":                                                                      `explain delete main.t`,
		"insert into t values (1, 'a'), (default, null)":                                             `insert main.t values[1|'a'][NULL|null]`,
		"insert into t (a, \"B\") values (f(1, 2), (select 1, 2))":                                   `insert main.t columns[a B] values[f(1, 2)|(select 1, 2)]`,
		"insert into t as x values (1)":                                                              `insert main.t as x values[1]`,
		"insert into t default values":                                                               `insert main.t default`,
		"insert into t (select 1)":                                                                   `insert main.t source[(select 1)]`,
		"insert into t (a) (select 1)":                                                               `insert main.t columns[a] source[(select 1)]`,
		"insert into t by name select 1 as a":                                                        `insert main.t by name source[select 1 as a]`,
		"insert into t by position select 1":                                                         `insert main.t source[select 1]`,
		"insert into t from u":                                                                       `insert main.t source[from u]`,
		"insert into t values (1) union select 2":                                                    `insert main.t source[values (1) union select 2]`,
		"insert into t values (1) order by 1 limit 1":                                                `insert main.t source[values (1) order by 1 limit 1]`,
		"insert into t with u as (select 1) select * from u":                                         `insert main.t source[with u as (select 1) select * from u]`,
		"insert or ignore into t select 1":                                                           `insert main.t source[select 1] nothing`,
		"insert or replace into t select 1":                                                          `insert main.t source[select 1] replace`,
		"insert into t select * from a join b on conflict = 1":                                       `insert main.t source[select * from a join b on conflict = 1]`,
		"insert into t select * from a join b on conflict = 1 on conflict do nothing":                `insert main.t source[select * from a join b on conflict = 1] nothing`,
		"insert into t values (1) on conflict (id, k) do nothing":                                    `insert main.t values[1] key[id k] nothing`,
		"insert into t values (1) on conflict do update set a = excluded.a, b = b + 1":               `insert main.t values[1] set[a: excluded.a][b: b + 1]`,
		"delete from t returning *":                                                                  `delete main.t returning[*]`,
		"delete from t x where a returning x.*, X.* , id":                                            `delete main.t as x where[a] returning[*] returning[*] returning[id]`,
		"delete from t where a as returning":                                                         `delete main.t where[a as returning]`,
		"update t set a = 1 from u where b returning a + 1 as \"A b\", t.id as select, f(a, b)":      `update main.t set[a: 1] from[u] where[b] returning[a + 1 as A b] returning[t.id as select] returning[f(a, b)]`,
		"insert into t select 1 returning a b, t.a c, (a) d, f(a) \"e\", cast(a as int) as g":        `insert main.t source[select 1] returning[a as b] returning[t.a as c] returning[(a) as d] returning[f(a) as e] returning[cast(a as int) as g]`,
		"insert into t select 1 returning a + b c, interval (a) day, date '2020-01-01', a is null, a::timestamp with time zone": `insert main.t source[select 1] returning[a + b c] returning[interval (a) day] returning[date '2020-01-01'] returning[a is null] returning[a::timestamp with time zone]`,
		"insert into t values (1) on conflict do nothing returning count(*), (select unnest([1]) limit 1)":                      `insert main.t values[1] nothing returning[count(*)] returning[(select unnest([1]) limit 1)]`,
		"insert into t values (1) on conflict (id) do update set a = 1 where t.a < excluded.a;":                                 `insert main.t values[1] key[id] set[a: 1] where[t.a < excluded.a]`,
	} {
		s, err := sqlwrite.Parse(sql)
		if err != nil || s == nil {
			t.Errorf("%s: %v, %v", sql, s, err)
			continue
		}
		if got := shown(s); got != want && !(want == "with u" && s.With != "") {
			t.Errorf("%s\ngot  %s\nwant %s", sql, got, want)
		}
	}
}

// shown is a statement in one line.
func shown(s *sqlwrite.Statement) string {
	var b strings.Builder
	part := func(label, piece string) {
		if piece != "" {
			fmt.Fprintf(&b, " %s[%s]", label, piece)
		}
	}
	set := func(set []sqlwrite.Assignment) {
		for i, a := range set {
			if i == 0 {
				b.WriteString(" set")
			}
			fmt.Fprintf(&b, "[%s: %s]", a.Column, a.Expr)
		}
	}
	if s.Explain {
		b.WriteString(" explain")
	}
	part("with", s.With)
	fmt.Fprintf(&b, " %s %s.%s", s.Verb, s.Target.Namespace, s.Target.Dataset)
	if s.Alias != "" {
		b.WriteString(" as " + s.Alias)
	}
	if s.ByName {
		b.WriteString(" by name")
	}
	part("columns", strings.Join(s.Columns, " "))
	if s.Values != nil {
		b.WriteString(" values")
		for _, row := range s.Values {
			fmt.Fprintf(&b, "[%s]", strings.Join(row, "|"))
		}
	}
	part("source", s.Source)
	if s.Verb == sqlwrite.Insert && s.Values == nil && s.Source == "" {
		b.WriteString(" default")
	}
	if c := s.OnConflict; c != nil {
		part("key", strings.Join(c.Columns, " "))
		if c.Nothing() {
			b.WriteString(" nothing")
		}
		if c.Replace {
			b.WriteString(" replace")
		}
		set(c.Set)
		part("where", c.Where)
	}
	set(s.Set)
	part("from", s.From)
	part("where", s.Where)
	if s.Merge != nil {
		showMerge(&b, s.Merge, part, set)
	}
	for _, o := range s.Returning {
		switch {
		case o.Star:
			b.WriteString(" returning[*]")
		case o.Alias != "":
			fmt.Fprintf(&b, " returning[%s as %s]", o.Expr, o.Alias)
		default:
			part("returning", o.Expr)
		}
	}
	return b.String()[1:]
}

// TestNoWrites: what the gate judges, as ever.
func TestNoWrites(t *testing.T) {
	for _, sql := range []string{
		"", ";", "select 1", "with a as (select 1) select * from a", "explain select 1", "explain (format json) select 1", "from t", "(delete from t)",
		"create table t (a int)", "copy t to 'x'", "attach 'x'", "pragma x", "begin",
		"select 'delete from t'", "with a as (delete from t returning *) select * from a", "with a as (select 1), select", "select 1; delete from t",
		"explain analyze select 1", "with a as (select 1) copy t to 'x'", "drop table t", "truncate t", "/* delete */ select 1", "alter table t add a int", "explain (", "with (",
	} {
		if s, err := sqlwrite.Parse(sql); s != nil || err != nil {
			t.Errorf("%s: %v, %v", sql, s, err)
		}
	}
}

// TestRefused: what is no statement, or means more than its place takes.
func TestRefused(t *testing.T) {
	for sql, code := range map[string]lake.Code{
		"insert":                                                  lake.CodeSQLInvalid,
		"insert into":                                             lake.CodeSQLInvalid,
		"insert into t":                                           lake.CodeSQLInvalid,
		"insert into t 1":                                         lake.CodeSQLInvalid,
		"insert into t () values (1)":                             lake.CodeSQLInvalid,
		"insert into t values (1, )":                              lake.CodeSQLInvalid,
		"insert into t values (*)":                                lake.CodeSQLInvalid,
		"insert into t values (t.*)":                              lake.CodeSQLInvalid,
		"insert into t values (select 1)":                         lake.CodeSQLInvalid,
		"insert into t values (columns(*))":                       lake.CodeSQLRefused,
		"insert into t (a) default values":                        lake.CodeSQLInvalid,
		"insert into t by name values (1)":                        lake.CodeSQLInvalid,
		"insert into t (a) by name select 1 as a":                 lake.CodeSQLInvalid,
		"insert or abort into t select 1":                         lake.CodeSQLInvalid,
		"insert or ignore into t select 1 on conflict do nothing": lake.CodeSQLInvalid,
		"insert into t values (1) on conflict on constraint x do nothing": lake.CodeUnsupported,
		"insert into t values (1) on conflict (a) where b do nothing":     lake.CodeUnsupported,
		"insert into t values (1) on conflict do nothing where true":      lake.CodeSQLInvalid,
		"insert into t values (1) on conflict do delete":                  lake.CodeSQLInvalid,
		"insert into t values (1) on conflict do update set a = 1 from u": "", // a piece "1 from u", which does not parse in parentheses
		"insert into t values (1) returning":                              lake.CodeSQLInvalid,
		"insert into t values (1) returning a,":                           lake.CodeSQLInvalid,
		"insert into t values (1) returning , a":                          lake.CodeSQLInvalid,
		"delete from t returning u.*":                                     lake.CodeSQLInvalid,
		"delete from t returning main.t.*":                                lake.CodeSQLInvalid,
		"delete from t returning * exclude (a)":                           lake.CodeSQLInvalid,
		"delete from t returning columns(*)":                              lake.CodeSQLRefused,
		"delete from t returning unnest([1, 2])":                          lake.CodeSQLRefused,
		"delete from t returning 1 + \"UnNest\" ([])":                     lake.CodeSQLRefused,
		"delete from t returning generate_subscripts(l, 1)":               lake.CodeSQLRefused,
		"delete from t returning select 1":                                lake.CodeSQLInvalid,
		"delete from t returning #1":                                      lake.CodeSQLRefused,
		"delete from t returning a as _tarn_c0":                           lake.CodeSQLRefused,
		"delete from t returning a) union (select 1":                      lake.CodeSQLInvalid,
		"delete from t returning a; select 1":                             lake.CodeSQLRefused,
		"delete from t returning a returning b":                           "", // a piece "a returning b", which does not parse in parentheses
		"delete t":                                                        lake.CodeSQLInvalid,
		"delete from":                                                     lake.CodeSQLInvalid,
		"delete from t where":                                             lake.CodeSQLInvalid,
		"delete from t where select 1":                                    lake.CodeSQLInvalid,
		"delete from t where a, b":                                        lake.CodeSQLInvalid,
		"delete from t where a)":                                          lake.CodeSQLInvalid,
		"delete from t where (a":                                          lake.CodeSQLInvalid,
		"delete from t where (a]":                                         lake.CodeSQLInvalid,
		"delete from t where a) union (select 1":                          lake.CodeSQLInvalid,
		"delete from t where 'a":                                          lake.CodeSQLInvalid,
		"delete from t where a /* b":                                      lake.CodeSQLInvalid,
		"delete from t where a -- b":                                      "",
		"delete from t where $x$ a":                                       lake.CodeSQLInvalid,
		"delete from t where \"a":                                         lake.CodeSQLInvalid,
		"delete from t; delete from t":                                    lake.CodeSQLRefused,
		"delete from t where (a;b)":                                       lake.CodeSQLRefused,
		"delete from a.b.c":                                               lake.CodeSQLRefused,
		"delete from 'file.parquet'":                                      lake.CodeSQLInvalid,
		`delete from "file.parquet"`:                                      lake.CodeDatasetNotFound,
		`delete from "a.b"`:                                               lake.CodeDatasetNotFound,
		"delete from information_schema.tables":                           lake.CodeDatasetNotFound,
		"delete from where":                                               lake.CodeSQLInvalid,
		"delete from t using u group by x":                                lake.CodeSQLInvalid,
		"delete from t using u union select 1":                            lake.CodeSQLInvalid,
		"delete from t using u limit 1 where true":                        lake.CodeSQLInvalid,
		"delete from t using where true":                                  lake.CodeSQLInvalid,
		"delete from t using u, where true":                               lake.CodeSQLInvalid,
		"update t set":                                                    lake.CodeSQLInvalid,
		"update t set a":                                                  lake.CodeSQLInvalid,
		"update t set a = ":                                               lake.CodeSQLInvalid,
		"update t set a = , b = 1":                                        lake.CodeSQLInvalid,
		"update t set a = 1,":                                             lake.CodeSQLInvalid,
		"update t set t.a = 1":                                            lake.CodeSQLInvalid,
		"update t set a = *":                                              lake.CodeSQLInvalid,
		"delete from t where #1 = 1":                                      lake.CodeSQLRefused,
		"update t set a = (*)":                                            lake.CodeSQLInvalid,
		"update t set a = select 1":                                       lake.CodeSQLInvalid,
		"update t set a = 1 from u order by 1":                            lake.CodeSQLInvalid,
		"update t set a = _tarn_c1":                                       lake.CodeSQLRefused,
		"update t set a = \"_TARN_c1\"":                                   lake.CodeSQLRefused,
		"update t\u00a0set a = 1":                                         lake.CodeSQLInvalid,
		"delete from t where a\u2003and b":                                lake.CodeSQLInvalid,
		"explain analyze delete from t":                                   lake.CodeSQLRefused,
		"explain (format json) delete from t":                             lake.CodeSQLRefused,
		"with t as (select 1) update t set a = 1":                         lake.CodeSQLRefused,
		"with update as (select 1), t as (select 1) delete from t":        lake.CodeSQLRefused,
		"with a as (select 1), \"T\" as (select 1) delete from main.t":    lake.CodeSQLRefused,
	} {
		s, err := sqlwrite.Parse(sql)
		if code == "" {
			if err != nil || s == nil {
				t.Errorf("%s: %v", sql, err)
			}
		} else if err == nil || lake.CodeOf(err) != code {
			t.Errorf("%s: %v, %v, want %s", sql, s, err, code)
		}
	}
}

func testSchema() lake.Schema {
	s := lake.Schema{Key: []string{"id", "k"}}
	for _, c := range []string{"id BIGINT", "a VARCHAR", "k VARCHAR", "b DOUBLE", "d DECIMAL(10,2)"} {
		name, sql, _ := strings.Cut(c, " ")
		typ, err := lake.ParseType(sql)
		if err != nil {
			panic(err)
		}
		s.Columns = append(s.Columns, lake.Column{Name: name, Type: typ, Nullable: true})
	}
	if err := s.Check(); err != nil {
		panic(err)
	}
	return s
}

// TestReads: what does not fit the schema, before anything is run.
func TestReads(t *testing.T) {
	keyed, plain := testSchema(), testSchema()
	plain.Key = nil
	for sql, code := range map[string]lake.Code{
		"update t set a = 1":                                                        "",
		"update t set A = 1, b = 2":                                                 "",
		"update t set z = 1":                                                        lake.CodeSQLInvalid,
		"update t set a = 1, A = 2":                                                 lake.CodeSQLInvalid,
		"update t set id = 1":                                                       "",
		"insert into t (id, k) values (1, 2)":                                       "",
		"insert into t (id) values (1)":                                             lake.CodeRowsInvalid,
		"insert into t (id, id) values (1, 2)":                                      lake.CodeSQLInvalid,
		"insert into t (id, k) values (1)":                                          lake.CodeSQLInvalid,
		"insert into t values (1), (1, 2, 3, 4, 5)":                                 lake.CodeSQLInvalid,
		"insert into t values (1,2,3,4,5) on conflict (k, id) do nothing":           "",
		"insert into t values (1,2,3,4,5) on conflict (id) do nothing":              lake.CodeSQLInvalid,
		"insert into t values (1,2,3,4,5) on conflict (id, a) do nothing":           lake.CodeSQLInvalid,
		"insert into t values (1,2,3,4,5) on conflict (id, id) do nothing":          lake.CodeSQLInvalid,
		"insert into t values (1,2,3,4,5) on conflict do update set k = 1":          lake.CodeUnsupported,
		"insert into t values (1,2,3,4,5) on conflict do update set a = excluded.a": "",
	} {
		if _, err := sqlwrite.NewRead(parse(t, sql), lake.Name{Namespace: "main", Dataset: "t"}, keyed); (err == nil) != (code == "") || err != nil && lake.CodeOf(err) != code {
			t.Errorf("%s: %v, want %q", sql, err, code)
		}
	}
	for _, sql := range []string{"insert into t select 1 on conflict do nothing", "insert or replace into t select 1"} {
		if _, err := sqlwrite.NewRead(parse(t, sql), lake.Name{Namespace: "main", Dataset: "t"}, plain); lake.CodeOf(err) != lake.CodeNoPrimaryKey {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := sqlwrite.NewRead(parse(t, "insert into t select 1"), lake.Name{Namespace: "main", Dataset: "t"}, plain); err != nil {
		t.Error(err)
	}
}

// FuzzParse: it never panics; every piece is balanced and closed by itself, and so is
// the Read, in which each piece stands once and in the order of the statement.
func FuzzParse(f *testing.F) {
	for _, sql := range []string{
		"insert into t (id, k, a) values (1, 'x', $1), (2, $$ ) $$, null) on conflict (id, k) do update set a = excluded.a || ?, b = default where t.b < 1 -- x",
		"with u as (select 1) update t as x set a = case when b then 'c' else (select max(d) from u) end from u, (values (1)) v(y) where x.id = u.id;",
		"delete from t using u where t.id = u.id and a is distinct from b /* ) */", "explain insert or ignore into t select * from t where e'\\')' = a",
		"merge into t as x using (select 1 as id, 'k' as k) u on u.id = x.id and case when a then true end when matched and b > 1 then update set (a, id) = (u.k, ?) when matched then delete when not matched then insert (id, k) values (u.id, ?) when not matched by source then error 'x' || x.id returning merge_action, *",
		"merge into t using u using (id) when matched then update when not matched then insert by name", "merge into t using u on a) union (select b when matched then do nothing",
		"delete from t returning *, t.*, a as \"b c\", f(a) d -- x", "update t set a = ? returning (select ?), [a, b] as returning", "insert into t values (1) on conflict do nothing returning a) union (select b",
		"insert into t default values", "update t set a = b$x$ ) union select ( $x$", "delete from t where ((((", "update t set a = {'x': [1, (2)]}", "insert or replace into t from t",
	} {
		f.Add(sql)
	}
	schema := testSchema()
	f.Fuzz(func(t *testing.T, sql string) {
		s, err := sqlwrite.Parse(sql)
		if err != nil {
			if c := lake.CodeOf(err); c == lake.CodeInternal {
				t.Errorf("%q: %v", sql, err)
			}
			return
		}
		if s == nil {
			return
		}
		pieces := []string{s.With, s.Source, s.From, s.Where}
		if s.Merge != nil {
			pieces = append(pieces, s.Merge.Source, s.Merge.On)
			for _, a := range s.Merge.Arms {
				pieces = append(append(pieces, a.And, a.Message), a.Values...)
				for _, set := range a.Set {
					pieces = append(pieces, set.Expr)
				}
			}
		}
		for _, a := range s.Set {
			pieces = append(pieces, a.Expr)
		}
		for _, row := range s.Values {
			pieces = append(pieces, row...)
		}
		if c := s.OnConflict; c != nil {
			pieces = append(pieces, c.Where)
			for _, a := range c.Set {
				pieces = append(pieces, a.Expr)
			}
		}
		for _, o := range s.Returning {
			pieces = append(pieces, o.Expr)
		}
		for _, p := range pieces {
			if !strings.Contains(sql, p) && p != "NULL" && !(s.Merge != nil && strings.Contains(sql, "?")) { // which are numbered
				t.Errorf("%q: the piece %q is not of it", sql, p)
			}
			if why := unbalanced(p + "\n"); why != "" {
				t.Errorf("%q: the piece %q: %s", sql, p, why)
			}
		}
		names := sqlwrite.NamesRead(s).SQL
		if s.NeedsNames() {
			if s, err = s.Named([]string{"id", "a", "k", "b", "d"}, schema); err != nil {
				return
			}
		}
		r, err := sqlwrite.NewRead(s, s.Target, schema)
		if err != nil {
			return
		}
		r.SQL += "\n" + names
		if why := unbalanced(r.SQL); why != "" {
			t.Errorf("%q: %s: %s", sql, r.SQL, why)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}

// unbalanced says what is wrong with the brackets of a text, and whether it has a
// semicolon.
func unbalanced(sql string) string {
	var open []string
	s := sqltext.New(sql)
	for s.Next() {
		switch s.Word {
		case "(":
			open = append(open, ")")
		case "[":
			open = append(open, "]")
		case "{":
			open = append(open, "}")
		case ")", "]", "}":
			if len(open) == 0 || open[len(open)-1] != s.Word {
				return "a " + s.Word + " too many"
			}
			open = open[:len(open)-1]
		case ";":
			return "a semicolon"
		}
	}
	if len(open) > 0 || s.Open {
		return "it does not end"
	}
	return ""
}

package sqlwrite_test

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/sqlwrite"
)

// TestMergePieces: where MERGE is cut, and SET of several columns.
func TestMergePieces(t *testing.T) {
	for sql, want := range map[string]string{
		`update t set (a, "B") = (f(1, 2), default), c = 3 where d`:                                        `update main.t set[a: f(1, 2)][B: NULL][c: 3] where[d]`,
		"update t set (a) = row (1) from u":                                                                `update main.t set[a: 1] from[u]`,
		"merge into t using u on a = b when matched then delete;":                                          `merge main.t source[u] called[u] on[a = b] both then delete`,
		"explain merge into a.t as x using b.u y using (id, k) when not matched by source then do nothing": `explain merge a.t as x source[b.u y] called[y] using[id k] old then `,
		"merge into t x using (select 1 from u join v on c) as s(a, b) on case when a then b end when not matched by target and case when c then d else e end then insert values (case when f then 1 end, default) when matched and g then update set a = case when h then 2 end, b = s.when when matched then error case when 1 then 2 end returning merge_action, x.*": `merge main.t as x source[(select 1 from u join v on c) as s(a, b)] called[s] on[case when a then b end] new and[case when c then d else e end] then insert values[case when f then 1 end|NULL] both and[g] then update set[a: case when h then 2 end][b: s.when] both then error[case when 1 then 2 end] returning[merge_action] returning[*]`,
		"merge into t using u join v using (k) on u.k = t.k when matched and a then update when matched and b then update set * when matched and c then update by name when matched then update by position":                                                                                                                                                             `merge main.t source[u join v using (k)] on[u.k = t.k] both and[a] then update whole[false] both and[b] then update whole[false] both and[c] then update whole[true] both then update whole[false]`,
		"merge into t using range(3) r(i) on i = id when not matched and a then insert when not matched and b then insert * when not matched and c then insert by name when not matched and d then insert default values when not matched then insert (id) values (i)":                                                                                                   `merge main.t source[range(3) r(i)] called[r] on[i = id] new and[a] then insert whole[false] new and[b] then insert whole[false] new and[c] then insert whole[true] new and[d] then insert new then insert columns[id] values[i]`,
		"with w as (select ? as a) merge into t using w on w.a = ? when matched then update set n = ?": `with[with w as (select $1  as a)] merge main.t source[w] called[w] on[w.a = $2] both then update set[n: $3]`,
	} {
		if got := shown(parse(t, sql)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", sql, got, want)
		}
	}
}

// showMerge is what stands behind MERGE INTO target.
func showMerge(b *strings.Builder, m *sqlwrite.Merging, part func(label, piece string), set func([]sqlwrite.Assignment)) {
	part("source", m.Source)
	part("called", m.SourceAlias)
	part("on", m.On)
	part("using", strings.Join(m.Using, " "))
	for _, a := range m.Arms {
		fmt.Fprintf(b, " %s", map[sqlwrite.Match]string{sqlwrite.Matched: "both", sqlwrite.ByTarget: "new", sqlwrite.BySource: "old"}[a.When])
		part("and", a.And)
		fmt.Fprintf(b, " then %s", a.Do)
		if a.Fail {
			fmt.Fprintf(b, "error[%s]", a.Message)
		}
		if a.Whole {
			fmt.Fprintf(b, " whole[%v]", a.ByName)
		}
		set(a.Set)
		part("columns", strings.Join(a.Columns, " "))
		part("values", strings.Join(a.Values, "|"))
	}
}

// TestMergeRefused: what is no MERGE, or reaches out of its place.
func TestMergeRefused(t *testing.T) {
	for sql, code := range map[string]lake.Code{
		"update t set (a, b) = (select 1, 2)":                                            lake.CodeUnsupported,
		"update t set (a, b) = u":                                                        lake.CodeUnsupported,
		"update t set (a, b) = (1, 2, 3)":                                                lake.CodeSQLInvalid,
		"update t set (a, b) = (1, *)":                                                   lake.CodeSQLInvalid,
		"update t set (a, t.b) = (1, 2)":                                                 lake.CodeSQLInvalid,
		"update t set (a, b) = (1, 2) + 1":                                               lake.CodeSQLInvalid,
		"merge":                                                                          lake.CodeSQLInvalid,
		"merge into t":                                                                   lake.CodeSQLInvalid,
		"merge into t using u":                                                           lake.CodeSQLInvalid,
		"merge into t using u on true":                                                   lake.CodeSQLInvalid,
		"merge into t using on true when matched then delete":                            lake.CodeSQLInvalid,
		"merge into t using u, v on true when matched then delete":                       lake.CodeSQLInvalid,
		"merge into t using u where true on true when matched then delete":               lake.CodeSQLInvalid,
		"merge into t using u union select 1 on true when matched then delete":           lake.CodeSQLInvalid,
		"merge into t using u on true, false when matched then delete":                   lake.CodeSQLInvalid,
		"merge into t using u on select 1 when matched then delete":                      lake.CodeSQLInvalid,
		"merge into t using u on true) union (select 1 when matched then delete":         lake.CodeSQLInvalid,
		"merge into t using u using id when matched then delete":                         lake.CodeSQLInvalid,
		"merge into t using u using (id) and true when matched then delete":              lake.CodeSQLInvalid,
		"merge into t using u on true when matched":                                      lake.CodeSQLInvalid,
		"merge into t using u on true when matched then":                                 lake.CodeSQLInvalid,
		"merge into t using u on true when matched then nothing":                         lake.CodeSQLInvalid,
		"merge into t using u on true when matched and then delete":                      lake.CodeSQLInvalid,
		"merge into t using u on true when matched by source then delete":                lake.CodeSQLInvalid,
		"merge into t using u on true when matched then delete from u":                   lake.CodeSQLInvalid,
		"merge into t using u on true when matched then delete when matched then delete": lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then delete":                      lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then update set a = 1":            lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then insert (a)":                  lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then insert values (1), (2)":      lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then insert values (*)":           lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then insert select 1":             lake.CodeSQLInvalid,
		"merge into t using u on true when matched then update set a = 1 where b":        "", // a piece "1 where b", which does not parse in parentheses
		"merge into t using u on true when matched then update set a = unlist([1])":      lake.CodeSQLRefused,
		"merge into t using u on ? = $1 when matched then delete":                        lake.CodeSQLInvalid,
		"merge into t using u on true when matched then delete; select 1":                lake.CodeSQLRefused,
		"merge into _tarn_t using u on true when matched then delete":                    lake.CodeSQLRefused,
		"merge into t using u on _tarn_m._tarn_there when matched then delete":           lake.CodeSQLRefused,
		"merge into a.b.c using u on true when matched then delete":                      lake.CodeSQLRefused,
		"explain analyze merge into t using u on true when matched then delete":          lake.CodeSQLRefused,
		"with t as (select 1) merge into t using u on true when matched then delete":     lake.CodeSQLRefused,
		"merge into t using u on true when matched then delete returning unnest([1])":    lake.CodeSQLRefused,
	} {
		s, err := sqlwrite.Parse(sql)
		if code == "" && (err != nil || s == nil) || code != "" && (err == nil || lake.CodeOf(err) != code) {
			t.Errorf("%s: %v, %v, want %q", sql, s, err, code)
		}
	}
}

// TestMergeReads: what does not fit the schema, before anything is run.
func TestMergeReads(t *testing.T) {
	name := lake.Name{Namespace: "main", Dataset: "t"}
	for sql, code := range map[string]lake.Code{
		"update t set (a, k) = (1, 'k')":                                                  "",
		"merge into t using u on true when matched then update set a = 1":                 "",
		"merge into t using u on true when matched then delete returning t.*, t.a":        "",
		"merge into t using u on true when matched then delete returning t":               lake.CodeUnsupported,
		"merge into t as x using u on true when matched then delete returning hash(x)":    lake.CodeUnsupported,
		"update t set k = 'z' returning t":                                                lake.CodeUnsupported,
		"update t set a = 1 returning t":                                                  "",
		"merge into t using u on true when matched then update set z = 1":                 lake.CodeSQLInvalid,
		"merge into t using u on true when matched then update set a = 1, A = 2":          lake.CodeSQLInvalid,
		"merge into t using u using (z) when matched then delete":                         lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then insert (id, k) values (1, 2)": "",
		"merge into t using u on true when not matched then insert (id) values (1)":       lake.CodeRowsInvalid,
		"merge into t using u on true when not matched then insert values (1)":            lake.CodeSQLInvalid,
		"merge into t using u on true when not matched then insert (id, z) values (1, 2)": lake.CodeSQLInvalid,
	} {
		if _, err := sqlwrite.NewRead(parse(t, sql), name, testSchema()); (err == nil) != (code == "") || err != nil && lake.CodeOf(err) != code {
			t.Errorf("%s: %v, want %q", sql, err, code)
		}
	}
	whole := parse(t, "merge into t using u join v using (k) on true when matched then update")
	if _, err := whole.Named([]string{"id"}, testSchema()); lake.CodeOf(err) != lake.CodeUnsupported || !whole.NeedsNames() {
		t.Errorf("a source of two: %v", err)
	}
}

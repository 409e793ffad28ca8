package sqlwrite

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// TestParseTransaction: what begins and ends one, and what its parts are.
func TestParseTransaction(t *testing.T) {
	for sql, want := range map[string]string{
		"begin; delete from t; commit": "delete t: delete from t",
		"BEGIN TRANSACTION;\n-- a comment; with one\nDELETE FROM t ;; Update a.b set x = ';' ;END;": "delete t: DELETE FROM t|update a.b: Update a.b set x = ';'",
		"start transaction; insert into t values (1); end transaction;":                             "insert t: insert into t values (1)",
		"begin work; with x as (select 1) delete from t using x; commit work":                       "delete t: with x as (select 1) delete from t using x",
		"/* ; */ begin; merge into t using u using (id) when matched then delete; rollback":         "merge t: merge into t using u using (id) when matched then delete ROLLBACK",
		"begin; insert into t values ('commit; rollback'), ($$ ; $$); abort;":                       "insert t: insert into t values ('commit; rollback'), ($$ ; $$) ROLLBACK",
		"begin; insert into \"commit\" values (1); commit":                                          "insert commit: insert into \"commit\" values (1)",
	} {
		tx, err := ParseTransaction(sql)
		if err != nil || tx == nil {
			t.Errorf("%s: %v, %v", sql, tx, err)
			continue
		}
		var parts []string
		for _, p := range tx.Parts {
			parts = append(parts, fmt.Sprintf("%s %s: %s", p.Statement.Verb, p.Statement.Target, p.SQL))
		}
		got := strings.Join(parts, "|")
		if tx.Rollback {
			got += " ROLLBACK"
		}
		if got != want {
			t.Errorf("%s:\n%s, want\n%s", sql, got, want)
		}
	}
	for _, sql := range []string{"", "select 1", "delete from t", "commit", "-- begin\nselect 1", "explain begin", "'begin'", `"begin"`, "beginning"} {
		if tx, err := ParseTransaction(sql); tx != nil || err != nil {
			t.Errorf("%s: %v, %v, and it is none", sql, tx, err)
		}
	}
	for sql, code := range map[string]lake.Code{
		"begin":                                         lake.CodeSQLInvalid,
		"begin; commit":                                 lake.CodeSQLInvalid,
		"begin; rollback":                               lake.CodeSQLInvalid,
		"begin; delete from t":                          lake.CodeSQLInvalid,
		"begin delete from t; commit":                   lake.CodeSQLInvalid,
		"begin; delete from t commit":                   lake.CodeSQLInvalid,
		"begin; delete from t; commit now please":       lake.CodeSQLRefused,
		"begin; delete from t; commit and chain":        lake.CodeSQLRefused,
		"begin; delete from t; commit; commit":          lake.CodeSQLRefused,
		"begin; delete from t; rollback; commit":        lake.CodeSQLRefused,
		"begin; begin; delete from t; commit":           lake.CodeSQLRefused,
		"begin; delete from t; rollback to s; commit":   lake.CodeSQLRefused,
		"begin; release s; commit":                      lake.CodeSQLRefused,
		"begin; select 1; commit":                       lake.CodeSQLRefused,
		"begin; alter table t add c int; commit":        lake.CodeSQLRefused,
		"begin; drop table t; commit":                   lake.CodeSQLRefused,
		"begin; explain delete from t; commit":          lake.CodeSQLRefused,
		"begin; delete from t returning *; commit":      lake.CodeSQLRefused,
		"begin; delete from (t; commit":                 lake.CodeSQLInvalid,
		"begin; delete from t where a = 'x; commit":     lake.CodeSQLInvalid,
		"begin; delete from _tarn_x; commit":            lake.CodeSQLRefused,
		"begin; delete from a.b.c; commit":              lake.CodeSQLRefused,
		"begin; delete from t where (a = 1; 2); commit": lake.CodeSQLInvalid,
	} {
		if tx, err := ParseTransaction(sql); lake.CodeOf(err) != code || err == nil {
			t.Errorf("%s: %v, %v (%s), want %s", sql, tx, err, lake.CodeOf(err), code)
		}
	}
}

// TestTransactionParams: each statement gets the parameters that it uses.
func TestTransactionParams(t *testing.T) {
	for _, c := range []struct{ sql, all, want string }{
		{"begin; delete from t where a = ? or b = ?; delete from u; update u set a = ?; commit", `[1, "x", {"y": 2}]`, `[1,"x"]||[{"y":2}]`},
		{"begin; delete from t where a = '?' -- ?\n or b = ?; commit", `[1]`, `[1]`},
		{"begin; delete from t where a = $2; update u set a = $1 + $2; commit", `[1, 2]`, `{"2":2}|{"1":1,"2":2}`},
		{"begin; delete from t where a = $k; update u set a = $k + $other_1; commit", `{"k":1,"other_1":null}`, `{"k":1}|{"k":1,"other_1":null}`},
		{"begin; delete from t; commit", ``, ``},
		{"begin; delete from t; commit", `[]`, ``},
		{"begin; delete from t where a = $$x?$$ and b = ?; commit", `[1]`, `[1]`},
		{"begin; delete from t where a = ?; commit", `[]`, "error"},
		{"begin; delete from t where a = ?; commit", `[1, 2]`, "error"},
		{"begin; delete from t where a = ?; commit", `{"a":1}`, "error"},
		{"begin; delete from t where a = $a; commit", `{"b":1}`, "error"},
		{"begin; delete from t where a = $a; commit", `{"a":1,"b":1}`, "error"},
		{"begin; delete from t where a = $1; commit", `[1, 2]`, "error"},
		{"begin; delete from t where a = $2; commit", `[1]`, "error"},
		{"begin; delete from t where a = ?; update u set a = $1; commit", `[1]`, "error"},
		{"begin; delete from t where a = ?; commit", `7`, "error"},
	} {
		tx, err := ParseTransaction(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		all, err := tx.Params(json.RawMessage(c.all))
		got := "error"
		if err == nil {
			parts := make([]string, len(all))
			for i, p := range all {
				parts[i] = string(p)
			}
			got = strings.Join(parts, "|")
		} else if code := lake.CodeOf(err); code != lake.CodeInvalidRequest && code != lake.CodeSQLInvalid {
			t.Errorf("%s with %s: %v (%s)", c.sql, c.all, err, code)
		}
		if got != c.want {
			t.Errorf("%s with %s: %s (%v), want %s", c.sql, c.all, got, err, c.want)
		}
	}
}

// FuzzParseTransaction: a text never panics, and the statements of what parses are parts
// of it in their order, each of which parses alone.
func FuzzParseTransaction(f *testing.F) {
	f.Add("begin; delete from t where a = $x; insert into u values (?, ';'); commit;")
	f.Add("start transaction; merge into t using u using (id) when matched then delete; rollback")
	f.Fuzz(func(t *testing.T, sql string) {
		tx, err := ParseTransaction(sql)
		if err != nil || tx == nil {
			return
		}
		rest := sql
		for _, p := range tx.Parts {
			_, after, ok := strings.Cut(rest, p.SQL)
			if !ok {
				t.Fatalf("%q is no part of %q", p.SQL, sql)
			}
			rest = after
			if s, err := Parse(p.SQL); err != nil || s == nil || s.Verb != p.Statement.Verb {
				t.Fatalf("%q alone: %v, %v", p.SQL, s, err)
			}
		}
		_, _ = tx.Params(json.RawMessage(`{"x":1}`))
	})
}

package cli_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestSQLEngine: --engine reaches the lake, also of statements and of answers into files.
func TestSQLEngine(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	ok(t, "create", "t", "--column", "a BIGINT", "--primary-key", "a", "--data", lake)
	if said := refused(t, "unsupported", "sql", "select * from t", "--engine", "spark", "--data", lake); !strings.Contains(said, "spark_url") {
		t.Error(said)
	}
	refused(t, "unsupported", "sql", "select * from t", "--engine", "auto", "--data", lake)
	refused(t, "unsupported", "sql", "select * from t", "--engine", "trino", "--to", filepath.Join(t.TempDir(), "a.csv"), "--data", lake)
	refused(t, "unsupported", "sql", "copy t to '"+filepath.Join(t.TempDir(), "b.csv")+"'", "--engine", "spark", "--data", lake)
	refused(t, "sql_refused", "sql", "delete from t", "--engine", "spark", "--data", lake)
	refused(t, "sql_refused", "sql", "begin; insert into t values (1); commit", "--engine", "spark", "--data", lake)
	refused(t, "sql_refused", "sql", "create table u (a BIGINT)", "--engine", "spark", "--data", lake)
	for _, sql := range []string{"alter table t rename to u", "copy t from 'x.csv'"} {
		if out := run(t, nil, "sql", sql, "--engine", "spark", "--data", lake); out.code != 2 || !strings.Contains(out.stderr, "--engine") {
			t.Errorf("%s: %d %s", sql, out.code, out.stderr)
		}
	}
	ok(t, "sql", "select * from t", "--engine", "tarn", "--data", lake)
}

//go:build duckdb_arrow

package duck

import (
	"testing"

	"tarn/internal/keyread"
	"tarn/internal/lake"
)

// FuzzKeyRead holds what is recognised against DuckDB's own parser: it is one SELECT,
// of the dataset that was read from it and of no other.
func FuzzKeyRead(f *testing.F) {
	for _, sql := range []string{
		"select * from t where k = 7", `select * from a."b" where k = 'x'`, "select * from t where k = $1;", "SELECT * FROM t WHERE k = -1 -- x",
	} {
		f.Add(sql)
	}
	_, c := open(f)
	g := NewGate(c)
	f.Fuzz(func(t *testing.T, sql string) {
		p, ok := keyread.Parse(sql)
		if !ok {
			return
		}
		want := p.Name()
		checked, err := g.Check(t.Context(), sql, GateEnv{Dataset: func(namespace, name string) (lake.Name, bool) {
			return want, lake.Name{Namespace: namespace, Dataset: name} == want
		}})
		if err != nil || checked.Kind != Select || len(checked.Datasets) != 1 || checked.Volatile {
			t.Fatalf("%q: recognised as %+v, and the gate says %+v, %v", sql, p, checked, err)
		}
	})
}

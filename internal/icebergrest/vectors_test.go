package icebergrest_test

import (
	"testing"

	"tarn/internal/engine"
)

// vectors: Trino reads tables with deletion vectors, and writes them.
func (a *away) vectors(s trinoSession) {
	a.t.Helper()
	a.createAs(3, "vectors", []string{"id"}, "id BIGINT", "v VARCHAR")
	a.change("vectors", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`, `{"id":3,"v":"c"}`, `{"id":4,"v":"d"}`)
	const all = "SELECT id, v FROM vectors ORDER BY id"
	s.run(all, "1 a", "2 b", "3 c", "4 d")
	for _, c := range []struct {
		text string
		want []string // as tarn answers
		rows []string // as Trino does
	}{
		{"DELETE FROM vectors WHERE id = 2", []string{`[1,"a"]`, `[3,"c"]`, `[4,"d"]`}, []string{"1 a", "3 c", "4 d"}},
		{"UPDATE vectors SET v = 'C' WHERE id = 3", []string{`[1,"a"]`, `[3,"C"]`, `[4,"d"]`}, []string{"1 a", "3 C", "4 d"}},
		{"MERGE INTO vectors t USING (VALUES (4, 'x'), (5, 'new')) s(id, v) ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v)",
			[]string{`[1,"a"]`, `[3,"C"]`, `[5,"new"]`}, []string{"1 a", "3 C", "5 new"}},
	} {
		s.run(c.text)
		a.want(all, c.want...)
		s.run(all, c.rows...)
		a.described("vectors", int64(len(c.want)))
	}
	a.change("vectors", engine.OpUpsert, `{"id":1,"v":"mine"}`)
	s.run(all, "1 mine", "3 C", "5 new")
	a.compact("vectors")
	s.run(all, "1 mine", "3 C", "5 new")
}

// TestUpgradeToVectors: a program gives a table the next format version by itself; what was
// marked dead stays so, and no table goes back.
func TestUpgradeToVectors(t *testing.T) {
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare, s.TargetFileBytes = 0.9, 1 })
	l.change("d", engine.OpDelete, `{"id":1}`)
	l.compact("d")
	upgrade := func(version string) string {
		return `{"requirements":[],"updates":[{"action":"upgrade-format-version","format-version":` + version + `}]}`
	}
	l.expect("POST", "/namespaces/main/tables/d", "", upgrade("3"), 200, "")
	if d := l.described("d", 2); d.FormatVersion != 3 {
		t.Fatalf("%+v", d)
	}
	l.want(allOfD, `[2,"b"]`, `[3,"c"]`)
	l.change("d", engine.OpUpsert, `{"id":3,"v":"C"}`, `{"id":4,"v":"d"}`)
	l.compact("d")
	l.want(allOfD, `[2,"b"]`, `[3,"C"]`, `[4,"d"]`)
	l.described("d", 3)
	for _, version := range []string{"2", "4"} {
		l.expect("POST", "/namespaces/main/tables/d", "", upgrade(version), 406, "")
	}
	l.expect("POST", "/namespaces/main/tables/d", "", upgrade("3"), 200, "")
	l.change("d", engine.OpDelete, `{"id":2}`)
	l.compact("d")
	l.want(allOfD, `[3,"C"]`, `[4,"d"]`)
	l.whole()
}

// TestDuckDBAfterAnUpgrade: DuckDB, which takes no ids for the rows of before, is the first
// to commit to a table that was upgraded.
func TestDuckDBAfterAnUpgrade(t *testing.T) {
	p := newPython(t, "duckdb, duckdb_extension_iceberg, duckdb_extension_avro, duckdb_extension_httpfs").of(t)
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare, s.TargetFileBytes = 0.9, 1 })
	l.change("d", engine.OpDelete, `{"id":1}`)
	l.compact("d")
	l.expect("POST", "/namespaces/main/tables/d", "", `{"requirements":[],"updates":[{"action":"upgrade-format-version","format-version":3}]}`, 200, "")
	p.run("con = duckdb_attached(%q)", l.uri)
	p.run(`con.execute("BEGIN"); con.execute("INSERT INTO lake.main.d VALUES (10, 'ten')"); con.execute("DELETE FROM lake.main.d WHERE id = 2"); con.execute("COMMIT")`)
	l.want(allOfD, `[3,"c"]`, `[10,"ten"]`)
	l.change("d", engine.OpDelete, `{"id":10}`)
	l.compact("d")
	l.want(allOfD, `[3,"c"]`)
	l.whole()
}

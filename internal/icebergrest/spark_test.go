package icebergrest_test

import (
	"strings"
	"testing"

	"tarn/internal/engine"
)

// sparkWrites: Spark with Iceberg's runtime reads what tarn answers, and inserts, merges,
// updates, deletes, makes and drops tables.
func sparkWrites(t *testing.T, p *python, version int) {
	l := filled(t, func(s *engine.Settings) { s.CompactDeadShare, s.IcebergFormatVersion = 0.9, version })
	p.run(`session = spark.newSession() # which keeps its own catalogs
spark_attach(session, "lake", %q)
def q(sql): return [list(r) for r in session.sql(sql).collect()]`, l.uri)
	same := func(when string) {
		t.Helper()
		p.run("q('REFRESH TABLE lake.main.d')")
		got := strings.ReplaceAll(string(p.run(`out = q("SELECT * FROM lake.main.d ORDER BY id")`)), ", ", ",")
		if want := "[" + strings.Join(l.rows("select * from d order by id"), ",") + "]"; got != want {
			t.Fatalf("%s:\n got %s\nwant %s", when, got, want)
		}
	}
	p.want(`[["main"]]`, `out = q("SHOW NAMESPACES IN lake")`)
	same("fresh")
	l.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":4,"v":null}`)
	l.change("d", engine.OpDelete, `{"id":1}`)
	same("changed, with position deletes")
	p.run(`q("INSERT INTO lake.main.d VALUES (10, 'ten'), (11, 'eleven')")`)
	same("inserted into")
	l.want(allOfD, `[2,"B"]`, `[3,"c"]`, `[4,null]`, `[10,"ten"]`, `[11,"eleven"]`)
	p.run(`q("UPDATE lake.main.d SET v = 'TEN' WHERE id = 10")`)
	same("updated")
	p.run(`q("DELETE FROM lake.main.d WHERE id = 3")`)
	same("deleted from")
	p.run(`q("MERGE INTO lake.main.d t USING (SELECT 11L AS id, 'merged' AS v UNION ALL SELECT 12L, 'new') s ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")`)
	same("merged into")
	l.want(allOfD, `[2,"B"]`, `[4,null]`, `[10,"TEN"]`, `[11,"merged"]`, `[12,"new"]`)
	l.change("d", engine.OpUpsert, `{"id":12,"v":"mine"}`)
	l.compact("d")
	same("changed and folded")
	for _, c := range []struct{ sql, reason string }{
		{"INSERT INTO lake.main.d VALUES (2, 'double')", "in the table already"},
		{"ALTER TABLE lake.main.d ADD COLUMN w STRING COMMENT 'says'", "comments"},
		{"ALTER TABLE lake.main.d ADD COLUMN w STRING FIRST", "another order"},
		{"ALTER TABLE lake.main.d DROP COLUMN id", "identifier field"},
		{"ALTER TABLE lake.main.d SET TBLPROPERTIES ('write.data.path' = 'file:///tmp')", "write.data.path"},
		{"ALTER TABLE lake.main.d CREATE TAG t", "the ref"},
		{"ALTER TABLE lake.main.d DROP IDENTIFIER FIELDS id", "identifier fields"},
		{"ALTER TABLE lake.main.d ADD PARTITION FIELD v", "partition"},
		{"ALTER TABLE lake.main.d WRITE ORDERED BY v", "sort"},
		{"CREATE TABLE lake.main.parted (a BIGINT, b STRING) PARTITIONED BY (b)", "partition"},
	} {
		if _, err := p.try("q(%q)", c.sql); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
	p.want(`[[5]]`, `out = q("SELECT count(*) FROM lake.main.d")`)
	if snapshots := string(p.run(`out = q("SELECT count(*) > 1 FROM lake.main.d.snapshots")`)); snapshots != "[[true]]" {
		t.Errorf("snapshots: %s", snapshots)
	}
	p.run(`q("CREATE TABLE lake.fresh.made AS SELECT id AS a, 'x' || id AS b, current_timestamp() AS at FROM range(1000)")`)
	l.want("select count(*), sum(a), max(b) from fresh.made", `[1000,"499500","x999"]`)
	p.run(`q("CREATE TABLE lake.fresh.empty (a BIGINT NOT NULL, b STRING)")`)
	p.run(`q("INSERT INTO lake.fresh.empty VALUES (1, 'x')")`)
	l.want("select * from fresh.empty", `[1,"x"]`)
	p.run(`q("ALTER TABLE lake.fresh.made RENAME TO fresh.renamed")`)
	p.want(`["empty", "renamed"]`, `out = sorted(r[1] for r in q("SHOW TABLES IN lake.fresh"))`)
	p.run(`q("INSERT OVERWRITE lake.fresh.empty VALUES (2, 'y')")`)
	l.want("select * from fresh.empty", `[2,"y"]`)
	p.run(`q("DROP TABLE lake.fresh.renamed")`)
	// Merge-on-read: rows are marked dead where they are, and again in the same files,
	// where Spark writes a delete file anew with the positions of the one before.
	p.run(`q("ALTER TABLE lake.main.d SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read', 'write.update.mode' = 'merge-on-read', 'write.merge.mode' = 'merge-on-read')")`)
	for _, step := range []struct {
		sql  string
		want []string
	}{
		{"DELETE FROM lake.main.d WHERE id = 4", []string{`[2,"B"]`, `[10,"TEN"]`, `[11,"merged"]`, `[12,"mine"]`}},
		{"UPDATE lake.main.d SET v = 'two' WHERE id = 2", []string{`[2,"two"]`, `[10,"TEN"]`, `[11,"merged"]`, `[12,"mine"]`}},
		{"MERGE INTO lake.main.d t USING (SELECT 10L AS id, 'x' AS v UNION ALL SELECT 13L, 'new') s ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT *",
			[]string{`[2,"two"]`, `[11,"merged"]`, `[12,"mine"]`, `[13,"new"]`}},
	} {
		p.run("q(%q)", step.sql)
		l.want(allOfD, step.want...)
		same(step.sql)
		l.described("d", int64(len(step.want)))
		p.want(`[[true]]`, `out = q("SELECT count(*) > 0 FROM lake.main.d.delete_files")`)
	}
	p.run(`q("ALTER TABLE lake.main.d ADD COLUMN w INT")`)
	p.run(`q("ALTER TABLE lake.main.d RENAME COLUMN v TO name")`)
	p.run(`q("INSERT INTO lake.main.d VALUES (20, 'twenty', 7)")`)
	p.run(`q("ALTER TABLE lake.main.d ALTER COLUMN w TYPE BIGINT")`)
	p.run(`q("DELETE FROM lake.main.d WHERE id = 12")`)
	want := []string{`[2,"two",null]`, `[11,"merged",null]`, `[13,"new",null]`, `[20,"twenty",7]`}
	l.want("select id, name, w from d order by id", want...)
	l.change("d", engine.OpUpsert, `{"id":13,"name":"NEW","w":5000000000}`)
	l.compact("d")
	l.want("select id, name, w from d order by id", `[2,"two",null]`, `[11,"merged",null]`, `[13,"NEW",5000000000]`, `[20,"twenty",7]`)
	p.run(`q("REFRESH TABLE lake.main.d")`)
	p.want(`[[2, "two", null], [11, "merged", null], [13, "NEW", 5000000000], [20, "twenty", 7]]`, `out = q("SELECT id, name, w FROM lake.main.d ORDER BY id")`)
	p.run(`q("ALTER TABLE lake.main.d DROP COLUMN w")`)
	l.want("select * from d where id = 20", `[20,"twenty"]`)
	p.run(`q("CREATE TABLE lake.fresh.third (a BIGINT) TBLPROPERTIES ('format-version' = '3')")`)
	p.run(`q("INSERT INTO lake.fresh.third VALUES (1)")`)
	p.run(`q("ALTER TABLE lake.main.d SET TBLPROPERTIES ('format-version' = '3')")`)
	p.run(`q("DELETE FROM lake.main.d WHERE id = 2")`)
	same("raised to format version 3")
	for dataset, rows := range map[string]int64{"fresh.third": 1, "d": 3} {
		if d := l.described(dataset, rows); d.FormatVersion != 3 {
			t.Errorf("%+v", d)
		}
	}
	l.whole()
}

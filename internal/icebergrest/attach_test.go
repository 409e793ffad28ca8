package icebergrest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/foreign"
)

// attachingLab is a lab that may attach tables from some places.
func attachingLab(t *testing.T, catalogs []foreign.Catalog, roots ...string) *lab {
	t.Helper()
	places, err := foreign.Open(roots, catalogs, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { places.Close() })
	o := engine.Options{Data: t.TempDir(), Foreign: places}
	o.Settings.AttachInterval = time.Hour
	return openLabOf(t, o, "")
}

func (l *lab) attached(j *engine.Job, err error) engine.AttachResult {
	l.t.Helper()
	r, err := attachResult(j, err)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func attachResult(j *engine.Job, err error) (engine.AttachResult, error) {
	if err != nil {
		return engine.AttachResult{}, err
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		return engine.AttachResult{}, err
	}
	return r.(engine.AttachResult), nil
}

// TestAttachCatalog: a table of another server's catalog is attached, and its commits are
// followed, those of a third program too.
func TestAttachCatalog(t *testing.T) {
	owner := filled(t)
	o := attachingLab(t, []foreign.Catalog{{Name: "prod", URI: owner.uri}}, owner.dir)
	r := o.attached(o.Attach(t.Context(), engine.AttachRequest{Dataset: o.name("a"), Source: foreign.Source{Catalog: "prod", Table: "main.d"}}))
	if r.Attached.Source != "catalog:prod/main.d" {
		t.Errorf("attached as %+v", r.Attached)
	}
	o.want("select id, v from a order by id", owner.rows(allOfD)...)
	o.change("a", engine.OpUpsert, `{"id":2,"v":"mine"}`)
	o.compact("a")
	owner.change("d", engine.OpUpsert, `{"id":1,"v":"theirs"}`, `{"id":2,"v":"theirs"}`, `{"id":9,"v":"theirs"}`)
	// The catalog folds as it is asked, so that what was acknowledged there is taken.
	o.attached(o.Sync(t.Context(), o.name("a")))
	o.want("select id, v from a order by id", `[1,"theirs"]`, `[2,"mine"]`, `[3,"c"]`, `[9,"theirs"]`)
	o.whole()
}

// TestRegister: a table that was written elsewhere is registered, by its metadata file, and is
// tarn's own then, of the format version that it had.
func TestRegister(t *testing.T) {
	for _, version := range []int{2, 3} {
		owner := filled(t, func(s *engine.Settings) { s.CompactDeadShare, s.IcebergFormatVersion = 0.9, version })
		owner.change("d", engine.OpDelete, `{"id":1}`)
		owner.compact("d")
		o := attachingLab(t, nil, owner.dir)
		d, err := owner.IcebergLoad(t.Context(), engine.IcebergLoadRequest{Dataset: owner.name("d")})
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"name":"r","metadata-location":%q}`, d.MetadataLocation)
		a := o.expect("POST", "/namespaces/main/register", "", body, 200, "")
		if a.body["metadata-location"] == "" || a.body["metadata-location"] == d.MetadataLocation {
			t.Errorf("registered as %v", a.body["metadata-location"])
		}
		o.expect("POST", "/namespaces/main/register", "", body, 409, "AlreadyExistsException")
		o.expect("POST", "/namespaces/main/register", "", strings.Replace(body, `"r",`, `"s","overwrite":true,`, 1), 406, "UnsupportedOperationException")
		o.expect("POST", "/namespaces/main/register", "", `{"name":"s","metadata-location":"/etc/passwd"}`, 406, "UnsupportedOperationException")
		o.want("select id, v from r order by id", owner.rows(allOfD)...)
		if d := o.described("r", 2); d.Attached != nil || d.FormatVersion != version {
			t.Errorf("registered as %+v", d)
		}
		o.execute("UPDATE r SET v = 'mine' WHERE id = 2")
		o.compact("r")
		o.want("select id, v from r order by id", `[2,"mine"]`, `[3,"c"]`)
		o.whole()
	}
}

// TestAttachSpark: tables that Spark writes with a catalog in a folder, in both format
// versions, partitioned, with merge-on-read: attached, changed, and followed over what Spark
// does to them, its maintenance included. Spark reads the dataset as tarn does.
func TestAttachSpark(t *testing.T) {
	p := newPython(t, "pyspark")
	if !startSpark(p) {
		t.Skip("there is no Spark")
	}
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) { attachSpark(t, p.of(t), version) })
	}
	t.Run("keys of texts with bounds that are cut", func(t *testing.T) { attachLongKeys(t, p.of(t)) })
}

// attachLongKeys: Iceberg cuts the bounds of texts to 16 characters, so that every file may
// have every key.
func attachLongKeys(t *testing.T, p *python) {
	warehouse := t.TempDir()
	p.run(`session = spark.newSession()
session.conf.set("spark.sql.catalog.long", "org.apache.iceberg.spark.SparkCatalog")
session.conf.set("spark.sql.catalog.long.type", "hadoop")
session.conf.set("spark.sql.catalog.long.warehouse", %q)
def q(sql): return [list(r) for r in session.sql(sql).collect()]
q("CREATE TABLE long.db.t (k STRING NOT NULL, part INT NOT NULL, v BIGINT)")
for i in range(3): q("INSERT INTO long.db.t SELECT 'a customer with a long name ' || id, %%d, id FROM range(50)" %% i)`, "file://"+warehouse)
	l := attachingLab(t, nil, warehouse)
	l.attached(l.Attach(t.Context(), engine.AttachRequest{
		Dataset: l.name("a"), Source: foreign.Source{Location: filepath.Join(warehouse, "db", "t")}, PrimaryKey: []string{"part", "k"},
	}))
	l.execute("UPDATE a SET v = -v WHERE v % 5 = 1 AND part < 2")
	l.execute("DELETE FROM a WHERE v = 7")
	l.execute("INSERT INTO a VALUES ('a customer with a long name 7', 1, 700), ('another', 9, 1)")
	want := l.rows("select * from a order by all")
	l.compact("a")
	l.want("select * from a order by all", want...)
	p.run(`q("INSERT INTO long.db.t VALUES ('a customer with a long name 7', 2, 7000), ('theirs', 0, 1)")
q("UPDATE long.db.t SET v = v + 1000 WHERE k = 'a customer with a long name 6' AND part = 0")`)
	if _, err := attachResult(l.Sync(t.Context(), l.name("a"))); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("a key that is there twice: %v", err)
	}
	l.want("select * from a order by all", want...)
	p.run(`q("DELETE FROM long.db.t WHERE v = 7")`)
	l.attached(l.Sync(t.Context(), l.name("a")))
	l.compact("a")
	l.want("select v from a where k = 'a customer with a long name 7' order by part", "[700]")
	l.want("select v from a where k = 'a customer with a long name 6' order by part", "[-6]", "[-6]", "[6]")
	l.want("select count(*) from a", fmt.Sprintf("[%d]", len(want)+1))
	l.whole()
}

func attachSpark(t *testing.T, p *python, version int) {
	warehouse := t.TempDir()
	catalog := fmt.Sprintf("own%d", version)
	table := catalog + ".db.t"
	p.run(`session = spark.newSession()
session.conf.set("spark.sql.catalog.%[1]s", "org.apache.iceberg.spark.SparkCatalog")
session.conf.set("spark.sql.catalog.%[1]s.type", "hadoop")
session.conf.set("spark.sql.catalog.%[1]s.warehouse", %[2]q)
def q(sql): return [list(r) for r in session.sql(sql).collect()]`, catalog, "file://"+warehouse)
	p.run(`q(%q)`, "CREATE TABLE "+table+" (id BIGINT NOT NULL, v STRING, day DATE, parts ARRAY<STRUCT<a: INT, b: STRING>>) USING iceberg PARTITIONED BY (bucket(3, id), day) "+
		fmt.Sprintf("TBLPROPERTIES ('format-version' = '%d', 'write.delete.mode' = 'merge-on-read', 'write.update.mode' = 'merge-on-read', 'write.merge.mode' = 'merge-on-read')", version))
	p.run(`q(%q)`, "INSERT INTO "+table+" SELECT id, 'v' || id, date_add(DATE'2026-01-01', CAST(id % 3 AS INT)), array(named_struct('a', CAST(id AS INT), 'b', 'x')) FROM range(300)")
	p.run(`q(%q)`, "DELETE FROM "+table+" WHERE id % 10 = 3")
	l := attachingLab(t, nil, warehouse)
	r := l.attached(l.Attach(t.Context(), engine.AttachRequest{
		Dataset: l.name("a"), Source: foreign.Source{Location: filepath.Join(warehouse, "db", "t")}, PrimaryKey: []string{"id"},
	}))
	if r.Rows != 270 || r.FilesLinked+r.FilesCopied != r.Files || r.Files < 9 {
		t.Errorf("attach says %+v", r)
	}
	mine, columns := map[int64]string{}, "id, v, CAST(day AS VARCHAR)"
	check := func(when string) {
		t.Helper()
		var theirs [][]json.RawMessage
		text := p.run(`q(%q); out = q(%q)`, "REFRESH TABLE "+table, "SELECT "+strings.ReplaceAll(columns, "VARCHAR", "STRING")+" FROM "+table)
		if err := json.Unmarshal(text, &theirs); err != nil {
			t.Fatal(err)
		}
		all := map[int64]string{}
		for _, row := range theirs {
			var id int64
			parts := make([]string, len(row))
			for i, cell := range row {
				parts[i] = string(cell)
			}
			if err := json.Unmarshal(row[0], &id); err != nil {
				t.Fatal(err)
			}
			all[id] = "[" + strings.Join(parts, ",") + "]"
		}
		maps.Copy(all, mine)
		var want []string
		for _, id := range slices.Sorted(maps.Keys(all)) {
			if all[id] != "" {
				want = append(want, all[id])
			}
		}
		if got := l.rows("select " + columns + " from a order by id"); !slices.Equal(got, want) {
			t.Fatalf("%s: %d rows where %d are due\n got %.2000v\nwant %.2000v", when, len(got), len(want), got, want)
		}
	}
	check("attached")
	l.change("a", engine.OpUpsert, `{"id":5,"v":"mine","day":"2026-02-01","parts":[]}`, `{"id":1000,"v":"new","day":"2026-02-01","parts":null}`)
	l.change("a", engine.OpDelete, `{"id":7}`)
	mine[5], mine[1000], mine[7] = `[5,"mine","2026-02-01"]`, `[1000,"new","2026-02-01"]`, ""
	check("changed")
	l.compact("a")
	check("compacted")
	p.run(`spark_attach(session, "tarn%d", %q)`, version, l.uri)
	inSpark := func() {
		t.Helper()
		got := string(p.run(`q("REFRESH TABLE tarn%[1]d.main.a"); out = q("SELECT count(*), sum(id), count(DISTINCT day) FROM tarn%[1]d.main.a")`, version))
		if want := "[" + l.rows("select count(*), sum(id)::BIGINT, count(distinct day) from a")[0] + "]"; strings.ReplaceAll(got, ", ", ",") != want {
			t.Errorf("Spark reads %s, and tarn %s", got, want)
		}
	}
	inSpark()
	for _, sql := range []string{
		"UPDATE %s SET v = 'theirs' WHERE id % 20 = 5",
		"MERGE INTO %s t USING (SELECT id, 'merged' AS v FROM range(0, 400, 7)) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v, day) VALUES (s.id, s.v, DATE'2026-01-09')",
		"ALTER TABLE %s ADD COLUMN n INT",
		"INSERT INTO %s VALUES (2000, 'more', DATE'2026-01-02', NULL, 7)",
		"ALTER TABLE %s RENAME COLUMN v TO w",
		"DELETE FROM %s WHERE id BETWEEN 100 AND 120",
		"CALL %c.system.rewrite_data_files(table => 'db.t', options => map('min-input-files', '1', 'delete-file-threshold', '1'))",
		"CALL %c.system.rewrite_manifests('db.t')",
		"CALL %c.system.expire_snapshots(table => 'db.t', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)",
		"DELETE FROM %s WHERE id = 2000",
	} {
		sql = strings.ReplaceAll(strings.ReplaceAll(sql, "%s", table), "%c", catalog)
		p.run(`q(%q)`, sql)
		if strings.Contains(sql, "RENAME") {
			columns = strings.ReplaceAll(columns, "v,", "w,")
		}
		l.attached(l.Sync(t.Context(), l.name("a")))
		check(sql)
		l.want("select count(*) from a where id in (5, 7)", "[1]")
		if strings.Contains(sql, "rewrite_data_files") || strings.Contains(sql, "2000") {
			l.compact("a")
			check(sql + ", and compacted")
			inSpark()
		}
	}
	l.want("select w, n from a where id = 5", `["mine",null]`)
	l.whole()
	newest := string(p.run(`out = q("SELECT file FROM %s.metadata_log_entries ORDER BY timestamp DESC LIMIT 1")`, table))
	newest = strings.Trim(newest, `[]"`)
	p.run(`q("CALL tarn%d.system.register_table(table => 'main.registered', metadata_file => '%s')")`, version, newest)
	p.want(string(p.run(`out = q("SELECT count(*), sum(id) FROM %s")`, table)), `out = q("SELECT count(*), sum(id) FROM tarn%d.main.registered")`, version)
	p.run(`q("DELETE FROM tarn%d.main.registered WHERE id < 100")`, version)
	l.want("select min(id) >= 100 from registered", "[true]")
	if _, err := l.Detach(t.Context(), l.name("a")); err != nil {
		t.Fatal(err)
	}
	l.execute("UPDATE a SET n = 1 WHERE id < 50")
	l.compact("a")
	l.want("select sum(n) from a", l.rows("select cast(count(*) as varchar) from a where id < 50")...)
	l.whole()
}

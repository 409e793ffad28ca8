package icebergrest_test

import (
	"fmt"
	"slices"
	"testing"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/store/s3test"
)

// enginesAtABucket: engines with a token for the catalog and keys of their own for the
// files read and write a lake that is in an S3 server. Not all are asked all: how a file
// is read is the same as on a disk, where they are.
func enginesAtABucket(t *testing.T, p *python, files string, spark bool, trino trinoAttach) {
	server := s3test.Start(t)
	bucket := server.NewBucket(t)
	o := engine.Options{
		Data: "s3://" + bucket + "/team/lake", State: t.TempDir(), Bucket: engine.Bucket{Endpoint: server.URL, PathStyle: true},
		Settings: engine.Settings{CompactDeadShare: 0.3, DiskCacheBytes: 1 << 30},
	}
	token := access.NewToken()
	l := &flightsLab{
		lab:     openLabOf(t, o, fmt.Sprintf("tokens:\n- id: engines\n  sha256: %x\n  role: write\n", access.HashOf(token))),
		queries: realQueries(t), files: files,
	}
	l.how = fmt.Sprintf(`%q, token=%q, s3={"url": %q, "key": %q, "secret": %q, "region": %q, "bucket": %q}`,
		l.uri, token, server.URL, s3test.AccessKey, s3test.SecretKey, s3test.Region, bucket)
	l.fill()
	l.begin(p)
	if spark {
		p.run(`spark_attach(spark, "bucket", %s)`, l.how)
	}
	if trino != nil {
		trino(p, "bucket", l.how)
	}
	clickHouse := chdbSession(t)
	if clickHouse != nil {
		l.begin(clickHouse)
	}
	check := func(when string, short bool) {
		t.Helper()
		answers := l.answers()
		for _, r := range l.readers(spark, trino != nil) {
			if r.only == nil && (short || slices.Contains([]string{"Spark", "Trino"}, r.name)) {
				r.only = contents
			}
			l.compare(p, when, answers, r)
		}
		if clickHouse != nil {
			l.compare(clickHouse, when, answers, l.clickHouse())
		}
	}
	l.changeRows()
	check("changed", false)
	l.marked(p)
	l.compactAll(p)
	check("compacted", true)
	l.evolve()
	check("altered", false)
	l.marked(p)
	p.run(`con = duckdb_attached(%s)
con.execute("INSERT INTO lake.main.airlines VALUES ('D1', 'by DuckDB')")
import pyarrow
t = pyiceberg(%s).load_table("main.airlines")
t.append(pyarrow.Table.from_pylist([{"carrier": "P1", "name": "by PyIceberg"}], schema=t.schema().as_arrow()))`, l.how, l.how)
	l.want("SELECT * FROM airlines WHERE name LIKE 'by %' ORDER BY 1", `["D1","by DuckDB"]`, `["P1","by PyIceberg"]`)
	also := ""
	if spark {
		p.run(`spark.sql("REFRESH TABLE airlines"); spark.sql("UPDATE airlines SET name = concat(name, ' and Spark') WHERE name LIKE 'by %%'")`)
		also += " and Spark"
	}
	if trino != nil {
		p.run(`trino.ask("UPDATE airlines SET name = concat(name, ' and Trino') WHERE name LIKE 'by %%'")`)
		also += " and Trino"
	}
	l.want("SELECT * FROM airlines WHERE name LIKE 'by %' ORDER BY 1", `["D1","by DuckDB`+also+`"]`, `["P1","by PyIceberg`+also+`"]`)
	check("written", true)
	l.whole()
}

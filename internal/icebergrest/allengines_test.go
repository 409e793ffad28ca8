package icebergrest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestEngines: other engines at a lake on a disk and at one in a bucket. Its parts share
// one Python session and, where they are installed, one Spark and one Trino, which take ten
// seconds to start.
func TestEngines(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: two minutes")
	}
	p := newPython(t, "duckdb, pyarrow, pyiceberg, polars, pandas, duckdb_extension_iceberg, duckdb_extension_avro, duckdb_extension_httpfs")
	trino := startTrino(t)
	spark := startSpark(p)
	if spark {
		defer p.run("spark.stop()")
	}
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("Spark writes version %d", version), func(t *testing.T) {
			if !spark {
				t.Skip("there is no Spark: scripts/get-engines DIR spark")
			}
			sparkWrites(t, p.of(t), version)
		})
	}
	files := ""
	if dir := os.Getenv("TARN_REAL_DATA"); dir != "" {
		files = t.TempDir()
		p.run("from realfiles import reduced; reduced(%q, %q)", dir, files)
	}
	t.Run("real queries", func(t *testing.T) {
		needFiles(t, files)
		realQueriesByAll(t, p.of(t), files, spark, trino)
	})
	t.Run("bucket", func(t *testing.T) {
		needFiles(t, files)
		enginesAtABucket(t, p.of(t), files, spark, trino)
	})
}

func needFiles(t *testing.T, files string) {
	t.Helper()
	if files == "" {
		t.Skip("TARN_REAL_DATA is not set: scripts/get-real-data DIR gets the files")
	}
}

// startSpark starts Spark in a session, where it is installed.
func startSpark(p *python) bool {
	p.t.Helper()
	jars, err := filepath.Glob(filepath.Join(os.Getenv("TARN_ENGINES"), "jars", "iceberg-*.jar"))
	if err != nil || len(jars) != 2 {
		p.t.Logf("without Spark: %d jars of Iceberg in TARN_ENGINES, %v; scripts/get-engines DIR spark gets two", len(jars), err)
		return false
	}
	p.run("spark = spark_started(%s)", pythonList(jars))
	return true
}

// trinoAttach makes, in a Python session, trino: a session of Trino with a catalog of a name
// that it has not yet, attached with the arguments how.
type trinoAttach func(p *python, catalog, how string)

// startTrino starts Trino, where it is installed; nil: it is not.
func startTrino(t testing.TB) trinoAttach {
	t.Helper()
	home := trinoHome(t)
	if home == "" {
		return nil
	}
	port := freePort(t)
	wait := starting(t, trinoServer(t, home, port, nil), "SERVER STARTED")
	return func(p *python, catalog, how string) {
		p.t.Helper()
		wait(p.t)
		p.run("trino = trino_attached(%q, 'http://127.0.0.1:%d', %s)", catalog, port, how)
	}
}

// chdbSession is a session of its own for chdb, where it is installed; nil: it is not.
func chdbSession(t testing.TB) *python {
	t.Helper()
	if found, err := filepath.Glob(filepath.Join(os.Getenv("TARN_ENGINES"), "venv", "lib", "*", "site-packages", "chdb")); err != nil || len(found) == 0 {
		t.Logf("without ClickHouse: there is no chdb in TARN_ENGINES, %v; scripts/get-engines DIR chdb gets it", err)
		return nil
	}
	return newPython(t, "chdb, pyarrow")
}

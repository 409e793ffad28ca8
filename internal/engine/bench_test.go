package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/demo/staffing"
	"tarn/internal/duck"
	"tarn/internal/engine"
	"tarn/internal/rows"
)

// The figures of the README's kind, beside plain DuckDB on the same files:
//
//	go test -tags duckdb_arrow -run '^$' -bench . -benchtime 1x ./internal/engine

// benchLake imports timesheets and candidates with real processes.
func benchLake(b *testing.B) (*opened, string) {
	b.Helper()
	data := filepath.Join(b.TempDir(), "parquet")
	set, err := staffing.New(staffing.DefaultSeed, 1)
	if err != nil {
		b.Fatal(err)
	}
	o := openLake(b, b.TempDir(), processes)
	if err := os.MkdirAll(data, 0o755); err != nil {
		b.Fatal(err)
	}
	for dataset, key := range map[string]string{"timesheets": "timesheet_id", "candidates": "candidate_id"} {
		table, _ := set.Table(dataset)
		path, err := set.WriteParquet(context.Background(), table, data, nil)
		if err != nil {
			b.Fatal(err)
		}
		j, err := o.Import(context.Background(), engine.ImportRequest{
			Dataset: name(b, dataset), PrimaryKey: []string{key},
			Next: engine.Files(engine.ImportFile{Name: dataset, Format: rows.Parquet, Path: path}),
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := j.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	return o, data
}

var benchQueries = []struct{ name, sql string }{
	{"join", "select c.city, t.status, count(*), sum(t.hours_regular*t.bill_rate), avg(c.pay_rate) from timesheets t join candidates c on c.candidate_id=t.candidate_id group by c.city, t.status"},
	{"filter", "select * from candidates where state='CA' and status='active' and years>=5 order by candidate_id limit 100"},
	{"point", "select * from candidates where candidate_id = 4711"},
	{"group", "select status, count(*), sum(hours_regular) from timesheets group by status"},
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

// BenchmarkCold compares cold queries with DuckDB's read_parquet on the files that
// tarn wrote and on those it imported, in turns.
func BenchmarkCold(b *testing.B) {
	o, data := benchLake(b)
	defer o.close()
	db, err := duck.Open(context.Background(), duck.Options{Scratch: b.TempDir(), MemoryLimitBytes: 1 << 30, Threads: 2})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for _, t := range []string{"timesheets", "candidates"} {
		if err := conn.Exec(context.Background(), fmt.Sprintf("create view %s as select * from read_parquet('%s')", t, filepath.Join(data, t+".parquet"))); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for _, q := range benchQueries {
			var tarn, plain []time.Duration
			for range 21 {
				at := time.Now()
				o.rows(q.sql)
				tarn = append(tarn, time.Since(at))
				at = time.Now()
				if _, err := conn.Rows(context.Background(), q.sql); err != nil {
					b.Fatal(err)
				}
				plain = append(plain, time.Since(at))
			}
			b.Logf("%-8s tarn %8s  read_parquet %8s  ratio %.2f", q.name, median(tarn), median(plain), float64(median(tarn))/float64(median(plain)))
		}
	}
}

// BenchmarkUpsert measures durable upserts into the 1M rows: one writer's p50, and
// the rate of 64.
func BenchmarkUpsert(b *testing.B) {
	o, _ := benchLake(b)
	defer o.close()
	text := o.rows("select to_json(t) from timesheets t where timesheet_id = 1")[0]
	text = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, `["`), `"]`), `\"`, `"`)
	row := func(id int64) string {
		return strings.Replace(text, `"timesheet_id":1,`, fmt.Sprintf(`"timesheet_id":%d,`, id), 1)
	}
	for b.Loop() {
		var one []time.Duration
		for i := range 200 {
			at := time.Now()
			o.change("timesheets", engine.OpUpsert, row(int64(i*4999+1)))
			one = append(one, time.Since(at))
		}
		b.Logf("one writer: p50 %s", median(one))
		for _, writers := range []int{64} {
			var done atomic.Int64
			var group sync.WaitGroup
			began := time.Now()
			for w := range writers {
				group.Go(func() {
					for i := 0; time.Since(began) < 5*time.Second; i++ {
						o.change("timesheets", engine.OpUpsert, row(int64((w*7919+i*104729)%1_000_000+1)))
						done.Add(1)
					}
				})
			}
			group.Wait()
			b.Logf("%d writers: %.0f rows/s", writers, float64(done.Load())/time.Since(began).Seconds())
		}
	}
}

// BenchmarkStatements: SQL that changes one row of a million, many, and all, from
// Parquet and from memory.
func BenchmarkStatements(b *testing.B) {
	o, _ := benchLake(b)
	defer o.close()
	for _, from := range []string{"cold", "hot"} {
		if from == "hot" {
			if _, err := o.CachePin(context.Background(), name(b, "timesheets")); err != nil {
				b.Fatal(err)
			}
		}
		for what, sql := range map[string]string{
			"update one":   "UPDATE timesheets SET hours_overtime = hours_overtime + 1 WHERE timesheet_id = %d",
			"insert one":   "INSERT INTO timesheets SELECT -timesheet_id, * EXCLUDE (timesheet_id) FROM timesheets WHERE timesheet_id = %d ON CONFLICT DO NOTHING",
			"delete one":   "DELETE FROM timesheets WHERE timesheet_id = -%d",
			"update 10000": "UPDATE timesheets SET status = 'seen' WHERE timesheet_id BETWEEN %d AND 100000000 AND timesheet_id %% 100 = 3",
		} {
			b.Run(from+" "+what, func(b *testing.B) {
				n := 5
				if strings.HasSuffix(what, "one") {
					n = 100
				}
				for b.Loop() {
					var took []time.Duration
					for i := range n {
						at := time.Now()
						if _, err := o.exec(fmt.Sprintf(sql, i*97+1)); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(at))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[n/2].Microseconds())/1000, "ms-p50")
				}
			})
		}
		b.Run(from+" update all", func(b *testing.B) {
			for b.Loop() {
				at := time.Now()
				if r, err := o.exec("UPDATE timesheets SET hours_overtime = hours_overtime + 1"); err != nil || r.Rows < 1_000_000 {
					b.Fatal(r, err)
				}
				b.ReportMetric(time.Since(at).Seconds(), "s")
			}
		})
		o.compactAll()
	}
}

// BenchmarkHeldRows reads rows by their keys that were never read before, once all rows are
// held: the median, beside what a worker took.
func BenchmarkHeldRows(b *testing.B) {
	o, _ := benchLake(b)
	defer o.close()
	o.pin("candidates")
	ways := map[string]func(key int){
		"row": func(key int) {
			if _, _, err := o.Row(context.Background(), name(b, "candidates"), fmt.Sprint(key)); err != nil {
				b.Fatal(err)
			}
		},
		"get": func(key int) { o.gotten("candidates", fmt.Sprintf(`{"candidate_id":%d}`, key), rows.OutArrow) },
		"query": func(key int) {
			o.queried(fmt.Sprintf("select * from candidates where candidate_id = %d", key), "", rows.OutJSON, false)
		},
	}
	key := 0
	measure := func(state string) {
		for way, read := range ways {
			var took []time.Duration
			for range 200 {
				key++
				began := time.Now()
				read(key)
				took = append(took, time.Since(began))
			}
			b.ReportMetric(float64(median(took).Nanoseconds())/1000, state+"-"+way+"-µs")
		}
	}
	o.hold("candidates", `{"candidate_id":1}`)
	before := o.heldHits()
	measure("held")
	if n := o.heldHits() - before; n != 600 {
		b.Fatalf("%d of 600 reads were answered from rows that are held", n)
	}
	b.ReportMetric(float64(o.cache().Results.UsedBytes)/(1<<20), "MiB")
}

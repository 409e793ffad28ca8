package serving

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tarn/internal/demo/staffing"
	"tarn/internal/fileid"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// staff publishes a table of the demo's data as a base of one sorted file.
func (l *testLake) staff(table string) (lake.Schema, int64) {
	l.t.Helper()
	set, err := staffing.New(1, 1)
	if err != nil {
		l.t.Fatal(err)
	}
	tab, ok := set.Table(table)
	if !ok {
		l.t.Fatal("no table", table)
	}
	// Made once for all benchmarks of a run.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tarn-bench-%d", os.Getpid()))
	from := filepath.Join(dir, table+".parquet")
	if _, err := os.Stat(from); err != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			l.t.Fatal(err)
		}
		if from, err = set.WriteParquet(context.Background(), tab, dir, nil); err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { os.RemoveAll(dir) })
	}
	rows, err := l.conn.Rows(context.Background(), "DESCRIBE SELECT * FROM read_parquet("+lake.QuoteString(from)+")")
	if err != nil {
		l.t.Fatal(err)
	}
	columns, ids := make([]string, len(rows)), make([]string, len(rows))
	for i, r := range rows {
		columns[i] = r[0].(string) + " " + r[1].(string)
		ids[i] = fmt.Sprintf("%s: %d", r[0], i+1)
	}
	s := schemaOf(l.t, tab.Key[0], columns...)
	f := lake.BaseFile{Key: "base/" + table + "/data/1.parquet", Rows: tab.Rows}
	f.Path = l.path(f.Key)
	l.exec(fmt.Sprintf("COPY (SELECT * FROM read_parquet(%s) ORDER BY %s) TO %s (FORMAT parquet, COMPRESSION zstd, FIELD_IDS {%s})",
		lake.QuoteString(from), tab.Key[0], lake.QuoteString(f.Path), strings.Join(ids, ", ")))
	info, err := os.Stat(f.Path)
	if err != nil {
		l.t.Fatal(err)
	}
	f.Bytes = info.Size()
	f.Identity, _ = fileid.Of(f.Path)
	enc := keys.NewEncoder(s.KeySchema(), []int{0})
	bound := func(v int64) []byte {
		return enc.First(nil, decode(l.t, s.KeySchema(), []string{fmt.Sprintf(`{%q:%d}`, tab.Key[0], v)})[0], 0)
	}
	f.Lower, f.Upper = bound(1), bound(tab.Rows)
	l.tell(publishEntry(lake.Publish{TableUUID: table, Name: name(table), Schema: s, Files: []lake.BaseFile{f}}))
	return s, tab.Rows
}

// What an image of each demo table takes, and how fast it loads.
func BenchmarkImageLoad(b *testing.B) {
	for _, table := range []string{"timesheets", "candidates", "call_log"} {
		b.Run(table, func(b *testing.B) {
			l := newTestLake(b, Options{ImageBudgetBytes: ample}).begin()
			l.staff(table)
			l.ask("SELECT count(*) FROM " + table)
			var m Image
			rows := int64(0)
			for b.Loop() {
				m = l.load(table)
				rows += m.Rows
				b.StopTimer()
				if _, err := l.s.DropImage(context.Background(), table, l.number); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(m.Bytes)/1e6, "MB")
			b.ReportMetric(float64(m.FilterBytes)/1e6, "filterMB")
		})
	}
}

var hotQueries = []struct{ name, sql string }{
	{"join", "SELECT c.state, t.status, count(*), sum(t.hours_regular) FROM timesheets t JOIN candidates c USING (candidate_id) GROUP BY ALL"},
	{"agg", "SELECT status, count(*), sum(hours_regular) FROM timesheets GROUP BY ALL"},
	{"filter", "SELECT count(*) FROM timesheets WHERE candidate_id = 77"},
	{"point", "SELECT * FROM timesheets WHERE timesheet_id = 777777"},
}

// Hot beside cold, clean and after a tenth of the rows was replaced.
func BenchmarkHot(b *testing.B) {
	l := newTestLake(b, Options{ImageBudgetBytes: ample}).begin()
	s, rows := l.staff("timesheets")
	l.staff("candidates")
	run := func(state string) {
		for _, q := range hotQueries {
			b.Run(state+"/"+q.name, func(b *testing.B) {
				for b.Loop() {
					l.ask(q.sql)
				}
			})
		}
	}
	run("cold")
	l.load("timesheets")
	l.load("candidates")
	run("hot")
	l.rewrite(s, rows, 100_000, 1000)
	b.Logf("%+v", l.s.Images())
	run("changed")
}

// rewrite replaces so many rows of timesheets, in deltas of a size, spread over
// the table.
func (l *testLake) rewrite(s lake.Schema, rows int64, total, size int) {
	l.t.Helper()
	got, _ := l.ask(fmt.Sprintf("SELECT * FROM timesheets WHERE timesheet_id %% %d = 3 LIMIT %d", rows/int64(total), total))
	seq := int64(0)
	// In an order that is not the key's.
	for i := range got {
		j := (i * 7919) % len(got)
		got[i], got[j] = got[j], got[i]
	}
	for from := 0; from < len(got); from += size {
		var changes []change
		for _, r := range got[from:min(from+size, len(got))] {
			changes = append(changes, change{row: r})
		}
		seq++
		l.tell(applyEntry("timesheets", l.delta("timesheets", s, seq, changes)))
	}
	if err := l.s.ear.waitApplied(context.Background(), l.number); err != nil {
		l.t.Fatal(err)
	}
	time.Sleep(2 * checkpointIdle) // upkeep
}

// One apply to an image of a million rows, from hearing it to seeing it.
func BenchmarkHotApply(b *testing.B) {
	l := newTestLake(b, Options{ImageBudgetBytes: ample}).begin()
	s, rows := l.staff("timesheets")
	l.load("timesheets")
	sample, _ := l.ask("SELECT * FROM timesheets WHERE timesheet_id = 1")
	rest := sample[0][len(`{"timesheet_id":1`):]
	seq, fresh, known := int64(0), rows, int64(0)
	for _, n := range []int{1, 64, 1000, 10000} {
		for _, kind := range []string{"new", "known"} {
			b.Run(fmt.Sprintf("rows=%d/%s", n, kind), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					changes := make([]change, n)
					for i := range changes {
						var id int64
						if kind == "new" {
							fresh++
							id = fresh
						} else {
							known += 7919
							id = 1 + known%rows
						}
						changes[i] = change{row: fmt.Sprintf(`{"timesheet_id":%d%s`, id, rest)}
					}
					seq++
					e := applyEntry("timesheets", l.delta("timesheets", s, seq, changes))
					b.StartTimer()
					l.tell(e)
					if err := l.s.ear.waitApplied(context.Background(), l.number); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

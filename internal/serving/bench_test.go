package serving

import (
	"context"
	"fmt"
	"testing"

	"tarn/internal/fileid"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// million publishes a dataset of a million rows in n files of disjoint ranges.
func (l *testLake) million(n int) (lake.Schema, []lake.BaseFile) {
	s := schemaOf(l.t, "id", "id BIGINT", "cand BIGINT", "hours DOUBLE", "status VARCHAR")
	var files []lake.BaseFile
	step := 1000000 / n
	enc := keys.NewEncoder(s.KeySchema(), []int{0})
	for i := range n {
		f := lake.BaseFile{Key: fmt.Sprintf("base/m/data/%d.parquet", i), Rows: int64(step)}
		f.Path = l.path(f.Key)
		l.exec(fmt.Sprintf("COPY (SELECT i AS id, i %% 100000 AS cand, (i * 7) %% 1000 / 10.0 AS hours, 'st' || (i %% 5) AS status FROM range(%d, %d) r(i)) TO %s (FORMAT parquet, FIELD_IDS {id: 1, cand: 2, hours: 3, status: 4})",
			i*step, (i+1)*step, lake.QuoteString(f.Path)))
		bound := func(v int) []byte {
			return enc.First(nil, decode(l.t, s.KeySchema(), []string{fmt.Sprintf(`{"id":%d}`, v)})[0], 0)
		}
		f.Lower, f.Upper = bound(i*step), bound((i+1)*step-1)
		f.Identity, _ = fileid.Of(f.Path)
		files = append(files, f)
	}
	l.tell(publishEntry(lake.Publish{TableUUID: "m", Name: name("m"), Schema: s, Files: files}))
	return s, files
}

// What a cold view costs beside plain read_parquet of the same files.
func BenchmarkCold(b *testing.B) {
	queries := map[string]string{
		"agg":    "SELECT status, sum(hours) FROM m GROUP BY ALL",
		"filter": "SELECT count(*) FROM m WHERE cand = 77",
		"point":  "SELECT * FROM m WHERE id = 777777",
	}
	for _, n := range []int{1, 20} {
		l := newTestLake(b, Options{}).begin()
		s, files := l.million(n)
		run := func(state string) {
			for q, sql := range queries {
				b.Run(fmt.Sprintf("files=%d/%s/%s", n, q, state), func(b *testing.B) {
					for b.Loop() {
						l.ask(sql)
					}
				})
			}
		}
		for q, sql := range queries {
			b.Run(fmt.Sprintf("files=%d/%s/plain", n, q), func(b *testing.B) {
				paths := make([]string, len(files))
				for i, f := range files {
					paths[i] = f.Path
				}
				from := "(SELECT * FROM " + readParquet(paths, "") + ") m"
				for b.Loop() {
					a, err := l.s.Query(context.Background(), Request{Trusted: true, SQL: replaceFrom(sql, from)})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := read(context.Background(), a); err != nil {
						b.Fatal(err)
					}
					a.Close()
				}
			})
		}
		run("clean")
		of := func(id int) change {
			return change{row: fmt.Sprintf(`{"id":%d,"cand":1,"hours":1.5,"status":"st1"}`, id)}
		}
		var fresh, old []change
		for i := range 1000 {
			fresh, old = append(fresh, of(2000000+i)), append(old, of(i*3))
		}
		l.tell(applyEntry("m", l.delta("m", s, 1, fresh)))
		run("new")
		l.tell(applyEntry("m", l.delta("m", s, 2, old)))
		run("touched")
	}
}

func replaceFrom(sql, from string) string {
	for i := range sql {
		if sql[i:i+8] == " FROM m " || sql[i:] == " FROM m" {
			return sql[:i] + " FROM " + from + sql[i+7:]
		}
	}
	return sql
}

// How fast the publisher takes deltas in, heard 100 at a time.
func BenchmarkApply(b *testing.B) {
	for _, rows := range []int{1, 64, 1000} {
		for _, kind := range []string{"new", "known"} {
			b.Run(fmt.Sprintf("rows=%d/%s", rows, kind), func(b *testing.B) {
				l := newTestLake(b, Options{}).begin()
				s := simple(b)
				l.publish("u", "d")
				var entries []lake.Entry
				seq := int64(0)
				for b.Loop() {
					var changes []change
					for i := range rows {
						id := i * 7
						if kind == "new" {
							id = int(seq)*rows + i
						}
						changes = append(changes, change{row: row(id, "some value")})
					}
					seq++
					b.StopTimer()
					entries = append(entries, applyEntry("u", l.delta("u", s, seq, changes)))
					b.StartTimer()
					if len(entries) == 100 {
						l.tell(entries...)
						if err := l.s.ear.waitApplied(context.Background(), l.number); err != nil {
							b.Fatal(err)
						}
						entries = nil
					}
				}
			})
		}
	}
}

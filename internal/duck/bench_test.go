//go:build duckdb_arrow

package duck

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

func BenchmarkGate(b *testing.B) {
	_, c := open(b, locked)
	g := NewGate(c)
	for b.Loop() {
		if _, err := g.Check(b.Context(), "SELECT c.name, sum(t.hours) FROM candidates c JOIN timesheets t ON t.candidate_id = c.id WHERE c.city = 'Oslo' GROUP BY c.name ORDER BY 2 DESC LIMIT 10", corpusDatasets); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSelectOne(b *testing.B) {
	_, c := open(b, locked)
	for b.Loop() {
		if _, err := c.Rows(b.Context(), "SELECT 1"); err != nil {
			b.Fatal(err)
		}
	}
}

// One million rows of three columns, the middle one of a type that is converted.
func BenchmarkStream(b *testing.B) {
	for _, x := range []struct{ name, column string }{{"bigint", "i"}, {"boolean", "i % 2 = 0"}, {"hugeint", "i::HUGEINT"}, {"uuid", "u"}, {"enum", "e"}} {
		b.Run(x.name, func(b *testing.B) {
			_, c := open(b)
			exec(b, c, "CREATE TABLE t AS SELECT i, i::DOUBLE AS d, uuid() AS u, ['a', 'b'][i % 2 + 1]::ENUM('a', 'b') AS e FROM range(1000000) t(i)")
			for b.Loop() {
				s, err := c.Query(b.Context(), "SELECT i, "+x.column+", d FROM t", Params{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := readAll(b.Context(), s, func(arrow.RecordBatch) {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

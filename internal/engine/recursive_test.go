package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
)

// TestI3RecursionOverParquet: a recursive query that joins what is computed once
// gives every row, also from Parquet with several threads. DuckDB 1.5.6 by itself
// keeps the join's filter of the first round in it.
func TestI3RecursionOverParquet(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.CacheBytes = engine.NoCache })
	defer o.close()
	var csv strings.Builder
	csv.WriteString("a,b\n")
	for i := range 300_000 {
		fmt.Fprintf(&csv, "%d,%d\n", i%997, (i*7+1)%997)
	}
	if _, err := o.importText("edges", "", rows.CSV, nil, "", csv.String()); err != nil {
		t.Fatal(err)
	}
	const query = `WITH RECURSIVE pairs AS %s (SELECT DISTINCT a, b FROM edges), reached AS (
		SELECT 1 AS place, 0 AS hops UNION SELECT b, hops + 1 FROM reached JOIN pairs ON a = place WHERE hops < 4)
		SELECT count(*), sum(place), sum(hops) FROM reached`
	want := o.rows(fmt.Sprintf(query, "MATERIALIZED"))
	for range 10 {
		o.want(fmt.Sprintf(query, ""), want...)
	}
}

package serving

import (
	"encoding/json"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// EXPLAIN ANALYZE shows what was run and how long it took, and nothing of the places
// that stand behind a dataset: cold, with pending changes, and hot.
func TestExplainAnalyze(t *testing.T) {
	const uuid = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	s := simple(t)
	l.publish(uuid, "d", row(1, "x"), row(2, "y"), row(3, "y"))
	const query = "SELECT v, count(*) AS n FROM d WHERE id > 1 AND v <> 'a_tarn_' GROUP BY v ORDER BY v LIMIT 3"
	analyzed := func(phase, from string, want ...string) {
		t.Helper()
		got, a := l.ask("EXPLAIN ANALYZE " + query)
		if len(got) != 1 || a.ServedFrom["d"] != from {
			t.Fatalf("%s: %q from %v", phase, got, a.ServedFrom)
		}
		var answer struct {
			Key  string `json:"explain_key"`
			Text string `json:"explain_value"`
		}
		if err := json.Unmarshal([]byte(got[0]), &answer); err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, " rows scanned\n", "-> TOP_N (rows ", "Top: 3", "Order By: lake.main.d.v ASC", "GROUP_BY (rows ", ", time ") {
			if !strings.Contains(answer.Text, w) {
				t.Errorf("%s: %q is missing:\n%s", phase, w, answer.Text)
			}
		}
		for _, hidden := range []string{l.dir, "1.parquet", "base/", "image_", "_tarn.", uuid, "eeeeffff0000", "system_peak", "EXPLAIN", "Filename"} {
			if strings.Contains(answer.Text, hidden) {
				t.Errorf("%s shows %q:\n%s", phase, hidden, answer.Text)
			}
		}
		if a.Repeatable {
			t.Errorf("%s: an answer with times is given again", phase)
		}
	}
	analyzed("cold", lake.ServedFromParquet, "-> READ_PARQUET (rows ", "Total Files Read: 1", "Filters: id>1")
	l.tell(applyEntry(uuid, l.delta(uuid, s, 1, []change{{row: row(2, "z")}, {row: row(9, "z")}})))
	analyzed("pending", lake.ServedFromParquet, "-> READ_PARQUET (rows ", "HASH_JOIN")
	l.load(uuid)
	analyzed("hot", lake.ServedFromImage, "-> SEQ_SCAN (rows ", "Dataset: d\n")

	// The query itself is run: its errors are those of the query.
	if _, _, err := l.try("EXPLAIN ANALYZE SELECT error('no') FROM d"); lake.CodeOf(err) != lake.CodeSQLInvalid {
		t.Errorf("%v", err)
	}
}

func TestOwnNamesAreNotShown(t *testing.T) {
	for text, want := range map[string]string{
		"lake._tarn.image_0190-ab_1.v ASC": "lake.….….v ASC", "_tarn_code_3 = 7": "… = 7", "d._TARN_x": "d.…",
		"a_tarn_ b image é": "a_tarn_ b image é", "": "",
	} {
		if got := withoutOwnNames(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

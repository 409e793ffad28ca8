package cli

import (
	"bytes"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

func TestTheCacheReadsAsATable(t *testing.T) {
	at := time.Now().Add(-3 * time.Hour)
	s := engine.CacheStats{
		BudgetBytes: 16_000_000_000, UsedBytes: 4_000_000_000, Hits: 900, Misses: 100, Loads: 4, Evictions: 1,
		Datasets: []engine.CacheEntry{
			{Dataset: "call_log", State: "cold"},
			{Dataset: "huge", State: "not_loaded", Reason: "needs about 90 GB", Pinned: true},
			{Dataset: "trips", State: "hot", Pinned: true, Rows: 1_000_000, Bytes: 14_000_000, Hits: 900, LoadedAt: &at, LastUsed: &at, ReadPoint: &lake.ReadPoint{Sequence: 7}},
		},
	}
	var out bytes.Buffer
	if err := writeCache(&out, s, 0); err != nil {
		t.Fatal(err)
	}
	want := `[██████░░░░░░░░░░░░░░░░░░] 4.0 GB of 16 GB used; 900 hits (90%), 100 misses, 4 loads, 1 evictions
┌──────────┬───────────────────────────────────────┬───────────┬───────┬──────┬───────────┬──────────┐
│ dataset  │ state                                 │      rows │  size │ hits │ last used │ sequence │
├──────────┼───────────────────────────────────────┼───────────┼───────┼──────┼───────────┼──────────┤
│ call_log │ cold                                  │           │       │    0 │           │          │
│ huge     │ pinned, not loaded: needs about 90 GB │           │       │    0 │           │          │
│ trips    │ pinned, hot                           │ 1,000,000 │ 14 MB │  900 │ 3 h ago   │        7 │
└──────────┴───────────────────────────────────────┴───────────┴───────┴──────┴───────────┴──────────┘
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

// 0 on the command line is none, while 0 to the engine is the default.
func TestNoCacheCanBeAskedFor(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int64
	}{
		{nil, engine.Defaults(8 << 30).CacheBytes},
		{[]string{"--cache-size", "0"}, engine.NoCache},
		{[]string{"--cache-size", "2GB"}, 2_000_000_000},
	} {
		serve, err := probe(t, nil, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := serve.Settings.over(engine.Defaults(8 << 30)).CacheBytes; got != c.want {
			t.Errorf("%v: %d, want %d", c.args, got, c.want)
		}
	}
	serve, err := probe(t, map[string]string{"TARN_CACHE_SIZE": "3GB"})
	if err != nil || serve.Settings.over(engine.Defaults(8<<30)).CacheBytes != 3_000_000_000 {
		t.Errorf("%+v, %v", serve.Settings.CacheBytes, err)
	}
}

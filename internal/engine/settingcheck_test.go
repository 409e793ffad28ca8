package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

func TestSettingsThatMeanNothingAreRefused(t *testing.T) {
	for name, change := range map[string]func(*engine.Settings){
		"query_concurrency":  func(s *engine.Settings) { s.QueryConcurrency = -1 },
		"compact_interval":   func(s *engine.Settings) { s.CompactInterval = -time.Second },
		"upkeep_interval":    func(s *engine.Settings) { s.UpkeepInterval = -time.Second },
		"attach_interval":    func(s *engine.Settings) { s.AttachInterval = -time.Second },
		"query_timeout":      func(s *engine.Settings) { s.QueryTimeout = -1 },
		"snapshot_retention": func(s *engine.Settings) { s.SnapshotRetention = -time.Hour },
		"threads":            func(s *engine.Settings) { s.Threads = 100_000 },
		"max_sql_bytes":      func(s *engine.Settings) { s.MaxSQLBytes = -5 },
		"compact_dead_share": func(s *engine.Settings) { s.CompactDeadShare = 1.5 },
		"compact_ratio":      func(s *engine.Settings) { s.CompactRatio = -0.5 },
		"cache_size":         func(s *engine.Settings) { s.CacheBytes = -2 },
	} {
		set := testSettings()
		change(&set)
		e, err := engine.Open(context.Background(), engine.Options{Data: t.TempDir(), Settings: set, Log: quiet()})
		if err == nil {
			_ = e.Close(context.Background())
		}
		if lake.CodeOf(err) != lake.CodeInvalidRequest || !strings.Contains(err.Error(), name+" ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package engine_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// TestI3Soak: 16 writers and 4 readers, while the policy compacts and upkeep
// tidies without retention: each writer's rows are whole in every answer, and at
// the end all of them are there, before and after a restart.
func TestI3Soak(t *testing.T) {
	dir := t.TempDir()
	share, version := []float64{0, 0.5}[rand.IntN(2)], 2+rand.IntN(2)
	t.Logf("compact_dead_share %v, iceberg_format_version %d", share, version)
	busy := func(o *engine.Options) {
		noRetention(&o.Settings)
		o.Settings.CompactAuto, o.Settings.CompactInterval, o.Settings.CompactDeltas = true, 20*time.Millisecond, 16
		o.Settings.CompactDeadShare, o.Settings.IcebergFormatVersion = share, version
		o.Settings.UpkeepInterval = 30 * time.Millisecond
	}
	o := openLake(t, dir, busy)
	o.create("t", schema(t, []string{"w", "i"}, "w BIGINT", "i BIGINT", "n BIGINT"))
	o.create("log", schema(t, nil, "w BIGINT", "n BIGINT"))
	const writers, readers, keys = 16, 4, 50
	var last [writers]int
	var writing, reading sync.WaitGroup
	var answers, acked atomic.Int64
	end := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			for n := 1; !closed(end); n++ {
				// Two rows of one request carry the same n, and an older key goes.
				lines := []string{
					fmt.Sprintf(`{"op":"upsert","row":{"w":%d,"i":%d,"n":%d}}`, w, n%keys, n),
					fmt.Sprintf(`{"op":"upsert","row":{"w":%d,"i":-1,"n":%d}}`, w, n),
					fmt.Sprintf(`{"op":"delete","key":{"w":%d,"i":%d}}`, w, (n+keys/2)%keys),
				}
				if _, err := o.tryChange("t", engine.OpChanges, lines...); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if _, err := o.tryChange("log", engine.OpUpsert, fmt.Sprintf(`{"w":%d,"n":%d}`, w, n)); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				last[w] = n
				acked.Add(2)
			}
		})
	}
	const whole = `select t.w, max(t.n) filter (i < 0), max(t.n) filter (i >= 0), count(*), l.n, l.c from t
		join (select w, max(n) as n, count(*) as c from log group by w) l on l.w = t.w group by all`
	check := func(o *opened, quiescent bool) error {
		got, err := o.tryRows(whole)
		if err != nil {
			return err
		}
		for _, row := range got {
			var w, marker, newest, count, logged, lines int
			if _, err := fmt.Sscanf(row, "[%d,%d,%d,%d,%d,%d]", &w, &marker, &newest, &count, &logged, &lines); err != nil {
				return fmt.Errorf("%s: %w", row, err)
			}
			n := marker
			if newest != n || logged != lines || logged > n || logged < n-1 || count != 1+min(n, keys/2) {
				return fmt.Errorf("not whole: %s", row)
			}
			if quiescent && (n != last[w] || logged != n) {
				return fmt.Errorf("writer %d was acknowledged up to %d: %s", w, last[w], row)
			}
		}
		if quiescent && len(got) != writers {
			return fmt.Errorf("%d writers of %d", len(got), writers)
		}
		return nil
	}
	for range readers {
		reading.Go(func() {
			for !closed(end) {
				if err := check(o, false); err != nil && lake.CodeOf(err) != lake.CodeOverloaded {
					t.Errorf("read: %v", err)
					return
				}
				answers.Add(1)
			}
		})
	}
	time.Sleep(timeFrom(t, "TARN_SOAK", 4*time.Second))
	close(end)
	writing.Wait()
	reading.Wait()
	if err := check(o, true); err != nil {
		t.Fatal(err)
	}
	o.verifyClean()
	o.close()
	o = openLake(t, dir, busy)
	defer o.close()
	if err := check(o, true); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	for _, d := range []string{"t", "log"} {
		if o.compact(d).FoldedThrough == 0 {
			t.Errorf("%s was never compacted", d)
		}
	}
	if err := check(o, true); err != nil {
		t.Fatalf("after compaction: %v", err)
	}
	o.verifyClean()
	t.Logf("%d changes acknowledged, %d answers", acked.Load(), answers.Load())
}

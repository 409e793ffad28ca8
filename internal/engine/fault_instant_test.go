package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// TestI2OneInstant: writers put the number n first into a and then, once that is
// acknowledged, into b and into c, three rows a request; readers join them while
// compactions, tidying and the deaths of real worker processes go on. No answer
// has an n in b that is not in a, or a part of a request.
func TestI2OneInstant(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 2))
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) { noRetention(&o.Settings) })
	defer o.close()
	const writers, readers, mostKills, leastAnswers = 3, 3, 4, 60
	for _, n := range []string{"a", "b", "c"} {
		var key []string
		if n != "c" {
			key = []string{"w", "i"}
		}
		o.create(n, schema(t, key, "w BIGINT", "i BIGINT", "n BIGINT"))
	}
	var writing, beside sync.WaitGroup
	end := make(chan struct{})
	var answers, kills atomic.Int64
	var rounds [writers]int
	for w := range writers {
		writing.Go(func() {
			// Until enough was read beside it.
			for n := 0; n < 20 || answers.Load() < leastAnswers || kills.Load() < mostKills; n++ {
				for _, dataset := range []string{"a", "b", "c"} {
					var lines []string
					for i := range 3 {
						lines = append(lines, fmt.Sprintf(`{"w":%d,"i":%d,"n":%d}`, w, i, n))
					}
					if _, err := o.tryChange(dataset, engine.OpUpsert, lines...); err != nil {
						t.Errorf("write %s: %v", dataset, err)
						return
					}
				}
				rounds[w] = n + 1
			}
		})
	}
	const sql = `select w,
		(select min(n) from a where a.w = r.w) as a_low, (select max(n) from a where a.w = r.w) as a_high,
		(select min(n) from b where b.w = r.w) as b_low, (select max(n) from b where b.w = r.w) as b_high,
		(select count(*) from a where a.w = r.w), (select count(*) from b where b.w = r.w),
		(select count(*) from c where c.w = r.w), (select coalesce(max(n), -1) from c where c.w = r.w)
		from (select distinct w from b) r`
	for range readers {
		beside.Go(func() {
			for !closed(end) {
				got, err := o.tryRows(sql)
				if err != nil {
					if lake.CodeOf(err) != lake.CodeWorkerDied { // killed twice under one query
						t.Errorf("read: %v", err)
					}
					continue
				}
				answers.Add(1)
				for _, row := range got {
					var w, aLow, aHigh, bLow, bHigh, aRows, bRows, cRows, cHigh int
					if _, err := fmt.Sscanf(row, "[%d,%d,%d,%d,%d,%d,%d,%d,%d]", &w, &aLow, &aHigh, &bLow, &bHigh, &aRows, &bRows, &cRows, &cHigh); err != nil {
						t.Errorf("%s: %v", row, err)
						return
					}
					whole := aLow == aHigh && bLow == bHigh && aRows == 3 && bRows == 3 && cRows == 3*(cHigh+1)
					if inOrder := bHigh <= aHigh && aHigh <= bHigh+1 && cHigh <= bHigh && bHigh <= cHigh+1; !whole || !inOrder {
						t.Errorf("seed %d: no one instant: %s", seed, row)
					}
				}
			}
		})
	}
	beside.Go(func() { // compactions and tidying
		for i := 0; !closed(end); i++ {
			if _, err := o.tryCompact([]string{"a", "b", "c"}[i%3]); err != nil {
				t.Errorf("compact: %v", err)
			}
			if err := o.Tidy(context.Background()); err != nil {
				t.Errorf("tidy: %v", err)
			}
		}
	})
	beside.Go(func() { // each worker answers some queries first, as its successor comes later and later
		for next := int64(0); !closed(end); time.Sleep(time.Millisecond) {
			if answers.Load() >= next && kills.Load() < mostKills {
				o.KillWorker()
				kills.Add(1)
				next = answers.Load() + 5 + random.Int64N(10)
			}
		}
	})
	writing.Wait()
	close(end)
	beside.Wait()
	for w, n := range rounds {
		o.want(fmt.Sprintf("select count(*), min(n), max(n) from c where w = %d", w), fmt.Sprintf("[%d,0,%d]", 3*n, n-1))
	}
	o.verifyClean()
	t.Logf("%d answers, %d kills, seed %d", answers.Load(), kills.Load(), seed)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestI1AcknowledgedIsVisible: every query that starts after an acknowledgement
// sees the change, whatever the worker has just gone through.
func TestI1AcknowledgedIsVisible(t *testing.T) {
	o := openLake(t, t.TempDir(), processes)
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	o.create("log", schema(t, nil, "v BIGINT"))
	for i := range 60 {
		switch i % 10 {
		case 3:
			o.KillWorker()
		case 6:
			o.compact("t")
		case 8:
			o.compact("log")
		}
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":%d}`, i%7, i))
		o.change("log", engine.OpUpsert, fmt.Sprintf(`{"v":%d}`, i))
		o.want("select (select max(v) from t), count(*), max(v) from log", fmt.Sprintf("[%d,%d,%d]", i, i+1, i))
		o.change("t", engine.OpDelete, fmt.Sprintf(`{"id":%d}`, i%7))
		o.want(fmt.Sprintf("select count(*) from t where id = %d", i%7), "[0]")
	}
	o.verifyClean()
}

package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// repeats is how often a question is asked for the median of its times.
const repeats = 5

// asked is a question's answer and the median of its times.
type asked struct {
	answer
	median time.Duration
}

// askCold asks with the datasets evicted before each time, so that files answer.
func (t *tour) askCold(ctx context.Context, sql string, datasets ...string) (asked, error) {
	return t.askOften(ctx, t.lake.ask, sql, lake.ServedFromParquet, func() error {
		for _, d := range datasets {
			if _, err := t.lake.c.CacheEvict(ctx, named(d)); err != nil {
				return err
			}
		}
		return nil
	})
}

// askHot asks with the datasets in memory.
func (t *tour) askHot(ctx context.Context, sql string) (asked, error) {
	return t.askOften(ctx, t.lake.ask, sql, lake.ServedFromImage, func() error { return nil })
}

// askAgain asks what was asked before, with nothing changed since.
func (t *tour) askAgain(ctx context.Context, sql string) (asked, error) {
	return t.askOften(ctx, t.lake.askAgain, sql, lake.ServedFromImage, func() error { return nil })
}

func (t *tour) askOften(ctx context.Context, ask func(context.Context, string) (answer, error), sql, from string, before func() error) (asked, error) {
	var out asked
	var times []time.Duration
	for range repeats {
		if err := before(); err != nil {
			return out, err
		}
		a, err := ask(ctx, sql)
		if err != nil {
			return out, err
		}
		if !a.servedFrom(from) {
			return out, fmt.Errorf("the answer came from %v, not from %s: %s", a.from, from, sql)
		}
		out.answer, times = a, append(times, a.elapsed)
	}
	slices.Sort(times)
	out.median = times[len(times)/2]
	return out, nil
}

// servedFrom says whether every dataset of an answer came from one place.
func (a answer) servedFrom(from string) bool {
	for _, f := range a.from {
		if f != from {
			return false
		}
	}
	return len(a.from) > 0
}

// pin pins datasets and says how long loading took.
func (t *tour) pin(ctx context.Context, datasets ...string) error {
	began, total := time.Now(), int64(0)
	for _, d := range datasets {
		e, err := t.lake.c.CachePin(ctx, named(d))
		if err != nil {
			return err
		}
		total += e.Rows
		if !slices.Contains(t.pinned, d) {
			t.pinned = append(t.pinned, d)
		}
	}
	t.say("pinned %s: %s rows in memory after %s", strings.Join(datasets, " and "), count(total), took(time.Since(began)))
	return nil
}

// faster is how many times as fast one answer was as another.
func faster(cold, hot asked) string {
	return fmt.Sprintf("%s cold, %s hot (medians of %d): %.1f times as fast", took(cold.median), took(hot.median), repeats, cold.median.Seconds()/hot.median.Seconds())
}

// showCache prints the budget and what is in memory.
func (t *tour) showCache(ctx context.Context, when string) (engine.CacheStats, error) {
	s, err := t.lake.c.CacheStats(ctx)
	if err != nil {
		return s, err
	}
	t.say("%s: %s of %s used; %s hits, %s misses, %s loads, %s evictions", when, bytesShown(s.UsedBytes), bytesShown(s.BudgetBytes),
		count(s.Hits), count(s.Misses), count(s.Loads), count(s.Evictions))
	var rows [][]string
	for _, e := range s.Datasets {
		if e.State == "cold" {
			continue
		}
		state := e.State
		if e.Pinned {
			state = "pinned, " + state
		}
		rows = append(rows, []string{e.Dataset, state, count(e.Rows), bytesShown(e.Bytes), count(e.Hits)})
	}
	if len(rows) > 0 {
		t.table([]string{"dataset", "state", "rows", "size", "hits"}, []bool{false, false, true, true, true}, rows)
	}
	return s, nil
}

// cache shows what is held, and that the budget holds.
func (t *tour) cache(ctx context.Context, before engine.CacheStats) error {
	t.step("The cache: what is in memory now")
	after, err := t.showCache(ctx, "now")
	if err != nil {
		return err
	}
	rows, bytes := int64(0), int64(0)
	for _, e := range after.Datasets {
		if e.Pinned {
			rows, bytes = rows+e.Rows, bytes+e.Bytes
		}
	}
	t.check(before.Loads == 0 && after.Loads > 0, "before the first question nothing was in memory")
	t.check(after.UsedBytes <= after.BudgetBytes && bytes <= after.UsedBytes, "%s rows take %s, %.1f bytes a row, within the budget of %s",
		count(rows), bytesShown(bytes), float64(bytes)/float64(max(1, rows)), bytesShown(after.BudgetBytes))
	return nil
}

// pinsBack waits until what was pinned is in memory again, by itself.
func (t *tour) pinsBack(ctx context.Context) error {
	if len(t.pinned) == 0 {
		return nil
	}
	began := time.Now()
	for {
		s, err := t.lake.c.CacheStats(ctx)
		if err != nil {
			return err
		}
		hot := 0
		for _, e := range s.Datasets {
			if e.Pinned && e.State == "hot" && slices.Contains(t.pinned, e.Dataset) {
				hot++
			}
		}
		if hot == len(t.pinned) || time.Since(began) > startPatience {
			t.check(hot == len(t.pinned), "what was pinned came back into memory by itself: %s", strings.Join(t.pinned, ", "))
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

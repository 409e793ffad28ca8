package cache

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// use is one query of a trace.
type use struct {
	at      time.Duration
	dataset string
}

// day is a day of a lake: three dashboards on six small datasets are refreshed
// every five minutes from 7 to 19, reports on three middling ones run every
// twenty minutes, and every half hour of the whole day something scans one of
// three large datasets once; at night twice in a row.
func day() (uses []use, bytes map[string]int64) {
	bytes = map[string]int64{}
	add := func(n int, kind string, each int64, from, to, every time.Duration, times int) {
		for i := range n {
			bytes[fmt.Sprint(kind, i)] = each
		}
		for at, turn := from, 0; at < to; at, turn = at+every, turn+1 {
			for i := range n {
				if kind == "large" && i != turn%n {
					continue
				}
				for k := range times {
					uses = append(uses, use{at + time.Duration(i+7*k)*time.Second, fmt.Sprint(kind, i)})
				}
			}
		}
	}
	add(6, "small", 5*MB, 7*time.Hour, 19*time.Hour, 5*time.Minute, 1)
	add(3, "report", 15*MB, 7*time.Hour, 19*time.Hour, 20*time.Minute, 1)
	add(3, "large", 80*MB, 0, 7*time.Hour, 30*time.Minute, 2)
	add(3, "large", 80*MB, 7*time.Hour, 24*time.Hour, 30*time.Minute, 1)
	slices.SortStableFunc(uses, func(a, b use) int { return cmp.Compare(a.at, b.at) })
	return uses, bytes
}

// outcome is what a policy made of a trace.
type outcome struct {
	hits, loads int
	bytes       int64 // loaded
}

func (o outcome) String() string {
	return fmt.Sprintf("%d hits, %d loads, %d MB loaded", o.hits, o.loads, o.bytes/MB)
}

// plainLRU loads at each miss that window lets through, and evicts the least
// recently used. window 0 lets all through; else a dataset must have been used
// within it before.
func plainLRU(uses []use, bytes map[string]int64, budget int64, window time.Duration) (o outcome) {
	var held []string // the least recently used first
	last := map[string]time.Duration{}
	var total int64
	for _, u := range uses {
		before, seen := last[u.dataset]
		last[u.dataset] = u.at
		if i := slices.Index(held, u.dataset); i >= 0 {
			o.hits++
			held = append(slices.Delete(held, i, i+1), u.dataset)
			continue
		}
		free := budget - total
		if bytes[u.dataset] > free && window > 0 && (!seen || u.at-before > window) {
			continue
		}
		for total+bytes[u.dataset] > budget {
			total -= bytes[held[0]]
			held = held[1:]
		}
		held, total = append(held, u.dataset), total+bytes[u.dataset]
		o.loads++
		o.bytes += bytes[u.dataset]
	}
	return o
}

// played plays a trace on the cache.
func played(t *testing.T, uses []use, bytes map[string]int64, budget int64) (o outcome) {
	r := newRig(t, budget)
	for name, n := range bytes {
		r.w.add(name, n)
	}
	start := r.now
	for _, u := range uses {
		r.now = start.Add(u.at)
		hot := r.w.hot()
		if hot[u.dataset] {
			o.hits++
		}
		r.Used(u.dataset, hot[u.dataset])
		r.round(context.Background())
		if now := r.w.hot()[u.dataset]; now && !hot[u.dataset] {
			o.bytes += bytes[u.dataset]
		}
	}
	s := r.stats()
	if s.Hits != int64(o.hits) || s.Hits+s.Misses != int64(len(uses)) {
		t.Errorf("%d hits of %d uses; the statistics say %+v", o.hits, len(uses), s)
	}
	o.loads = int(s.Loads)
	return o
}

// The figures of docs/CACHE.md. What is in steady use must not go for scans: this
// policy has more hits than plain LRU and than loading at the second use, and
// loads less than half of what the first does.
func TestTheTraceOfADay(t *testing.T) {
	uses, bytes := day()
	const budget = 100 * 1_000_000
	lru := plainLRU(uses, bytes, budget, 0)
	second := plainLRU(uses, bytes, budget, 15*time.Minute)
	ours := played(t, uses, bytes, budget)
	t.Logf("%d uses of %d datasets, budget %d MB", len(uses), len(bytes), budget/MB)
	t.Logf("least recently used: %s", lru)
	t.Logf("at the second use:   %s", second)
	t.Logf("this one:            %s", ours)
	if ours.hits <= lru.hits || ours.hits <= second.hits || 2*ours.bytes > lru.bytes {
		t.Error("it is no better")
	}
}

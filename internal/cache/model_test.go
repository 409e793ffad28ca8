package cache

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tarn/internal/lake"
)

// machine is a random history of uses, pins, evictions, and of what happens to
// datasets and worker by themselves. The fake worker notes any breach of the
// budget at any slice.
type machine struct {
	*rig
	rt     *rapid.T
	pinned map[string]bool
	serial int
}

func (m *machine) pick() string {
	names := slices.Sorted(maps.Keys(m.w.mu.sets))
	if len(names) == 0 {
		m.rt.Skip("no dataset")
	}
	return rapid.SampledFrom(names).Draw(m.rt, "dataset")
}

func (m *machine) bytes() int64 { return rapid.Int64Range(0, 60).Draw(m.rt, "MB") * MB }

func (m *machine) use() {
	uuid := m.pick()
	for range rapid.IntRange(1, 5).Draw(m.rt, "times") {
		m.Used(uuid, m.w.hot()[uuid])
	}
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 1000).Draw(m.rt, "seconds")) * time.Second)
}

// round must leave nothing behind that is wanted and simply fits.
func (m *machine) step() {
	before := m.w.hot()
	m.round(context.Background())
	for _, uuid := range m.w.dropped() {
		if m.pinned[uuid] && before[uuid] {
			m.rt.Fatalf("the pinned %s was evicted for another", uuid)
		}
	}
}

func (m *machine) pin() {
	uuid := m.pick()
	before, was := m.w.hot(), m.pinned[uuid]
	e, err := m.Pin(context.Background(), uuid)
	for _, d := range m.w.dropped() {
		if m.pinned[d] {
			m.rt.Fatalf("the pinned %s was evicted for a pin of %s", d, uuid)
		}
	}
	switch lake.CodeOf(err) {
	case lake.CodeCacheFull:
		if m.pins(uuid) != was {
			m.rt.Fatalf("a pin of %s that failed changed it to pinned=%v", uuid, !was)
		}
		if before[uuid] {
			m.rt.Fatalf("the hot %s was refused: %v", uuid, err)
		}
	default:
		if err != nil {
			m.rt.Fatal(err)
		}
		m.pinned[uuid] = true
		if e.State != StateHot || !e.Pinned || !m.w.hot()[uuid] {
			m.rt.Fatalf("%+v", e)
		}
	}
}

func (m *machine) pins(uuid string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.mu.known[uuid]
	return k != nil && k.pinned
}

func (m *machine) unpin() {
	uuid := m.pick()
	hot := m.w.hot()[uuid]
	e, err := m.Unpin(context.Background(), uuid)
	if err != nil || e.Pinned || m.w.hot()[uuid] != hot {
		m.rt.Fatalf("%+v, %v", e, err)
	}
	delete(m.pinned, uuid)
}

func (m *machine) evict() {
	uuid := m.pick()
	e, err := m.Evict(context.Background(), uuid)
	if err != nil || e.Pinned || e.State != StateCold || m.w.hot()[uuid] {
		m.rt.Fatalf("%+v, %v", e, err)
	}
	delete(m.pinned, uuid)
	m.w.dropped()
}

func (m *machine) evictAll() {
	too := rapid.Bool().Draw(m.rt, "pinned too")
	before := m.w.hot()
	if _, err := m.EvictAll(context.Background(), too); err != nil {
		m.rt.Fatal(err)
	}
	if too {
		clear(m.pinned)
	}
	for uuid := range before {
		if m.w.hot()[uuid] != m.pinned[uuid] {
			m.rt.Fatalf("%s is hot: %v, pinned: %v", uuid, m.w.hot()[uuid], m.pinned[uuid])
		}
	}
	m.w.dropped()
}

func (m *machine) create() {
	m.serial++
	uuid := fmt.Sprintf("u%03d", m.serial)
	m.w.add(uuid, m.bytes()+10)
	m.w.mu.sets[uuid].fileBytes = m.bytes() // says nothing
}

func (m *machine) drop() {
	uuid := m.pick()
	m.w.remove(uuid)
	m.Dropped(uuid)
	delete(m.pinned, uuid)
}

func (m *machine) check(*rapid.T) {
	s := m.stats()
	hot, listed := m.w.hot(), map[string]Entry{}
	for _, e := range s.Datasets {
		listed[strings.TrimPrefix(e.Dataset, "d_")] = e
	}
	if len(listed) != len(m.w.mu.sets) {
		m.rt.Fatalf("%d of %d datasets are listed", len(listed), len(m.w.mu.sets))
	}
	var sum int64
	for uuid, e := range listed {
		sum += e.Bytes
		switch {
		case e.Pinned != m.pinned[uuid]:
			m.rt.Fatalf("%s: pinned %v, listed %+v", uuid, m.pinned[uuid], e)
		case hot[uuid] != (e.State == StateHot), hot[uuid] != (e.ReadPoint != nil):
			m.rt.Fatalf("%s: hot %v, listed %+v", uuid, hot[uuid], e)
		case (e.State == StateNotLoaded) != (e.Pinned && !hot[uuid]), (e.State == StateNotLoaded) != (e.Reason != ""):
			m.rt.Fatalf("%s: %+v", uuid, e)
		}
	}
	if sum > s.UsedBytes || s.UsedBytes > s.BudgetBytes {
		m.rt.Fatalf("%d bytes are listed, %d used of %d", sum, s.UsedBytes, s.BudgetBytes)
	}
	text, err := os.ReadFile(m.rig.pins)
	if err != nil && !os.IsNotExist(err) {
		m.rt.Fatal(err)
	}
	if strings.Count(string(text), "table_uuid") != len(m.pinned) {
		m.rt.Fatalf("pinned are %v; the file says %s", m.pinned, text)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{rig: newRig(t, rapid.SampledFrom([]int64{0, 20 * MB, 100 * MB, 1000 * MB}).Draw(rt, "budget")), rt: rt, pinned: map[string]bool{}}
		with := func(f func()) func(*rapid.T) { return func(rt *rapid.T) { m.rt = rt; f() } }
		rt.Repeat(map[string]func(*rapid.T){
			"create": with(m.create), "drop": with(m.drop),
			"use": with(m.use), "use2": with(m.use), "round": with(m.step), "round2": with(m.step), "round3": with(m.step),
			"pin": with(m.pin), "pin2": with(m.pin), "unpin": with(m.unpin), "evict": with(m.evict), "evict all": with(m.evictAll),
			"grow":           with(func() { m.w.grow(m.pick(), m.bytes()) }),
			"content commit": with(func() { m.w.commit(m.pick(), m.bytes()+10) }),
			"worker dies":    with(func() { m.w.kill() }),
			"restart":        with(func() { m.open() }),
			"reader ends":    with(func() { m.w.read(false) }),
			"":               m.check,
		})
		// In the end, with nothing about, every pin that fits by itself is kept.
		m.now = m.now.Add(time.Hour)
		m.step()
		m.now = m.now.Add(time.Hour)
		m.step()
		m.check(rt)
		var all int64
		for uuid := range m.pinned {
			all += max(m.w.mu.sets[uuid].size(), leastImage)
		}
		for uuid := range m.pinned {
			if all <= m.w.budget && !m.w.hot()[uuid] {
				rt.Fatalf("all pins fit (%d of %d bytes), and %s is not hot: %+v", all, m.w.budget, uuid, m.entryOf(uuid))
			}
		}
	})
}

// TestManyLoadsAtOnce is I5 under concurrency: queries, pins, evictions, writers
// and a dying worker beside the background; the fake worker notes any breach of
// the budget, and what was pinned throughout is never dropped on request.
func TestManyLoadsAtOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newFakeWorker(t, 200*MB)
	for i := range 20 {
		w.add(fmt.Sprintf("u%02d", i), int64(5+i*4)*MB)
	}
	c, err := New(Options{BudgetBytes: w.budget, Worker: w, Datasets: w.datasets, PinsPath: t.TempDir() + "/pins.json", Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { c.Run(ctx) })
	for _, uuid := range []string{"u00", "u01"} {
		if _, err := c.Pin(ctx, uuid); err != nil {
			t.Fatal(err)
		}
	}
	var writers sync.WaitGroup
	for worker := range 6 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range 300 {
				uuid := fmt.Sprintf("u%02d", 2+random.IntN(18)) // never one of the two that are pinned
				switch random.IntN(12) {
				case 0:
					_, err := c.Pin(ctx, uuid)
					if code := lake.CodeOf(err); err != nil && code != lake.CodeCacheFull && code != lake.CodeCancelled && code != lake.CodeWorkerDied {
						t.Errorf("pin: %v", err)
					}
				case 1:
					if _, err := c.Unpin(ctx, uuid); err != nil {
						t.Errorf("unpin: %v", err)
					}
				case 2:
					if _, err := c.Evict(ctx, uuid); err != nil {
						t.Errorf("evict: %v", err)
					}
				case 3:
					w.grow(uuid, MB)
				case 4:
					w.commit(uuid, int64(5+random.IntN(80))*MB)
				case 5:
					if worker == 0 && random.IntN(5) == 0 {
						w.kill()
					}
				default:
					c.Used(uuid, w.hot()[uuid])
				}
			}
		})
	}
	writers.Wait()
	// After a worker died, what was pinned besides may have come back first, and grown.
	for i := range 18 {
		if _, err := c.Unpin(ctx, fmt.Sprintf("u%02d", 2+i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.EvictAll(ctx, false); err != nil {
		t.Fatal(err)
	}
	for _, uuid := range w.dropped() {
		if uuid == "u00" || uuid == "u01" {
			t.Errorf("the pinned %s was dropped", uuid)
		}
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if hot := w.hot(); hot["u00"] && hot["u01"] {
			break
		}
		if time.Since(began) > 20*time.Second {
			s, err := c.Stats(ctx)
			t.Fatalf("the pins are not back: %+v, %v", s, err)
		}
	}
	cancel()
	group.Wait()
	if w.mu.most == 0 || w.mu.most > w.budget {
		t.Errorf("at most %d of %d bytes were used", w.mu.most, w.budget)
	}
	t.Logf("at most %d of %d bytes were used", w.mu.most, w.budget)
}

package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/cache"
	"tarn/internal/results"
)

// cacheMetrics are the cache's figures for Prometheus, as of its last look at the
// worker: the same that stats gives.
type cacheMetrics struct {
	cache   *cache.Cache
	results *results.Cache

	resultUsed, resultHits, resultMisses         *prometheus.Desc
	heldRows, heldHits                           *prometheus.Desc
	budget, used, hits, misses, loads, evictions *prometheus.Desc
	hot, pinned, rows, bytes, uses, lastUsed     *prometheus.Desc // by dataset
}

func newCacheMetrics(c *cache.Cache, r *results.Cache) *cacheMetrics {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tarn_cache_"+name, help, labels, nil)
	}
	return &cacheMetrics{
		cache: c, results: r,
		resultUsed:   of("results_used_bytes", "Answers that are kept to be given again."),
		resultHits:   of("results_hits_total", "Queries that were answered as before, as nothing had changed."),
		resultMisses: of("results_misses_total", "Queries that were not."),

		heldRows: of("results_held_rows", "Rows of datasets that are held whole, to be read by their keys."),
		heldHits: of("results_held_hits_total", "Reads by key that were answered from rows that are held."),

		budget:    of("budget_bytes", "What images and answers that are kept may take."),
		used:      of("used_bytes", "All that the budget counts."),
		hits:      of("hits_total", "Datasets named by queries and answered from an image."),
		misses:    of("misses_total", "Datasets named by queries and answered from files."),
		loads:     of("loads_total", "Images loaded."),
		evictions: of("evictions_total", "Images that left by the policy, by request, or for want of room."),
		hot:       of("dataset_hot", "1 where the dataset has an image.", "dataset"),
		pinned:    of("dataset_pinned", "1 where the dataset is pinned.", "dataset"),
		rows:      of("dataset_rows", "Rows of the dataset's image.", "dataset"),
		bytes:     of("dataset_bytes", "Bytes of the dataset's image.", "dataset"),
		uses:      of("dataset_hits_total", "Queries that named the dataset and were answered from its image.", "dataset"),
		lastUsed:  of("dataset_last_used_timestamp_seconds", "When a query last named the dataset; absent before the first.", "dataset"),
	}
}

// Describe implements prometheus.Collector.
func (m *cacheMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.resultUsed, m.resultHits, m.resultMisses, m.heldRows, m.heldHits, m.budget, m.used, m.hits, m.misses, m.loads, m.evictions, m.hot, m.pinned, m.rows, m.bytes, m.uses, m.lastUsed} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *cacheMetrics) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	s := m.cache.Snapshot()
	r := m.results.Stats()
	send(m.resultUsed, prometheus.GaugeValue, float64(r.UsedBytes))
	send(m.resultHits, prometheus.CounterValue, float64(r.Hits))
	send(m.resultMisses, prometheus.CounterValue, float64(r.Misses))
	send(m.heldRows, prometheus.GaugeValue, float64(r.HeldRows))
	send(m.heldHits, prometheus.CounterValue, float64(r.HeldHits))
	send(m.budget, prometheus.GaugeValue, float64(s.BudgetBytes+r.BudgetBytes))
	send(m.used, prometheus.GaugeValue, float64(s.UsedBytes+r.UsedBytes))
	send(m.hits, prometheus.CounterValue, float64(s.Hits))
	send(m.misses, prometheus.CounterValue, float64(s.Misses))
	send(m.loads, prometheus.CounterValue, float64(s.Loads))
	send(m.evictions, prometheus.CounterValue, float64(s.Evictions))
	for _, e := range s.Datasets {
		send(m.hot, prometheus.GaugeValue, oneIf(e.State == cache.StateHot), e.Dataset)
		send(m.pinned, prometheus.GaugeValue, oneIf(e.Pinned), e.Dataset)
		send(m.rows, prometheus.GaugeValue, float64(e.Rows), e.Dataset)
		send(m.bytes, prometheus.GaugeValue, float64(e.Bytes), e.Dataset)
		send(m.uses, prometheus.CounterValue, float64(e.Hits), e.Dataset)
		if e.LastUsed != nil {
			send(m.lastUsed, prometheus.GaugeValue, float64(e.LastUsed.UnixMilli())/1000, e.Dataset)
		}
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

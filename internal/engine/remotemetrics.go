package engine

import "github.com/prometheus/client_golang/prometheus"

// remoteMetrics are the figures of a lake in a bucket.
func (e *Engine) remoteMetrics(reg *prometheus.Registry) {
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter := func(name, help string, value func() int64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	disk := e.remote.disk
	gauge("tarn_disk_cache_budget_bytes", "What files of the bucket may take of the disk.", func() float64 { return float64(disk.Stats().BudgetBytes) })
	gauge("tarn_disk_cache_used_bytes", "What they take.", func() float64 { return float64(disk.Stats().UsedBytes) })
	gauge("tarn_disk_cache_held_bytes", "Of it, files that cannot leave now.", func() float64 { return float64(disk.Stats().HeldBytes) })
	gauge("tarn_disk_cache_files", "Files of the bucket on the disk.", func() float64 { return float64(disk.Stats().Files) })
	counter("tarn_disk_cache_hits_total", "Files that were asked for and were there.", func() int64 { return disk.Stats().Hits })
	counter("tarn_disk_cache_misses_total", "Files that were asked for and fetched.", func() int64 { return disk.Stats().Misses })
	counter("tarn_disk_cache_filled_bytes_total", "Bytes fetched.", func() int64 { return disk.Stats().FilledBytes })
	counter("tarn_disk_cache_evictions_total", "Files that left for others.", func() int64 { return disk.Stats().Evictions })
	counter("tarn_disk_cache_refilled_total", "Files that were not as they should be, and were fetched anew.", func() int64 { return disk.Stats().Refilled })
	gauge("tarn_store_up", "1 where the bucket answers.", func() float64 { return oneIf(!e.remote.down()) })
	gauge("tarn_store_unchecked_seconds", "Since the last look whether another server took the lake over.", func() float64 { return e.unchecked().Seconds() })
	gauge("tarn_fenced", "1 where another server took the lake over.", func() float64 { return oneIf(e.fencedOff() != nil) })
}

package engine

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/worker"
)

// WorkersInfo is what happened to the processes that answer queries, and WorkerLife
// one of them.
type (
	WorkersInfo = worker.Workers
	WorkerLife  = worker.Life
)

// Workers tells of the workers that live and of the last that died.
func (e *Engine) Workers(ctx context.Context) (WorkersInfo, error) {
	return e.worker.Workers(ctx), nil
}

// workerMetrics are the same figures for Prometheus. A scrape asks no worker: what
// only a worker knows is as of its last answer.
type workerMetrics struct {
	worker *worker.Supervisor

	ready, failures, generation, retried, again, refused, deaths *prometheus.Desc
	resident, images, dataLimit, walls                           *prometheus.Desc
}

func newWorkerMetrics(w *worker.Supervisor) *workerMetrics {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tarn_worker_"+name, help, labels, nil)
	}
	return &workerMetrics{
		worker:     w,
		ready:      of("ready", "1 where a worker answers queries."),
		failures:   of("failures", "Starts in a row that failed or did not last; 3 are a crash loop."),
		generation: of("generation", "Number of the newest worker, from 1."),
		retried:    of("queries_retried_total", "Queries sent to a second worker, as the first died before it had sent anything."),
		again:      of("queries_retried_for_memory_total", "Queries that a worker ran once more, as they had run out of memory beside others."),
		refused:    of("queries_refused_total", "Queries refused as workers had died twice under them."),
		deaths:     of("deaths_total", "Workers that ended unasked, by reason.", "reason"),
		resident:   of("resident_bytes", "Memory of all living workers, as the system counts it."),
		images:     of("image_bytes", "Of it the datasets in memory."),
		dataLimit:  of("data_limit_bytes", "The memory limit of the newest worker's process; 0: none."),
		walls:      of("wall", "1 where the wall around the newest worker stands.", "wall"),
	}
}

func (m *workerMetrics) all() []*prometheus.Desc {
	return []*prometheus.Desc{m.ready, m.failures, m.generation, m.retried, m.again, m.refused, m.deaths, m.resident, m.images, m.dataLimit, m.walls}
}

// Describe implements prometheus.Collector.
func (m *workerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range m.all() {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *workerMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	w := m.worker.Counts()
	gauge(m.ready, truth(w.Ready))
	gauge(m.failures, float64(w.Failures))
	counter(m.retried, w.Retried)
	counter(m.again, w.RetriedForMemory)
	counter(m.refused, w.Refused)
	for _, reason := range worker.Ends() {
		counter(m.deaths, w.Deaths[reason], reason)
	}
	var resident, images int64
	for _, l := range w.Generations {
		resident, images = resident+l.ResidentBytes, images+l.ImageBytes
	}
	gauge(m.resident, float64(resident))
	gauge(m.images, float64(images))
	if len(w.Generations) == 0 {
		return
	}
	newest := w.Generations[0]
	gauge(m.generation, float64(newest.Generation))
	gauge(m.dataLimit, float64(newest.Walls.DataLimitBytes))
	gauge(m.walls, truth(newest.Walls.LandlockABI > 0), "landlock")
	gauge(m.walls, truth(newest.Walls.Seccomp), "seccomp")
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

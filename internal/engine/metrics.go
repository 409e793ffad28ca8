package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/compaction"
	"tarn/internal/lake"
)

// metrics are the lake's figures for Prometheus. What is a state is read from it
// when asked for; what happens is counted here.
type metrics struct {
	queries       *prometheus.CounterVec
	querySeconds  prometheus.Histogram
	changeRows    *prometheus.CounterVec
	feedRows      prometheus.Counter
	jobs          *prometheus.CounterVec
	foldedDeltas  prometheus.Counter
	rewrittenSize prometheus.Counter
}

func newMetrics(e *Engine, reg *prometheus.Registry) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tarn_queries_total", Help: "Queries by the code they ended with; ok for those that began to answer.",
		}, []string{"code"}),
		querySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tarn_query_first_byte_seconds", Help: "Time to a query's first byte, waiting included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}),
		changeRows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tarn_changes_rows_total", Help: "Acknowledged changes by dataset.",
		}, []string{"dataset"}),
		feedRows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tarn_feed_rows_total", Help: "Changes that were sent by change feeds.",
		}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tarn_jobs_total", Help: "Ended jobs by kind and state.",
		}, []string{"kind", "state"}),
		foldedDeltas: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tarn_compaction_deltas_total", Help: "Deltas folded into bases.",
		}),
		rewrittenSize: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tarn_compaction_rewritten_bytes", Help: "Bytes of base files that compactions rewrote.",
		}),
	}
	reg.MustRegister(m.queries, m.querySeconds, m.changeRows, m.feedRows, m.jobs, m.foldedDeltas, m.rewrittenSize)
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("tarn_datasets", "Datasets in the lake.", func() float64 { return float64(len(e.members())) })
	gauge("tarn_pending_deltas", "Pending deltas with changes, all datasets.", func() float64 {
		deltas, _ := e.pending()
		return float64(deltas)
	})
	gauge("tarn_pending_bytes", "Bytes of pending deltas, all datasets.", func() float64 {
		_, bytes := e.pending()
		return float64(bytes)
	})
	gauge("tarn_queries_running", "Queries that run or wait.", func() float64 { return float64(len(e.queries.List())) })
	gauge("tarn_feeds_open", "Change feeds that are being read.", func() float64 { return float64(e.feeds.count()) })
	gauge("tarn_worker_restarts", "Workers after the first.", func() float64 { return float64(e.worker.Stats().Restarts) })
	if e.follower != nil {
		gauge("tarn_follow_staleness_seconds", "How old the answers of a follower may be.", func() float64 {
			now, _ := e.Following()
			return now.Staleness().Seconds()
		})
	}
	reg.MustRegister(newCacheMetrics(e.cache, e.results), newWorkerMetrics(e.worker))
	if e.remote != nil {
		e.remoteMetrics(reg)
	}
	return m
}

func (e *Engine) pending() (deltas int, bytes int64) {
	for _, m := range e.members() {
		d, _, b := m.ds.State().PendingSize()
		deltas, bytes = deltas+d, bytes+b
	}
	return deltas, bytes
}

func (m *metrics) queried(took time.Duration, err error) {
	code := "ok"
	if err != nil {
		code = string(lake.CodeOf(err))
	}
	m.queries.WithLabelValues(code).Inc()
	m.querySeconds.Observe(took.Seconds())
}

func (m *metrics) changed(name lake.Name, rows int64) {
	m.changeRows.WithLabelValues(name.String()).Add(float64(rows))
}

func (m *metrics) fed(rows int64) { m.feedRows.Add(float64(rows)) }

func (m *metrics) jobEnded(kind string, state JobState) {
	m.jobs.WithLabelValues(kind, string(state)).Inc()
}

func (m *metrics) compacted(out compaction.Outcome) {
	m.foldedDeltas.Add(float64(out.Plan.DeltasWithChanges))
	m.rewrittenSize.Add(float64(out.Plan.RewriteBytes))
}

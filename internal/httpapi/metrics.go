package httpapi

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what HTTP itself counts; the engine's parts register their own.
type metrics struct {
	requests  *prometheus.CounterVec   // route, method, status
	seconds   *prometheus.HistogramVec // route, method
	aborted   *prometheus.CounterVec   // route, method: ended without the last chunk
	inFlight  prometheus.Gauge
	sentBytes prometheus.Counter
}

// newMetrics registers them. A registry that already has them, from a handler
// made before, shares them.
func newMetrics(reg *prometheus.Registry) *metrics {
	return &metrics{
		requests: registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tarn_http_requests_total", Help: "Requests that ended, by route, method and status.",
		}, []string{"route", "method", "status"})),
		seconds: registered(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tarn_http_request_seconds", Help: "Time of requests, sending included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"route", "method"})),
		aborted: registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tarn_http_aborted_total", Help: "Answers that ended without the last chunk: an error after the first byte, or a client that went away.",
		}, []string{"route", "method"})),
		inFlight: registered(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tarn_http_in_flight", Help: "Requests being served.",
		})),
		sentBytes: registered(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tarn_http_sent_bytes_total", Help: "Bytes of bodies sent.",
		})),
	}
}

// registered registers c, or gives the collector that the registry has in its
// place.
func registered[C prometheus.Collector](reg *prometheus.Registry, c C) C {
	err := reg.Register(c)
	var twice prometheus.AlreadyRegisteredError
	if errors.As(err, &twice) {
		if old, ok := twice.ExistingCollector.(C); ok {
			return old
		}
	}
	if err != nil {
		panic(err) // two collectors of one name: a defect of the program
	}
	return c
}

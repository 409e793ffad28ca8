package bench

import (
	"slices"
	"time"
)

// Times are how long repeats of one thing took.
type Times struct {
	Runs     int     `json:"runs"`
	MedianMS float64 `json:"median_ms"`
	P10MS    float64 `json:"p10_ms"`
	P90MS    float64 `json:"p90_ms"`
	P99MS    float64 `json:"p99_ms"`
}

// timesOf sums repeats up; nothing at all for none.
func timesOf(took []time.Duration) Times {
	if len(took) == 0 {
		return Times{}
	}
	sorted := slices.Sorted(slices.Values(took))
	at := func(p float64) float64 { return ms(percentile(sorted, p)) }
	return Times{Runs: len(sorted), MedianMS: at(50), P10MS: at(10), P90MS: at(90), P99MS: at(99)}
}

// percentile is the value that p percent of sorted are at or below (nearest
// rank); with an even number the median is the lower of the middle two.
func percentile(sorted []time.Duration, p float64) time.Duration {
	rank := int(p/100*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// ratioOf is the median of the ratios of each round. The two runs of a round are
// close in time, so what else the machine does then mostly hits both.
func ratioOf(took, of []time.Duration) float64 {
	ratios := make([]float64, len(took))
	for i := range took {
		ratios[i] = over(float64(took[i]), float64(of[i]))
	}
	slices.Sort(ratios)
	if n := len(ratios); n > 0 {
		return ratios[(n-1)/2]
	}
	return 0
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// over divides, and is 0 where there is nothing to divide by.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

package bench

import (
	"testing"
	"time"
)

func TestTimesOf(t *testing.T) {
	of := func(ms ...int) (out []time.Duration) {
		for _, m := range ms {
			out = append(out, time.Duration(m)*time.Millisecond)
		}
		return out
	}
	hundred := of()
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	for _, c := range []struct {
		name string
		took []time.Duration
		want Times
	}{
		{"none", nil, Times{}},
		{"one", of(7), Times{Runs: 1, MedianMS: 7, P10MS: 7, P90MS: 7, P99MS: 7}},
		{"two: the lower is the median", of(9, 3), Times{Runs: 2, MedianMS: 3, P10MS: 3, P90MS: 9, P99MS: 9}},
		{"three, unsorted", of(5, 1, 3), Times{Runs: 3, MedianMS: 3, P10MS: 1, P90MS: 5, P99MS: 5}},
		{"a hundred, backwards", hundred, Times{Runs: 100, MedianMS: 50, P10MS: 10, P90MS: 90, P99MS: 99}},
	} {
		if got := timesOf(c.took); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestTimesOfLeavesTheRepeatsInOrder(t *testing.T) {
	took := []time.Duration{3, 1, 2}
	timesOf(took)
	if took[0] != 3 || took[1] != 1 || took[2] != 2 {
		t.Errorf("sorted in place: %v", took)
	}
}

// A round in which everything was slow, or one run alone, moves a ratio little.
func TestRatioOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		took, of []time.Duration
		want     float64
	}{
		{"none", nil, nil, 0},
		{"one", []time.Duration{3}, []time.Duration{2}, 1.5},
		{"slow rounds", []time.Duration{10, 1000, 10, 5000, 10}, []time.Duration{20, 2000, 20, 10000, 20}, 0.5},
		{"one run alone", []time.Duration{10, 900, 10}, []time.Duration{20, 20, 20}, 0.5},
		{"two: the lower", []time.Duration{2, 8}, []time.Duration{1, 1}, 2},
		{"a clock that stood still", []time.Duration{2}, []time.Duration{0}, 0},
	} {
		if got := ratioOf(c.took, c.of); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

package access

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tarn/internal/lake"
)

// Limits bound one token's requests; 0 is no limit.
type Limits struct {
	RequestsPerSecond float64
	Burst             int // requests at once above the rate; 0: as many as a second has
	Concurrent        int
	BodyBytes         int64
}

// meter counts against the limits. It outlives a reload of the file that does not
// change them.
type meter struct {
	limits  Limits
	rate    *rate.Limiter // nil: none
	running atomic.Int64
}

func newMeter(l Limits) *meter {
	m := &meter{limits: l}
	if l.RequestsPerSecond > 0 {
		burst := l.Burst
		if burst <= 0 {
			burst = max(1, int(math.Ceil(l.RequestsPerSecond)))
		}
		m.rate = rate.NewLimiter(rate.Limit(l.RequestsPerSecond), burst)
	}
	return m
}

// Enter admits one request, which calls leave at its end. Where it is refused
// (CodeRateLimited), retry is when the next may come.
func (p *Principal) Enter(now time.Time) (leave func(), retry time.Duration, err error) {
	m := p.meter
	if most := int64(m.limits.Concurrent); m.running.Add(1) > most && most > 0 {
		m.running.Add(-1)
		return nil, time.Second, lake.Errorf(lake.CodeRateLimited, "%d requests of the token %s run, which is its limit", most, p.ID).
			WithHint("wait for the others to end")
	}
	if m.rate != nil {
		r := m.rate.ReserveN(now, 1)
		if wait := r.DelayFrom(now); wait > 0 {
			r.CancelAt(now)
			m.running.Add(-1)
			return nil, wait, lake.Errorf(lake.CodeRateLimited, "the token %s has a limit of %g requests a second", p.ID, m.limits.RequestsPerSecond).
				WithHint("Retry-After says when to try again")
		}
	}
	return func() { m.running.Add(-1) }, 0, nil
}

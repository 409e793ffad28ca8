package bench

import "fmt"

// Verdict says whether a goal was reached.
type Verdict string

// NotMeasured is the verdict of a goal whose parts did not run, whose data were
// too few to say, or whose figure cannot be right.
const (
	Reached     Verdict = "reached"
	NotReached  Verdict = "not reached"
	NotMeasured Verdict = "not measured"
)

// Goal is a figure aimed at on 2 cores, and what this run says about it.
type Goal struct {
	Goal     string  `json:"goal"`
	Unit     string  `json:"unit"` // "times", "MB", "ms", "rows/s"
	Most     float64 `json:"at_most,omitempty"`
	Least    float64 `json:"at_least,omitempty"`
	Measured float64 `json:"measured,omitempty"`
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why,omitempty"` // it was not measured
}

// Bytes of small images say nothing about large ones: below this scale a row
// group is not full.
const telling = 1.0

// judge fills the goals in from what was measured.
func (r *Report) judge() {
	r.atMost("hot join, of DuckDB's table in memory", "times", 0.8, r.ratio(Hot, "join", clean0))
	r.atMost("hot group by, of DuckDB's table in memory", "times", 0.8, r.ratio(Hot, "group", clean0))
	r.atMost("the same join again, nothing changed, p50", "ms", 0.2, r.median(Hot, "join", tarnAgain, clean0))
	r.atMost("1.1M rows in memory", "MB", 25, r.heldMB())
	for _, q := range queries {
		r.atMost("hot with 10% changed, of clean: "+q.Name, "times", 1.1, r.ofClean(Hot, q.Name))
	}
	for _, q := range queries {
		most := 4.0
		if q.Name == "join" {
			most = 1.6
		}
		r.atMost("cold with 10% changed, of clean: "+q.Name, "times", most, r.ofClean(Cold, q.Name))
	}
	hot, wrote := r.written(Hot)
	r.atMost("single-row upsert into 1M hot rows, p50", "ms", 5, figure{value: hot.One.MedianMS, there: wrote})
	r.atLeast(fmt.Sprintf("%d writers beside a stream of joins, hot", hot.writers()), "rows/s", 5_000, figure{value: hot.WithJoins.PerS, there: wrote})
	r.atLeast("load of an image", "rows/s", 2_000_000, r.imageLoad())
}

// figure is a number that may not have been measured.
type figure struct {
	value float64
	there bool
	doubt string // why it cannot be right
}

func (r *Report) atMost(goal, unit string, most float64, f figure) {
	r.goal(Goal{Goal: goal, Unit: unit, Most: most}, f, f.value <= most)
}

func (r *Report) atLeast(goal, unit string, least float64, f figure) {
	r.goal(Goal{Goal: goal, Unit: unit, Least: least}, f, f.value >= least)
}

func (r *Report) goal(g Goal, f figure, reached bool) {
	switch {
	case !f.there:
		g.Verdict = NotMeasured
	case f.doubt != "":
		g.Verdict, g.Why, g.Measured = NotMeasured, f.doubt, f.value
	case r.Scale < telling:
		g.Verdict, g.Why, g.Measured = NotMeasured, "the goal is for scale 1", f.value
	case reached:
		g.Verdict, g.Measured = Reached, f.value
	default:
		g.Verdict, g.Measured = NotReached, f.value
	}
	r.Goals = append(r.Goals, g)
}

func (r *Report) ratio(state State, query, data string) figure {
	t, ok := r.timing(state, query, tarn, data)
	return figure{value: t.Ratio, there: ok}
}

func (r *Report) median(state State, query, system, data string) figure {
	t, ok := r.timing(state, query, system, data)
	return figure{value: t.MedianMS, there: ok}
}

func (r *Report) ofClean(state State, query string) figure {
	t, ok := r.timing(state, query, tarn, changed10)
	return figure{value: t.OfClean, there: ok}
}

func (r *Report) heldMB() figure {
	h, ok := r.heldOf(tarn, clean0)
	return figure{value: float64(h.Bytes) / 1e6, there: ok, doubt: r.HeldDoubt}
}

func (r *Report) imageLoad() figure {
	for _, l := range r.Loads {
		if l.What == "image" {
			return figure{value: l.PerS, there: true}
		}
	}
	return figure{}
}

func (r *Report) written(state State) (Writes, bool) {
	for _, w := range r.Writes {
		if w.State == state {
			return w, true
		}
	}
	return Writes{}, false
}

// writers is how many there were, or are by default where none wrote.
func (w Writes) writers() int {
	if w.Writers == 0 {
		return Defaults().Writers
	}
	return w.Writers
}

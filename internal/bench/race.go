package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// entrant is a subject with the rows that it is asked for.
type entrant struct {
	System  string
	Rows    string // the namespace: clean, changed_1, changed_10
	subject subject
	only    []string               // the queries that it runs, nil for all
	request func(round int) string // makes their text, nil: as for everyone
}

// Timing is how fast one entrant answered one query in a race.
type Timing struct {
	State  State  `json:"state"`
	Query  string `json:"query"`
	System string `json:"system"`
	Data   string `json:"data"` // clean, changed_1, changed_10
	Times
	// Ratio is that to the section's first entrant, a plain DuckDB: the median of
	// the ratios of each round.
	Ratio float64 `json:"ratio"`
	// OfClean is, in the same way, that to the same system on clean rows; only for
	// the lake, and rows that changes are pending of.
	OfClean float64 `json:"of_clean,omitempty"`
}

// WrongAnswer is two entrants that disagree about the same rows.
type WrongAnswer struct {
	Query, SQL   string
	System, Data string
	Got, Want    string
}

func (w *WrongAnswer) Error() string {
	return fmt.Sprintf("wrong answer: %s on %s answered %s to the query %q, and DuckDB answered %s: %s", w.System, w.Data, w.Got, w.Query, w.Want, w.SQL)
}

// race asks every entrant a query in turns. Each round begins with another
// entrant, so that nobody always follows the same; the first rounds warm up and
// do not count.
func (b *bench) race(ctx context.Context, state State, q query, entrants []entrant) ([]Timing, error) {
	var in []entrant
	for _, e := range entrants {
		if e.only == nil || slices.Contains(e.only, q.Name) {
			in = append(in, e)
		}
	}
	took := make([][]time.Duration, len(in))
	for round := range b.warmups() + b.o.Rounds {
		answers := make([]answer, len(in))
		for i := range in {
			at := (i + round) % len(in)
			a, err := in[at].subject.run(ctx, b.text(q, in[at], round))
			if err != nil {
				return nil, fmt.Errorf("%s on %s: query %q: %w", in[at].System, in[at].Rows, q.Name, err)
			}
			answers[at] = a
			if round >= b.warmups() {
				took[at] = append(took[at], a.Took)
			}
		}
		if err := b.compare(q, round, in, answers); err != nil {
			return nil, err
		}
	}
	return timings(state, q, in, took), nil
}

func (b *bench) text(q query, e entrant, round int) string {
	if e.request != nil {
		return e.request(round)
	}
	return q.in(e.Rows, round, b.candidates)
}

// compare holds all answers about the same rows against the first of them.
func (b *bench) compare(q query, round int, in []entrant, answers []answer) error {
	first := map[string]digest{}
	for i, e := range in {
		want, ok := first[e.Rows]
		if !ok {
			first[e.Rows] = answers[i].digest
			continue
		}
		b.compared++
		if answers[i].digest != want {
			return &WrongAnswer{Query: q.Name, SQL: b.text(q, e, round), System: e.System, Data: e.Rows, Got: answers[i].String(), Want: want.String()}
		}
	}
	return nil
}

func timings(state State, q query, in []entrant, took [][]time.Duration) []Timing {
	out := make([]Timing, len(in))
	clean := map[string]int{}
	for i, e := range in {
		out[i] = Timing{State: state, Query: q.Name, System: e.System, Data: e.Rows, Times: timesOf(took[i]), Ratio: ratioOf(took[i], took[0])}
		if e.Rows == clean0 {
			clean[e.System] = i
		}
	}
	for i, e := range in {
		if at, ok := clean[e.System]; ok && e.Rows != clean0 && isTarn(e.System) {
			out[i].OfClean = ratioOf(took[i], took[at])
		}
	}
	return out
}

package worker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"tarn/internal/walls"
)

// The states of a generation.
const (
	LifeStarting = "starting" // it hears its replay
	LifeServing  = "serving"
	LifeDraining = "draining" // replaced; it ends its queries
	LifeDead     = "dead"
)

// How a generation came to its end.
const (
	EndHung       = "hung"          // a query, or all of it, did not end
	EndMemory     = "out_of_memory" // it ran into its memory limit beyond what DuckDB bounds
	EndFatal      = "fatal"         // DuckDB could not go on
	EndKilled     = "killed"        // by a signal: the system's, for want of memory, or somebody's
	EndExited     = "exited"        // by itself, such as by a crash
	EndNotStarted = "not_started"   // it never served
)

// Ends gives every way in which a generation can end.
func Ends() []string {
	return []string{EndHung, EndMemory, EndFatal, EndKilled, EndExited, EndNotStarted}
}

// Life is one generation as operators see it.
type Life struct {
	Generation int64      `json:"generation"`
	PID        int        `json:"pid,omitempty"`
	State      string     `json:"state"` // starting, serving, draining, dead
	Started    time.Time  `json:"started"`
	Ended      *time.Time `json:"ended,omitempty"`
	// Reason is how a dead one ended, or why one is being replaced: hung,
	// out_of_memory, fatal, killed, exited, not_started.
	Reason        string           `json:"reason,omitempty"`
	LastWords     string           `json:"last_words,omitempty"`     // of a dead one: its exit status and the head of what it wrote
	Queries       int64            `json:"queries"`                  // sent to it
	Running       int64            `json:"running"`                  // that it has not ended
	ResidentBytes int64            `json:"resident_bytes,omitempty"` // of its process, as the system counts
	ImageBytes    int64            `json:"image_bytes,omitempty"`    // of datasets in memory
	Memory        map[string]int64 `json:"memory,omitempty"`         // DuckDB's own count by its tags
	Walls         walls.Report     `json:"walls"`
}

// Workers is what happened to workers since Start, with those that live and the
// last that died.
type Workers struct {
	Ready     bool       `json:"ready"`
	Reason    string     `json:"reason,omitempty"`     // why not
	Failures  int        `json:"failures,omitempty"`   // starts in a row that failed or did not last
	NextStart *time.Time `json:"next_start,omitempty"` // while starts are held back after failures
	Restarts  int64      `json:"restarts"`             // generations after the first
	Queries   int64      `json:"queries"`              // asked for
	Retried   int64      `json:"retried"`              // sent to a second worker, as the first died before it had sent anything
	// RetriedForMemory are queries that a worker ran once more, as they had run out of
	// memory beside others.
	RetriedForMemory int64            `json:"retried_for_memory"`
	Refused          int64            `json:"refused"`     // as a worker had died twice under them
	Deaths           map[string]int64 `json:"deaths"`      // by reason
	Generations      []Life           `json:"generations"` // newest first
}

// keptLives is how many dead generations are remembered.
const keptLives = 20

// lastWordsBytes bounds what is kept of a dead worker's stderr; the log has more.
const lastWordsBytes = 2 << 10

// life is the generation as it stands, but for what only its process knows.
func (g *generation) life() Life {
	l := Life{Generation: g.number, State: LifeStarting, Started: g.began.UTC(), Queries: g.sent.Load(), Running: g.exchanges.Load()}
	l.PID = int(g.pid.Load())
	if st := g.last.Load(); st != nil {
		l.Walls = st.Walls
	}
	if g.ready.Load() {
		l.State = LifeServing
	}
	select {
	case <-g.hung:
		l.State, l.Reason = LifeDraining, EndHung
	default:
	}
	return l
}

// endOf is the kind of a dead generation's end. Its process is reaped.
func (g *generation) endOf() (reason, words string) {
	cause := context.Cause(g.ctx)
	if g.proc == nil {
		return EndNotStarted, cause.Error()
	}
	words = clip(g.cause(cause).Error(), lastWordsBytes)
	select {
	case <-g.hung:
		return EndHung, words
	default:
	}
	code, signalled := g.proc.ended()
	switch {
	case strings.Contains(words, cannotGoOn):
		return EndFatal, words
	case walls.OutOfMemory(g.proc.why()):
		return EndMemory, words
	case !g.ready.Load():
		return EndNotStarted, words
	case code == exitFatal:
		return EndFatal, words
	case signalled:
		return EndKilled, words
	}
	return EndExited, words
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// dead notes, once, the end of a buried generation that was not asked for.
func (s *Supervisor) dead(g *generation) {
	if g.noted.Swap(true) {
		return
	}
	l := g.life()
	now := time.Now().UTC()
	l.State, l.Ended, l.Running = LifeDead, &now, 0
	l.Reason, l.LastWords = g.endOf()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.living, g)
	s.mu.deaths[l.Reason]++
	s.mu.past = append(s.mu.past, l)
	if over := len(s.mu.past) - keptLives; over > 0 {
		s.mu.past = slices.Delete(s.mu.past, 0, over)
	}
}

// Counts gives Workers without asking the workers: of the living only what the
// system and the last answer say.
func (s *Supervisor) Counts() Workers {
	h, st := s.Health(), s.Stats()
	w := Workers{
		Ready: h.Ready, Reason: h.Reason, Failures: h.Failures, NextStart: h.NextStart,
		Restarts: st.Restarts, Queries: st.Queries, Retried: st.Retried, RetriedForMemory: st.RetriedForMemory, Refused: s.refused.Load(),
	}
	s.mu.Lock()
	w.Deaths = maps.Clone(s.mu.deaths)
	w.Generations = slices.Clone(s.mu.past)
	living := slices.Collect(maps.Keys(s.mu.living))
	s.mu.Unlock()
	for _, g := range living {
		l := g.life()
		if s.o.Command != nil && l.PID != 0 {
			l.ResidentBytes = residentBytes(l.PID)
		}
		if last := g.last.Load(); last != nil {
			l.ImageBytes, l.Memory = last.ImageBytes, last.Memory
		}
		w.Generations = append(w.Generations, l)
	}
	slices.SortFunc(w.Generations, func(a, b Life) int { return cmp.Compare(b.Generation, a.Generation) })
	return w
}

// Workers asks the living and gives what is known of all.
func (s *Supervisor) Workers(ctx context.Context) Workers {
	s.mu.Lock()
	living := slices.Collect(maps.Keys(s.mu.living))
	s.mu.Unlock()
	for _, g := range living {
		if g.alive() && g.ready.Load() {
			ctx, stop := context.WithTimeout(ctx, callTimeout)
			_, _ = g.status(ctx) // of one that does not answer the last answer is shown
			stop()
		}
	}
	return s.Counts()
}

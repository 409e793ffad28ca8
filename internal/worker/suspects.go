package worker

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"tarn/internal/lake"
)

// suspects remembers which queries were running when a worker died. One that
// was in flight at two deaths, and never ended well in between, is refused from
// then on, for this process's life: it may be what kills. Queries are known by
// SQL, parameters and the datasets that there are for them.
//
// So that the one that kills does not take those with it that merely ran beside it,
// suspects are on probation: they begin one by one.
type suspects struct {
	turn chan struct{} // held by the one on probation

	mu struct {
		sync.Mutex
		deaths  map[suspect]int64 // the generation that died under it
		refused map[suspect]struct{}
	}
}

type suspect [sha256.Size]byte

func suspectOf(req QueryRequest) suspect {
	h := sha256.New()
	h.Write([]byte(req.SQL))
	h.Write([]byte{0})
	h.Write(req.Params)
	if req.Visible != nil { // who sees less must not learn what kills for others
		h.Write([]byte{0})
		_ = json.NewEncoder(h).Encode(req.Visible) // names, which always encode
	}
	if req.Get != nil {
		h.Write([]byte{0})
		h.Write([]byte(req.Get.TableUUID))
		h.Write(req.Get.Keys)
	}
	return suspect(h.Sum(nil))
}

func newSuspects() *suspects {
	s := &suspects{turn: make(chan struct{}, 1)}
	s.mu.deaths = map[suspect]int64{}
	s.mu.refused = map[suspect]struct{}{}
	return s
}

// probation is how long a suspect runs before the next one begins, unless it ends
// before: what asks for too much memory has it by then.
const probation = 2 * time.Second

// turn is a suspect's, or nothing at all.
type turn struct {
	leave func() // may be called twice
	begin func() // says that the query is sent now
}

// enter waits for a suspect's turn; others go on at once.
func (s *suspects) enter(ctx context.Context, q suspect) (turn, error) {
	s.mu.Lock()
	_, suspected := s.mu.deaths[q]
	s.mu.Unlock()
	if !suspected {
		return turn{leave: func() {}, begin: func() {}}, nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return turn{}, ended(context.Cause(ctx))
	}
	leave := sync.OnceFunc(func() { <-s.turn })
	// A start of the worker before it is no part of the time.
	return turn{leave: leave, begin: func() { time.AfterFunc(probation, leave) }}, nil
}

// died notes a death under the query and gives an error when it is the second.
func (s *suspects) died(q suspect, generation int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.mu.refused[q]; !ok {
		before, ok := s.mu.deaths[q]
		if !ok || before == generation {
			s.mu.deaths[q] = generation
			return nil
		}
		delete(s.mu.deaths, q)
		s.mu.refused[q] = struct{}{}
	}
	return errRefused()
}

// ended notes that the worker lived through the query.
func (s *suspects) ended(q suspect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.deaths, q)
}

// check fails for a query that is refused.
func (s *suspects) check(q suspect) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.mu.refused[q]; ok {
		return errRefused()
	}
	return nil
}

func errRefused() error {
	return lake.Errorf(lake.CodeWorkerDied, "the worker died twice under this query: it is not run again until the server restarts").
		WithHint("ask for less at once; the server's log says how the worker ended")
}

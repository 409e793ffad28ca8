package engine

import (
	"bytes"
	"cmp"
	"io"
	"time"

	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/results"
	"tarn/internal/rows"
)

// again gives an answer that was given before, where the lake stands as it did
// then; else nil.
func (e *Engine) again(q results.Question, r QueryRequest) *Answer {
	began := time.Now()
	until, err := e.queries.Deadline(r.Timeout)
	if err != nil {
		return nil // the runner says why
	}
	entry := e.results.Get(q, e.current)
	if entry == nil {
		return nil
	}
	for _, at := range entry.Head.ReadPoints {
		e.cache.Reused(at.TableUUID)
	}
	took := time.Since(began)
	e.metrics.queried(took, nil)
	tail := rows.Tail{RowCount: entry.RowCount, ElapsedMS: float64(took.Microseconds()) / 1000}
	return &Answer{
		ID: cmp.Or(r.ID, uuid.NewString()), ContentType: entry.ContentType, Head: entry.Head, Deadline: until, Again: true,
		Body: io.NopCloser(io.MultiReader(bytes.NewReader(entry.Body), bytes.NewReader(rows.AppendTail(nil, r.Format, tail)))),
		Tail: func() rows.Tail { return tail },
	}
}

// current says whether the datasets of an answer stand as they did when it was
// given, all at one instant (I2): each under its name, at its read point and
// snapshot, and in memory or not as then.
func (e *Engine) current(head rows.Head) bool {
	is := true
	e.stream.Do(func() []lake.Entry {
		e.mu.RLock()
		defer e.mu.RUnlock()
		for name, at := range head.ReadPoints {
			is = is && e.standsAt(name, at)
		}
		return nil
	})
	for name, at := range head.ReadPoints {
		is = is && e.cache.Hot(at.TableUUID) == (head.ServedFrom[name] == lake.ServedFromImage)
	}
	return is
}

// standsAt says whether a dataset is where an answer read it; e.mu is held.
func (e *Engine) standsAt(name string, at lake.Place) bool {
	n, err := lake.ParseName(name)
	if err != nil {
		return false
	}
	m := e.mu.byName[n.Key()]
	if m == nil {
		return false
	}
	s := m.ds.State()
	now := s.Place()
	return !s.Dropped && s.Name == n && now.ReadPoint == at.ReadPoint && sameSnapshot(now.Snapshot, at.Snapshot)
}

func sameSnapshot(a, b *string) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

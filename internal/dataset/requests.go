package dataset

import (
	"sync"

	"tarn/internal/lake"
)

// Outcome is what a request with an Idempotency-Key came to.
type Outcome struct {
	Hash      string // of the request
	Rows      int64
	ReadPoint lake.ReadPoint
	ETag      string
}

// requests finds the acknowledged requests of a dataset by Idempotency-Key. The
// deltas' footers are its truth; it lives as long as they are kept.
type requests struct {
	mu struct {
		sync.RWMutex
		byKey map[string]Outcome
	}
}

func (r *requests) init() { r.mu.byKey = map[string]Outcome{} }

func (r *requests) add(uuid string, d lake.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range d.Requests {
		if q.Key != "" {
			r.mu.byKey[q.Key] = Outcome{
				Hash: q.Hash, Rows: q.Rows,
				ReadPoint: lake.ReadPoint{TableUUID: uuid, Sequence: d.Sequence},
				ETag:      ETag(uuid, d.Sequence, q.Place),
			}
		}
	}
}

func (r *requests) remove(d lake.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range d.Requests {
		if o, ok := r.mu.byKey[q.Key]; ok && o.ReadPoint.Sequence == d.Sequence {
			delete(r.mu.byKey, q.Key)
		}
	}
}

func (r *requests) find(key string) (Outcome, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	o, ok := r.mu.byKey[key]
	return o, ok
}

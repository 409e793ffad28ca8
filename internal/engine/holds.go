package engine

import "sync"

// holds keep the deltas of tables from being trimmed while somebody reads them: all of
// a table's, or those from a sequence on. The zero value holds nothing.
type holds struct {
	mu struct {
		sync.Mutex
		from   map[string]map[int64]int // by table: how many hold from each sequence on
		barred map[string]int64         // by table: through where it is being trimmed
	}
}

// Add holds all of a table's deltas until the release.
func (h *holds) Add(tableUUID string) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hold(tableUUID, 0)
}

// From holds a table's deltas from a sequence on until the release; ok is false where
// that one is being trimmed.
func (h *holds) From(tableUUID string, sequence int64) (release func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sequence <= h.mu.barred[tableUUID] {
		return nil, false
	}
	return h.hold(tableUUID, sequence), true
}

// hold counts a hold. mu is held.
func (h *holds) hold(tableUUID string, sequence int64) (release func()) {
	if h.mu.from == nil {
		h.mu.from = map[string]map[int64]int{}
	}
	if h.mu.from[tableUUID] == nil {
		h.mu.from[tableUUID] = map[int64]int{}
	}
	h.mu.from[tableUUID][sequence]++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		of := h.mu.from[tableUUID]
		if of[sequence]--; of[sequence] == 0 {
			delete(of, sequence)
		}
		if len(of) == 0 {
			delete(h.mu.from, tableUUID)
		}
	})
}

// Bar keeps From away from a table's deltas through a sequence, or through the last one
// before what is held, and gives that; Unbar ends it.
func (h *holds) Bar(tableUUID string, through int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sequence := range h.mu.from[tableUUID] {
		through = min(through, sequence-1)
	}
	if h.mu.barred == nil {
		h.mu.barred = map[string]int64{}
	}
	h.mu.barred[tableUUID] = through
	return through
}

// Unbar ends a Bar.
func (h *holds) Unbar(tableUUID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.mu.barred, tableUUID)
}

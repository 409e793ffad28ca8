package engine

import "sync"

// holds keeps the deltas of tables from being trimmed while somebody copies them.
// The zero value holds nothing.
type holds struct {
	mu struct {
		sync.Mutex
		count map[string]int // by table
	}
}

// Add holds a table until the release.
func (h *holds) Add(tableUUID string) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.count == nil {
		h.mu.count = map[string]int{}
	}
	h.mu.count[tableUUID]++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.mu.count[tableUUID]--; h.mu.count[tableUUID] == 0 {
			delete(h.mu.count, tableUUID)
		}
	})
}

// Held says whether somebody holds a table.
func (h *holds) Held(tableUUID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.count[tableUUID] > 0
}

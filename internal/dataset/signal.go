package dataset

import "sync"

// signal wakes everybody who waits for the next change of something. The zero value
// is ready; it costs a lock where nobody waits.
type signal struct {
	mu struct {
		sync.Mutex
		next chan struct{} // nil: nobody asked
	}
}

func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.next == nil {
		s.mu.next = make(chan struct{})
	}
	return s.mu.next
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.next != nil {
		close(s.mu.next)
		s.mu.next = nil
	}
}

package cli

import (
	"context"
	"sync"
)

// Interrupts hands Ctrl-C to a part of a command instead of ending the command: at the
// prompt it ends the running statement.
type Interrupts struct {
	mu struct {
		sync.Mutex
		take func() bool
	}
}

// hand makes f be asked at each Ctrl-C until back is called; where it gives false the
// command is ended as without it. A nil i hands nothing.
func (i *Interrupts) hand(f func() bool) (back func()) {
	if i == nil {
		return func() {}
	}
	i.set(f)
	return func() { i.set(nil) }
}

func (i *Interrupts) set(f func() bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.take = f
}

// taken hands a Ctrl-C over; false where nobody takes it.
func (i *Interrupts) taken() bool {
	i.mu.Lock()
	f := i.mu.take
	i.mu.Unlock()
	return f != nil && f()
}

// statementInHand is the statement that runs at the prompt, which Ctrl-C ends. Between
// statements a Ctrl-C does nothing; the second of one statement, which then does not
// end, is not taken.
type statementInHand struct {
	mu struct {
		sync.Mutex
		cancel context.CancelFunc // nil between statements
		asked  bool
	}
}

// begin gives the context of a statement, and what is to be called at its end.
func (s *statementInHand) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.cancel, s.mu.asked = cancel, false
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.cancel = nil
	}
}

// interrupt takes a Ctrl-C.
func (s *statementInHand) interrupt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.cancel == nil:
		return true
	case s.mu.asked:
		return false
	}
	s.mu.asked = true
	s.mu.cancel()
	return true
}

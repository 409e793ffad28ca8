package cli

import "sync"

// Interrupts hands a Ctrl-C to a part of a command instead of ending the command: at
// the prompt it ends the running statement.
type Interrupts struct {
	mu struct {
		sync.Mutex
		take func()
	}
}

// hand makes f be called at the next Ctrl-C, once, until back is called: should f not
// help, the one after it ends the command. A nil i hands nothing.
func (i *Interrupts) hand(f func()) (back func()) {
	if i == nil {
		return func() {}
	}
	i.set(f)
	return func() { i.set(nil) }
}

func (i *Interrupts) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.take = f
}

// taken hands a Ctrl-C over; false where nobody wants it.
func (i *Interrupts) taken() bool {
	i.mu.Lock()
	f := i.mu.take
	i.mu.take = nil
	i.mu.Unlock()
	if f == nil {
		return false
	}
	f()
	return true
}

//go:build unix

package prompt

import (
	"os"
	"os/signal"
	"syscall"
)

// followSize keeps the editor as wide as its terminal until stop is called.
func (e *Editor) followSize() (stop func()) {
	e.resize()
	changed, over, done := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		defer close(done)
		for {
			select {
			case <-changed:
				e.resize()
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		close(over)
		<-done
	}
}

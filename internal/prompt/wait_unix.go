//go:build unix

package prompt

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// wakeable makes Read end with ctx until done is called: a read of a terminal itself
// cannot be ended.
func (k *keys) wakeable() (done func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	k.wake = r
	shut := sync.OnceFunc(func() { _ = w.Close() }) // of a pipe that nobody wrote to
	stop := context.AfterFunc(k.ctx, shut)
	return func() {
		stop()
		shut()
		k.wake = nil
		_ = r.Close() // likewise
	}, nil
}

// wait waits until there is a key, or ctx has ended.
func (k *keys) wait() error {
	fds := []unix.PollFd{{Fd: int32(k.in.Fd()), Events: unix.POLLIN}, {Fd: int32(k.wake.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case k.ctx.Err() != nil:
			return k.ctx.Err()
		case errors.Is(err, unix.EINTR):
			continue
		}
		return err
	}
}

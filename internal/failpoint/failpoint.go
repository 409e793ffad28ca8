package failpoint

import "sync/atomic"

var armed atomic.Pointer[func(name string)]

// Hit is a point. Its name is a literal, so that a test can find all of them in the
// source.
func Hit(name string) {
	if f := armed.Load(); f != nil {
		(*f)(name)
	}
}

// Arm lets f be called at every point, from the goroutine that comes by.
func Arm(f func(name string)) { armed.Store(&f) }

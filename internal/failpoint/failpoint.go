// Package failpoint names the places at which a test ends the process, to find out
// that what is durable there is right (I1, I4, I6).
//
// Words:
//
//   - point: a name for the instant after a step, like change.created
//   - armed: a function is called at every point. Nothing but a test arms
//
// Every room that changes durable state calls Hit; nothing is behind it in a server.
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

//go:build !unix

package prompt

// followSize asks how wide the terminal is, once a line.
func (e *Editor) followSize() (stop func()) {
	e.resize()
	return func() {}
}

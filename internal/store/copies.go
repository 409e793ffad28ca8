package store

import (
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Copies are files in scratch that stand for objects that no file of this machine is:
// what Local of such a store gives. The zero value has none.
type Copies struct {
	mu struct {
		sync.Mutex
		left map[string]func() // by path, what removes it
	}
}

// Make copies an object's bytes into a folder of its own below scratch, under the last
// part of its key. release removes it, and can be called twice.
func (c *Copies) Make(scratch, key string, src io.Reader) (path string, release func(), err error) {
	dir, err := os.MkdirTemp(scratch, "object-")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, filepath.Base(key))
	if err := writeFile(path, src); err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	remove := sync.OnceFunc(func() { _ = os.RemoveAll(dir) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.left == nil {
		c.mu.left = map[string]func(){}
	}
	c.mu.left[path] = remove
	return path, func() {
		c.mu.Lock()
		delete(c.mu.left, path)
		c.mu.Unlock()
		remove()
	}, nil
}

// Close removes those that nobody released.
func (c *Copies) Close() {
	c.mu.Lock()
	var remove []func()
	for _, f := range c.mu.left {
		remove = append(remove, f)
	}
	clear(c.mu.left)
	c.mu.Unlock()
	for _, f := range remove {
		f()
	}
}

func writeFile(path string, src io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, src); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

package diskcache

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"tarn/internal/failpoint"
)

// keep puts a file here that was just written to the store, where there is room
// for it without anybody's waiting. make makes it at the path it is given.
func (c *Cache) keep(key string, size int64, make func(path string) error) {
	if c.o.Keep == nil || !c.o.Keep(key) || !c.admit(size) {
		return
	}
	temp := filepath.Join(c.filling(), fmt.Sprintf("%016x", rand.Uint64()))
	path := c.Path(key)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), make(temp))
	c.mu.Lock()
	defer c.mu.Unlock()
	// The rename is under the lock, so that file and entry are one. What is here under
	// the key of an object that was only now created is not that object.
	if before := c.mu.entries[key]; err == nil && before != nil && before.here() {
		c.drop(before)
	}
	if err == nil && c.mu.entries[key] == nil {
		if err = os.Rename(temp, path); err == nil {
			failpoint.Hit("diskcache.kept")
			e := &entry{key: key, size: size, path: path, done: closed, checked: true}
			c.mu.entries[key] = e
			c.mu.counts.Kept++
			e.at = c.mu.unheld.PushBack(e)
			return
		}
	}
	c.mu.used -= size
	_ = os.Remove(temp)
	if err != nil {
		c.o.Log.Warn("a file that was written is not kept in the disk cache", "key", key, "error", err)
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// admit takes room for a file that is not asked for yet.
func (c *Cache) admit(size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size > c.o.BudgetBytes {
		return false
	}
	c.evict(size)
	if c.mu.used+size > c.o.BudgetBytes {
		return false
	}
	c.mu.used += size
	return true
}

func writeFile(path string, body []byte) error { return os.WriteFile(path, body, 0o644) }

// linkFile gives a file a second name, or copies it where it cannot have one.
func linkFile(from, to string) error {
	real, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	if err := os.Link(real, to); err == nil {
		return nil
	}
	src, err := os.Open(real)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

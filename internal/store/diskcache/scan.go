package diskcache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"tarn/internal/store"
)

// scan finds the files of an earlier server, the oldest first. What cannot be used
// again goes.
func (c *Cache) scan() error {
	type found struct {
		e  *entry
		at int64
	}
	var all []found
	err := filepath.WalkDir(c.o.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(c.o.Dir, path)
		if err != nil || rel == "." || rel == fillingName {
			return err
		}
		if d.IsDir() {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		key := filepath.ToSlash(rel)
		if !fi.Mode().IsRegular() || store.CheckKey(key) != nil || c.o.Reuse == nil || !c.o.Reuse(key) {
			return os.Remove(path)
		}
		done := make(chan struct{})
		close(done)
		all = append(all, found{&entry{key: key, size: fi.Size(), path: path, done: done}, fi.ModTime().UnixNano()})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int { return int(min(1, max(-1, a.at-b.at))) })
	for _, f := range all {
		c.mu.entries[f.e.key] = f.e
		c.mu.used += f.e.size
		f.e.at = c.mu.unheld.PushBack(f.e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict(0)
	return nil
}

func isClosed(err error) bool { return errors.Is(err, fs.ErrClosed) }

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

package store

import (
	"context"
	"strings"

	"tarn/internal/lake"
)

// Sweep clears up after a process that was killed: it removes temp files and
// empty folders, and makes durable what was linked but not yet synced, so that
// what is read from then on cannot be lost any more. Call it when a lake is
// opened, under its lock, before anything is read. Creates wait while it runs.
func (l *Local) Sweep(ctx context.Context) error {
	l.sweeping.Lock()
	defer l.sweeping.Unlock()
	l.forgetFolders()
	_, err := l.sweep(ctx, "")
	return lake.Step("sweep", err)
}

// sweep says whether the folder is empty now.
func (l *Local) sweep(ctx context.Context, folder string) (empty bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	names, err := l.fs.List(l.path(folder))
	if err != nil {
		return false, readError(folder, "list", err)
	}
	left := 0
	for _, name := range names {
		key := strings.TrimPrefix(folder+"/"+name, "/")
		if strings.HasPrefix(name, tempPrefix) {
			if err := l.fs.Remove(l.path(key)); err != nil && !absent(err) {
				return false, readError(key, "remove a leftover", err)
			}
			continue
		}
		left++
		if CheckKey(key) != nil {
			continue // not the store's
		}
		fi, err := l.fs.Stat(l.path(key))
		if err != nil && !absent(err) {
			return false, readError(key, "stat", err)
		}
		if err != nil || !fi.IsDir() {
			continue
		}
		emptied, err := l.sweep(ctx, key)
		if err != nil {
			return false, err
		}
		if emptied && l.fs.Remove(l.path(key)) == nil {
			left--
		}
	}
	if err := l.syncPath(l.path(folder)); err != nil {
		return false, readError(l.path(folder), "sync", err)
	}
	return left == 0, nil
}

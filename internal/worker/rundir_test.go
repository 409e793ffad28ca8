package worker

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Servers that start at once sweep each other's folders, and keep their own.
func TestRunDirsOfServersThatStartAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 300 {
				d, err := newRunDir()
				if err != nil {
					t.Error(err)
					return
				}
				sweepRunDirs(os.TempDir())
				if _, err := os.Stat(filepath.Join(d.path, "lock")); err != nil {
					t.Error(err)
				}
				if err := d.remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

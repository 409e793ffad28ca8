package store_test

import (
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

func TestLocalOnDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return openLocal(t, filepath.Join(t.TempDir(), "not", "yet", "there"), store.LocalOptions{})
	})
}

func TestLocalInMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return openLocal(t, "/a/lake", store.LocalOptions{FS: vfs.NewCrashableMem(), Scratch: t.TempDir()})
	})
}

func openLocal(t *testing.T, dir string, opts store.LocalOptions) *store.Local {
	t.Helper()
	s, err := store.OpenLocal(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

package upkeep

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"tarn/internal/catalog"
	"tarn/internal/format"
	"tarn/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a store that counts what is read.
type counting struct {
	store.Store
	gets atomic.Int64
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key)
}

// Every retained version is read once, deleted ones are forgotten, and the entries
// that versions have in common are held once.
func TestHistoryReadsAVersionOnce(t *testing.T) {
	local, err := store.OpenLocal(t.TempDir()+"/lake", store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	s := &counting{Store: local}
	c, err := catalog.Open(t.Context(), s, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string) {
		if _, err := c.Commit(t.Context(), func(v *format.Version) error {
			v.Datasets = append(v.Datasets, format.DatasetEntry{Namespace: "main", Name: name, TableUUID: name, Metadata: "base/" + name})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var h history
	look := func(reads, first int64, sizes ...int) []retained {
		t.Helper()
		before := s.gets.Load()
		got, err := h.versions(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.gets.Load() - before; n != reads {
			t.Fatalf("%d reads, want %d", n, reads)
		}
		var is []int
		for i, v := range got {
			is = append(is, len(v.datasets))
			if v.number != first+int64(i) || v.time.IsZero() {
				t.Fatalf("version %d has number %d and time %v", first+int64(i), v.number, v.time)
			}
		}
		if fmt.Sprint(is) != fmt.Sprint(sizes) {
			t.Fatalf("datasets by version %v, want %v", is, sizes)
		}
		return got
	}
	add("a")
	add("b")
	look(3, 1, 0, 1, 2)
	look(0, 1, 0, 1, 2)
	add("c")
	got := look(1, 1, 0, 1, 2, 3)
	if got[1].datasets[0] != got[3].datasets[0] || got[3].datasets[2].Name != "c" {
		t.Fatal("an entry that two versions share is held twice")
	}
	if err := c.Delete(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	look(0, 2, 1, 2, 3)
}

package base_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tarn/internal/base"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// A table that was written once must be read for ever: the folder was written by
// the first build, as docs/format/base.md says. -write makes it if it is missing.
var write = flag.Bool("write", false, "write the golden table if it is missing")

const goldenDir = "testdata/lake-1"

func TestGoldenTable(t *testing.T) {
	if _, err := os.Stat(goldenDir); os.IsNotExist(err) && *write {
		writeGolden(t)
	}
	l := newLab(t)
	err := filepath.WalkDir(goldenDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(goldenDir, path)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		key = filepath.ToSlash(key)
		if strings.Contains(key, "/00002-") {
			l.current = key
		}
		return l.store.Create(t.Context(), key, body)
	})
	if err != nil {
		t.Fatal(err)
	}
	table := l.reload()
	if !reflect.DeepEqual(table.Schema(), keyed(t)) || table.FoldedThrough() != 7 || table.SnapshotID() == nil {
		t.Errorf("%+v", table)
	}
	lower, _ := keys.Bound(lake.Type{Kind: lake.Bigint}, int64(1))
	upper, _ := keys.Bound(lake.Type{Kind: lake.Bigint}, int64(12))
	files := l.files(table)
	if len(files) != 1 || files[0].Rows != 12 || files[0].Ordinal != 0 || !reflect.DeepEqual([][]byte{files[0].Lower, files[0].Upper}, [][]byte{lower, upper}) {
		t.Errorf("%+v", files)
	}
	reach, err := table.Reachable(t.Context())
	if err != nil || len(reach) != 8 {
		t.Errorf("%v, %v", reach, err)
	}
	for _, key := range reach {
		if err := base.VerifyFile(t.Context(), l.store, key); err != nil {
			t.Error(err)
		}
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	const root = "/tmp/lake" // becomes part of the files
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	s, err := store.OpenLocal(root, store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := &lab{T: t, dir: root, store: s, fs: base.NewFS(s, nil)}
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 1, 10)}})
	l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 7, Remove: l.files(table), Add: []base.NewFile{l.ints(table, 0, 1, 12)}})
	if err := os.CopyFS(goldenDir, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
}

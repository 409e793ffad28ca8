package engine_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// allFiles lists what is in a lake besides this machine's own.
func allFiles(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && d.Type().IsRegular() && !strings.HasPrefix(rel, "state") && rel != "lock" {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// A lake whose catalog was lost is not taken for a new one, whose first act would be
// to clear away all that nothing names.
func TestALostCatalogLosesNothingElse(t *testing.T) {
	for name, lose := range map[string]func(catalog string) error{
		"the folder": os.RemoveAll,
		"its files": func(catalog string) error {
			if err := os.RemoveAll(catalog); err != nil {
				return err
			}
			return os.Mkdir(catalog, 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := openLake(t, dir)
			o.fill("t", 10)
			o.change("t", engine.OpUpsert, `{"id":1,"v":2}`)
			o.close()
			if err := lose(filepath.Join(dir, "catalog")); err != nil {
				t.Fatal(err)
			}
			before := allFiles(t, dir)
			for range 2 {
				e, err := engine.Open(context.Background(), engine.Options{Data: dir, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet()})
				if err == nil {
					_ = e.Close(context.Background())
				}
				wantCode(t, err, lake.CodeDamaged)
			}
			if after := allFiles(t, dir); after != before {
				t.Errorf("there was\n%s\nand there is\n%s", before, after)
			}
		})
	}
}

// What is not of tarn's making is left alone, also in a lake's folders.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) { noRetention(&o.Settings) })
	o.fill("t", 10)
	o.close()
	foreign := []string{"base/main/notes.txt", "base/site/main.css", "base/main/a-b/c/d.parquet", "deltas/readme", "deltas/x/1.parquet"}
	for _, f := range foreign {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o = openLake(t, dir, func(o *engine.Options) { noRetention(&o.Settings) })
	o.change("t", engine.OpUpsert, `{"id":1,"v":2}`)
	o.compact("t")
	if err := o.Tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
	o.close()
	for _, f := range foreign {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

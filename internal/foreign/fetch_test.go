package foreign

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	parquetfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
)

// TestFetchLinks: on one file system a file of theirs is linked, and stays when they remove it.
func TestFetchLinks(t *testing.T) {
	o := newTheirs(t, 2)
	uri := o.put("data/a b.parquet", []byte("rows"))
	p := places(t, o.root())
	to := filepath.Join(o.TempDir(), "1.parquet")
	linked, err := p.Fetch(t.Context(), uri, to, 4)
	if err != nil || !linked {
		t.Fatalf("linked %v, %v", linked, err)
	}
	theirs := filepath.Join(o.dir, "data", "a b.parquet")
	if !sameFile(t, theirs, to) {
		t.Error("it is another file")
	}
	o.must(os.Remove(theirs))
	wantFile(t, to, "rows")

	uri = o.put("data/c.parquet", []byte("rows"))
	if _, err := p.Fetch(t.Context(), uri, to, 4); err == nil {
		t.Error("a file was put over another one")
	}
	wantFile(t, to, "rows")
	absent := filepath.Join(t.TempDir(), "absent")
	_, err = p.Fetch(t.Context(), uri, absent, 5)
	wantRefused(t, err, lake.CodeRowsInvalid, uri, "4 bytes", "says 5")
	_, err = p.Fetch(t.Context(), o.uri+"/data/gone.parquet", absent, 4)
	wantRefused(t, err, lake.CodeNotFound, "gone.parquet")
	_, err = p.Fetch(t.Context(), "/etc/hostname", absent, 4)
	wantRefused(t, err, lake.CodeUnsupported, "/etc/hostname", "attach_roots")
	_, err = p.Fetch(t.Context(), uri, filepath.Join(absent, "x"), 4)
	wantRefused(t, err, lake.CodeUnavailable, absent)
	if _, err := os.Lstat(absent); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}

// TestFetchOfALink: a symbolic link is not linked, but what it leads to is copied; it could
// lead elsewhere later.
func TestFetchOfALink(t *testing.T) {
	o := newTheirs(t, 2)
	o.put("data/a.parquet", []byte("rows"))
	o.must(os.Symlink("a.parquet", filepath.Join(o.dir, "data", "link.parquet")))
	to := filepath.Join(t.TempDir(), "1.parquet")
	linked, err := places(t, o.root()).Fetch(t.Context(), o.uri+"/data/link.parquet", to, 4)
	if err != nil || linked {
		t.Fatalf("linked %v, %v", linked, err)
	}
	if fi, err := os.Lstat(to); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("%v, %v", fi, err)
	}
	wantFile(t, to, "rows")
}

// TestFetchCopies: from another file system a file is copied.
func TestFetchCopies(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "tarn-foreign-")
	if err != nil {
		t.Skipf("there is no other file system: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	body := strings.Repeat("rows", copyBytes/4) + "more"
	theirs := filepath.Join(other, "a.parquet")
	if err := os.WriteFile(theirs, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "1.parquet")
	if os.Link(theirs, to+".probe") == nil {
		t.Skip("/dev/shm is no other file system")
	}
	p := places(t, other)
	linked, err := p.Fetch(t.Context(), theirs, to, int64(len(body)))
	if err != nil || linked {
		t.Fatalf("linked %v, %v", linked, err)
	}
	wantFile(t, to, body)
	if _, err := p.Fetch(t.Context(), theirs, to, int64(len(body))); err == nil {
		t.Error("a file was put over another one")
	}
	wantFile(t, to, body)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Fetch(ctx, theirs, to+".2", int64(len(body)))
	wantRefused(t, err, lake.CodeCancelled)
	if _, err := os.Lstat(to + ".2"); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s has %d bytes, %v", path, len(got), err)
	}
}

// TestPositions: the rows of a deletion vector, one of several in a file, for a job.
func TestPositions(t *testing.T) {
	o := newTheirs(t, 3)
	a, b := o.file("a.parquet", 100_000, 1), o.file("b.parquet", 5, 1)
	var many []int64
	for i := range int64(20_000) {
		many = append(many, i*3)
	}
	o.entries("v1.metadata.json", append([]live{a, b}, o.vectors("dv.puffin", 3, map[string][]int64{a.df.FilePath(): many, b.df.FilePath(): {0, 4}})...)...)
	table := o.wantLoaded(o.uri, "a.parquet -dv.puffin(20000)", "b.parquet -dv.puffin(2)")
	p := places(t, o.root())
	for i, want := range map[int][]int64{0: many, 1: {0, 4}} {
		for _, d := range []Delete{table.Deletes[table.Files[i].Deletes[0]], {Vector: true, Data: smallLetters{table.Deletes[table.Files[i].Deletes[0]].Data}}} {
			to := filepath.Join(t.TempDir(), "positions.parquet")
			o.must(p.Positions(t.Context(), d, to))
			paths, got := readPositions(t, to)
			if len(got) != len(want) {
				t.Fatalf("%d rows", len(got))
			}
			for k := range got {
				if got[k] != want[k] || paths[k] != table.Files[i].URI {
					t.Fatalf("row %d: %s %d", k, paths[k], got[k])
				}
			}
		}
	}

	puffin := filepath.Join(o.dir, "data", "dv.puffin")
	whole, err := os.ReadFile(puffin)
	o.must(err)
	d := table.Deletes[table.Files[0].Deletes[0]]
	to := filepath.Join(t.TempDir(), "positions.parquet")
	offset := int(*d.Data.ContentOffset())
	for n := 0; n < len(whole); n += 1 + len(whole)/61 {
		for what, body := range map[string][]byte{"cut": whole[:n], "changed": changed(whole, n), "the blob changed": changed(whole, offset+n%int(*d.Data.ContentSizeInBytes()))} {
			o.must(os.WriteFile(puffin, body, 0o644))
			switch err := p.Positions(t.Context(), d, to); {
			case err != nil:
				wantRefused(t, err, lake.CodeRowsInvalid, d.URI)
				if _, err := os.Lstat(to); !os.IsNotExist(err) {
					t.Fatalf("something is left: %v", err)
				}
			case what != "changed": // which may be of the other vector
				t.Errorf("%s at %d is taken", what, n)
			default:
				if _, got := readPositions(t, to); len(got) != len(many) || got[len(got)-1] != many[len(many)-1] {
					t.Errorf("%s at %d: %d rows", what, n, len(got))
				}
				o.must(os.Remove(to))
			}
		}
	}
	o.must(os.Remove(puffin))
	wantRefused(t, p.Positions(t.Context(), d, to), lake.CodeNotFound, d.URI)
	wantRefused(t, p.Positions(t.Context(), Delete{URI: "x"}, to), lake.CodeInternal, "x")
}

func changed(whole []byte, at int) []byte {
	out := append([]byte{}, whole...)
	out[at] ^= 0x55
	return out
}

func readPositions(t *testing.T, path string) (paths []string, positions []int64) {
	t.Helper()
	r, err := parquetfile.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := in.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	if table.Schema().Field(0).Name != "file_path" || table.Schema().Field(1).Name != "pos" {
		t.Fatalf("%s", table.Schema())
	}
	for _, c := range table.Column(0).Data().Chunks() {
		for i := range c.Len() {
			paths = append(paths, c.(*array.String).Value(i))
		}
	}
	for _, c := range table.Column(1).Data().Chunks() {
		positions = append(positions, c.(*array.Int64).Int64Values()...)
	}
	return paths, positions
}

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

// contentOf is what every object of these tests holds: no two the same, some of
// several blocks, none of them with zeros that a torn write would show.
func contentOf(key string) []byte {
	return bytes.Repeat([]byte(key+"|"), 1+len(key)%3*2000)
}

const lakeDir = "/some/where/lake"

func openOn(disk vfs.FS) (*store.Local, error) {
	return store.OpenLocal(lakeDir, store.LocalOptions{FS: disk, SkipProbe: true})
}

// history writes like a lake does: new folders, several objects a folder, files
// taken in, names taken, deletions, a restart.
func history(t *testing.T, disk vfs.FS, acknowledge func(key string)) {
	ctx := context.Background()
	s, err := openOn(disk)
	if err != nil {
		t.Error(err)
		return
	}
	create := func(key string) {
		err := s.Create(ctx, key, contentOf(key))
		if err != nil && !errors.Is(err, store.ErrExists) {
			t.Error(err)
			return
		}
		acknowledge(key)
	}
	take := func(key string) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, contentOf(key), 0o600); err != nil {
			t.Error(err)
			return
		}
		if err := s.CreateFrom(ctx, key, path); err != nil {
			t.Error(err)
			return
		}
		acknowledge(key)
	}
	create("catalog/1.json")
	take("base/main/t/data/1.parquet")
	create("base/main/t/metadata/1.json")
	create("catalog/2.json")
	for i := range 3 {
		create(fmt.Sprintf("deltas/t/%d.parquet", i))
	}
	create("deltas/t/1.parquet") // taken
	if err := s.Delete(ctx, "deltas/t/0.parquet"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s, err = openOn(disk); err != nil {
		t.Error(err)
		return
	}
	if err := s.Sweep(ctx); err != nil {
		t.Error(err)
	}
	take("base/main/u/data/2.parquet")
	create("catalog/3.json")
}

// deleted is the one key that history deletes; a crash may bring it back.
const deleted = "deltas/t/0.parquet"

// survived says what a disk lacks or has in part after a crash.
func survived(after vfs.FS, acknowledged []string) error {
	s, err := openOn(after)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx := context.Background()
	if err := s.Sweep(ctx); err != nil {
		return err
	}
	for _, key := range acknowledged {
		got, err := s.Get(ctx, key)
		if key == deleted && errors.Is(err, lake.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("acknowledged, and gone: %w", err)
		}
		if !bytes.Equal(got, contentOf(key)) {
			return fmt.Errorf("%s is not whole", key)
		}
	}
	var seen []string
	for info, err := range s.List(ctx, "", "") {
		if err != nil {
			return err
		}
		got, err := s.Get(ctx, info.Key)
		if err != nil || !bytes.Equal(got, contentOf(info.Key)) {
			return fmt.Errorf("%s is seen in part: %d bytes, %w", info.Key, len(got), err)
		}
		seen = append(seen, info.Key)
	}
	if err := noLeftovers(after, lakeDir); err != nil {
		return err
	}
	// What was read after the sweep is there after a second crash.
	again, err := openOn(after.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{}))
	if err != nil {
		return err
	}
	defer again.Close()
	for _, key := range seen {
		if _, err := again.Get(ctx, key); err != nil {
			return fmt.Errorf("read after a crash, and gone after the next: %w", err)
		}
	}
	return nil
}

func noLeftovers(disk vfs.FS, dir string) error {
	names, err := disk.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := disk.PathJoin(dir, name)
		if strings.HasPrefix(name, ".") {
			return fmt.Errorf("%s is left over", path)
		}
		if fi, err := disk.Stat(path); err == nil && fi.IsDir() {
			if err := noLeftovers(disk, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// I1 at the bottom: a Create that answered survives a power cut at any write,
// whole, and nothing is ever seen in part.
func TestPowerCutAtEveryWrite(t *testing.T) {
	storetest.CutPower(t, func(d *storetest.Disk[string]) {
		history(t, d.FS, d.Acknowledge)
	}, survived)
}

func TestPowerCutUnderManyWriters(t *testing.T) {
	storetest.CutPower(t, func(d *storetest.Disk[string]) {
		s, err := openOn(d.FS)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 3 {
					// One folder that all make at once, one that is new to each, and
					// one name that all want.
					for _, key := range []string{fmt.Sprintf("shared/%d/%d", i, w), fmt.Sprintf("own/%d/%d/x", w, i), fmt.Sprintf("wanted/%d", i)} {
						err := s.Create(context.Background(), key, contentOf(key))
						if err != nil && !errors.Is(err, store.ErrExists) {
							t.Error(err)
							return
						}
						d.Acknowledge(key)
					}
				}
			})
		}
		wg.Wait()
	}, survived)
}

// A process that is killed leaves what it linked in the disk's cache only. What
// its successor reads after Sweep must not vanish with the power any more.
func TestKillAtEveryWriteThenPowerCut(t *testing.T) {
	at, cleared := 0, 0
	for dead := true; dead; at++ {
		writes := 0
		killed := false
		d := storetest.NewDisk[string](func(errorfs.Op) error {
			if writes++; killed && writes > at {
				return syscall.EIO
			}
			return nil
		})
		s, err := openOn(d.FS)
		if err != nil {
			t.Fatal(err)
		}
		writes, killed = 0, true
		keys := []string{"a/b/1", "a/b/2", "a/c/1"}
		for _, key := range keys {
			_ = s.Create(t.Context(), key, contentOf(key))
		}
		dead, killed = writes > at, false
		_ = s.Close()

		successor, err := openOn(d.FS)
		if err != nil {
			t.Fatal(err)
		}
		if err := successor.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := noLeftovers(d.FS, lakeDir); err != nil {
			t.Errorf("killed at write %d: %v", at, err)
		}
		var seen []string
		for info, err := range successor.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, info.Key)
		}
		if len(seen) < len(keys) {
			cleared++
		}
		if err := survived(d.Crash(0, 1), seen); err != nil {
			t.Errorf("killed at write %d, after the sweep and a power cut: %v", at, err)
		}
		_ = successor.Close()
	}
	t.Logf("killed at %d writes", at)
	if cleared < 10 {
		t.Errorf("%d kills mattered, which cannot be all", cleared)
	}
}

// Each write of a Create fails once, before or after it was done: the answer is
// true in every case, and settling always comes to an end (I8).
func TestFaultAtEveryWrite(t *testing.T) {
	for _, fault := range []error{errorfs.ErrInjected, syscall.EIO, syscall.ENOSPC} {
		at := 0
		for ; ; at++ {
			writes := 0
			armed := false
			hit := ""
			d := storetest.NewDisk[string](func(op errorfs.Op) error {
				if !armed {
					return nil
				}
				if writes++; writes == at+1 {
					hit = fmt.Sprintf("kind %d of %s", op.Kind, op.Path)
					return fault
				}
				return nil
			})
			s, err := openOn(d.FS)
			if err != nil {
				t.Fatal(err)
			}
			armed = true
			const key = "new/folder/1"
			err = s.Create(t.Context(), key, contentOf(key))
			armed = false
			if hit == "" {
				if err != nil {
					t.Fatalf("no fault, and %v", err)
				}
				break // past the last write
			}
			got, getErr := s.Get(t.Context(), key)
			switch {
			case err == nil:
				if getErr != nil || !bytes.Equal(got, contentOf(key)) {
					t.Errorf("%v at %s: acknowledged, but %v", fault, hit, getErr)
				}
				if after := survived(d.Crash(0, 1), []string{key}); after != nil {
					t.Errorf("%v at %s: %v", fault, hit, after)
				}
			case errors.Is(err, lake.ErrUnknownOutcome):
			default:
				if !errors.Is(getErr, lake.ErrNotFound) {
					t.Errorf("%v at %s: %v, but there is %d bytes, %v", fault, hit, err, len(got), getErr)
				}
				if want := lake.CodeOutOfDisk; errors.Is(fault, syscall.ENOSPC) && lake.CodeOf(err) != want {
					t.Errorf("%v at %s: code %s, want %s", fault, hit, lake.CodeOf(err), want)
				}
			}
			err = store.CreateSettled(t.Context(), s, key, contentOf(key), func(b []byte) bool { return bytes.Equal(b, contentOf(key)) })
			if err != nil {
				t.Errorf("%v at %s: settling: %v", fault, hit, err)
			}
			if after := survived(d.Crash(0, 1), []string{key}); after != nil {
				t.Errorf("%v at %s, settled: %v", fault, hit, after)
			}
			_ = s.Close()
		}
		if at < 8 {
			t.Errorf("%v: a Create has %d writes, which cannot be all", fault, at)
		}
	}
}

// tricky is a disk whose links answer as told, after they were made or not.
type tricky struct {
	vfs.FS
	link func(do func() error) error
	sync func(path string) error
}

func (f *tricky) Link(oldname, newname string) error {
	do := func() error { return f.FS.Link(oldname, newname) }
	if f.link == nil {
		return do()
	}
	return f.link(do)
}

func (f *tricky) Unwrap() vfs.FS { return f.FS }

func (f *tricky) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, opts...)
	if err != nil || f.sync == nil {
		return file, err
	}
	return &trickyFile{file, func() error { return f.sync(name) }}, nil
}

type trickyFile struct {
	vfs.File
	sync func() error
}

func (f *trickyFile) Sync() error {
	if err := f.sync(); err != nil {
		return err
	}
	return f.File.Sync()
}

func TestLinkThatLies(t *testing.T) {
	cases := []struct {
		name   string
		answer error
		done   bool
		want   error
	}{
		{"made, answer lost", syscall.EIO, true, lake.ErrUnknownOutcome},
		{"not made, answer lost", syscall.EIO, false, lake.ErrUnknownOutcome},
		{"no space", syscall.ENOSPC, false, lake.ErrOutOfDisk},
		{"quota", syscall.EDQUOT, false, lake.ErrOutOfDisk},
		{"read-only", syscall.EROFS, false, lake.ErrUnavailable},
	}
	for _, c := range cases {
		for _, from := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/from file %v", c.name, from), func(t *testing.T) {
				disk := &tricky{FS: vfs.Default}
				s := openLocal(t, t.TempDir(), store.LocalOptions{FS: disk})
				answers := []error{c.answer}
				disk.link = func(do func() error) error {
					if len(answers) == 0 {
						return do()
					}
					answer := answers[0]
					answers = answers[1:]
					if c.done {
						if err := do(); err != nil {
							t.Error(err)
						}
					}
					return answer
				}
				create := func() error {
					if !from {
						return s.Create(t.Context(), "a/1", []byte("body"))
					}
					path := filepath.Join(t.TempDir(), "file")
					if err := os.WriteFile(path, []byte("body"), 0o600); err != nil {
						t.Fatal(err)
					}
					return s.CreateFrom(t.Context(), "a/1", path)
				}
				err := create()
				if !errors.Is(err, c.want) {
					t.Fatalf("error %v, want %v", err, c.want)
				}
				if c.done {
					err = create()
					if !errors.Is(err, store.ErrExists) {
						t.Fatalf("again: %v", err)
					}
				} else if err := create(); err != nil {
					t.Fatalf("again: %v", err)
				}
				if err := noLeftovers(disk, s.Dir()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Where a link to the caller's file is not allowed, it is copied.
func TestCreateFromAnotherDisk(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EXDEV, syscall.EPERM, syscall.EMLINK} {
		disk := &tricky{FS: vfs.Default}
		s := openLocal(t, t.TempDir(), store.LocalOptions{FS: disk})
		links := 0
		disk.link = func(do func() error) error {
			if links++; links == 1 {
				return &os.LinkError{Op: "link", Err: errno}
			}
			return do()
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, contentOf("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.CreateFrom(t.Context(), "a/1", path); err != nil {
			t.Fatalf("%v: %v", errno, err)
		}
		if err := os.WriteFile(path, []byte("changed"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "a/1"); err != nil || !bytes.Equal(got, contentOf("x")) {
			t.Errorf("%v: %q, %v", errno, got, err)
		}
	}
}

// A file whose fsync failed is not taken in by trying again: the second fsync
// would answer well and mean nothing.
func TestFileWhoseSyncFailedIsNotTrustedAgain(t *testing.T) {
	disk := &tricky{FS: vfs.Default}
	s := openLocal(t, t.TempDir(), store.LocalOptions{FS: disk})
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("body"), 0o600); err != nil {
		t.Fatal(err)
	}
	fail := true
	disk.sync = func(name string) error {
		if name == path && fail {
			fail = false
			return syscall.EIO
		}
		return nil
	}
	for range 2 {
		if err := s.CreateFrom(t.Context(), "a/1", path); !errors.Is(err, lake.ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("body, written again"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateFrom(t.Context(), "a/1", path); err != nil {
		t.Fatalf("written again: %v", err)
	}
}

func TestProbe(t *testing.T) {
	disk := &tricky{FS: vfs.NewCrashableMem()}
	opts := store.LocalOptions{FS: disk}
	cases := []struct {
		name string
		link func(do func() error) error
		says string
	}{
		{"no links", func(func() error) error { return syscall.EPERM }, "hard links"},
		{"links replace", func(do func() error) error {
			if err := do(); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		}, "replaces"},
		{"another error", func(do func() error) error {
			if err := do(); err != nil {
				return syscall.EIO
			}
			return nil
		}, "does not say"},
	}
	for _, c := range cases {
		disk.link = c.link
		_, err := store.OpenLocal("/lake", opts)
		if lake.CodeOf(err) != lake.CodeUnsupported || err == nil || !strings.Contains(err.Error(), c.says) || lake.HintOf(err) == "" {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := noLeftovers(disk, "/lake"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	disk.link = nil
	s, err := store.OpenLocal("/lake", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Probe(t.Context()), noLeftovers(disk, "/lake")); err != nil {
		t.Error(err)
	}

	noDirSync := errorfs.Wrap(vfs.NewCrashableMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && op.Path == "/lake" {
			return syscall.EINVAL
		}
		return nil
	}))
	if _, err := store.OpenLocal("/lake", store.LocalOptions{FS: noDirSync}); lake.CodeOf(err) != lake.CodeUnsupported {
		t.Errorf("a folder that cannot be synced: %v", err)
	}
}

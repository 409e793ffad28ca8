package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// TestHeldLakeIsRefused: a lake that is open is refused, with who has it, and
// the attempt disturbs nothing.
func TestHeldLakeIsRefused(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("t", schema(t, nil, "n BIGINT"))
	try := func() error {
		e, err := engine.Open(context.Background(), engine.Options{Data: dir, Settings: testSettings(), Log: quiet()})
		if err == nil {
			t.Fatal("a lake was opened twice", e.Close(context.Background()))
		}
		return err
	}
	err := try()
	wantCode(t, err, lake.CodeLocked)
	if pid := fmt.Sprint(os.Getpid()); !strings.Contains(err.Error(), pid) {
		t.Fatalf("%v does not name %s", err, pid)
	}
	const url = "http://127.0.0.1:4242"
	if err := o.SetURL(url); err != nil {
		t.Fatal(err)
	}
	if err := try(); !strings.Contains(err.Error(), url) || !strings.Contains(lake.HintOf(err), url) {
		t.Fatalf("%v; %s", err, lake.HintOf(err))
	}
	o.change("t", engine.OpUpsert, `{"n":1}`)
	if _, err := o.importText("u", engine.ImportCreate, rows.CSV, nil, "", "n\n1\n"); err != nil {
		t.Fatal(err) // its scratch is still there
	}
	o.verifyClean()
	o.close()
	openLake(t, dir).close()
}

// TestCopiedAndMovedLake: a copy and a moved lake open where they are, go on
// from there, and never touch the first.
func TestCopiedAndMovedLake(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first")
	content := damagedLake(t, first)
	copied := copyLake(t, first)
	moved := filepath.Join(t.TempDir(), "moved")
	original := openLake(t, first)
	defer original.close()
	c := openLake(t, copied, func(o *engine.Options) { noRetention(&o.Settings) })
	if err := c.is(content); err != nil {
		t.Fatal(err)
	}
	goesOn := func(o *opened, n int) {
		t.Helper()
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"new"}`, n), `{"id":0,"v":"changed"}`)
		o.compact("t")
		o.compact("u")
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.want(fmt.Sprintf("select * from t where id in (0, %d) order by id", n), `[0,"changed"]`, fmt.Sprintf(`[%d,"new"]`, n))
		o.verifyClean()
	}
	goesOn(c, 100)
	c.close()
	if err := os.Rename(copied, moved); err != nil {
		t.Fatal(err)
	}
	m := openLake(t, moved)
	m.want("select v from t where id = 100", `["new"]`)
	goesOn(m, 101)
	m.close()
	if err := original.is(content); err != nil {
		t.Fatalf("the first lake: %v", err)
	}
}

// smallDisk mounts a disk of a few megabytes, and gives a function that mounts
// it again with other options.
func smallDisk(t *testing.T, megabytes int) (dir string, remount func(flags uintptr) error) {
	t.Helper()
	dir = t.TempDir()
	options := fmt.Sprintf("size=%dm", megabytes)
	if err := syscall.Mount("tarn-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(flags uintptr) error {
		return syscall.Mount("tarn-test", dir, "tmpfs", syscall.MS_REMOUNT|flags, options)
	}
}

// TestI8FullDisk: on a full disk whatever writes fails with a clear error and
// changes nothing; queries go on; once there is room all goes in.
func TestI8FullDisk(t *testing.T) {
	for _, state := range []string{"elsewhere", "on the same disk"} {
		t.Run("state "+state, func(t *testing.T) {
			disk, _ := smallDisk(t, 24)
			dir := filepath.Join(disk, "lake")
			open := func() *opened {
				return openLake(t, dir, func(o *engine.Options) {
					o.Settings.SpoolBytes = spoolBytes
					if state == "elsewhere" {
						o.State = filepath.Join(filepath.Dir(disk), "state")
						t.Cleanup(func() { os.RemoveAll(o.State) })
					}
				})
			}
			o := open()
			o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
			o.change("t", engine.OpUpsert, `{"id":1,"v":"a"}`)
			ballast := filepath.Join(disk, "ballast")
			fillUp(t, ballast)

			steps := []step{
				{"upsert", sends("t", engine.OpUpsert, `{"id":2,"v":"b"}`)},
				{"large upsert", sends("t", engine.OpUpsert, largeLines(10, 40)...)},
				{"fold", compacts("t")},
				{"create", creates("u", schema(t, nil, "n BIGINT"))},
				{"import", takesIn("w", engine.ImportCreate, nil, "", "n\n1\n")},
				{"append", takesIn("t", engine.ImportAppend, nil, engine.DuplicateLast, "id,v\n3,c\n")},
				{"rename", func(o *opened, key string) error {
					_, err := o.Rename(context.Background(), parsed("t"), parsed("r"), idempotency(key))
					return err
				}},
				{"drop", func(o *opened, key string) error {
					return o.Drop(context.Background(), parsed("t"), idempotency(key))
				}},
			}
			for i, s := range steps {
				err := s.do(o, stepKey(i))
				if code := lake.CodeOf(err); code != lake.CodeOutOfDisk {
					t.Errorf("%s: %v (%s)", s.name, err, code)
				}
				o.want("select * from t", `[1,"a"]`)
			}
			o.close() // a full disk is no reason not to end
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			o = open()
			defer o.close()
			o.want("select * from t", `[1,"a"]`)
			o.verifyClean()
			for i, s := range steps[:6] {
				if err := s.do(o, stepKey(i)); err != nil {
					t.Fatalf("with room, %s: %v", s.name, err)
				}
			}
			o.want("select count(*), max(id) from t", "[33,39]")
			o.verifyClean()
		})
	}
}

func largeLines(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"id":%d,"v":"one of many"}`, i))
	}
	return out
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// TestI8ReadOnlyDisk: a lake on a disk that is read-only does not open, and says
// why; it is as it was once the disk can be written.
func TestI8ReadOnlyDisk(t *testing.T) {
	disk, remount := smallDisk(t, 24)
	dir, state := filepath.Join(disk, "lake"), t.TempDir()
	elsewhere := func(o *engine.Options) { o.State = state }
	o := openLake(t, dir, elsewhere)
	o.create("t", schema(t, []string{"id"}, "id BIGINT"))
	o.change("t", engine.OpUpsert, `{"id":1}`)
	o.close()
	if err := remount(syscall.MS_RDONLY); err != nil {
		t.Skipf("the disk cannot be made read-only: %v", err)
	}
	e, err := engine.Open(context.Background(), engine.Options{Data: dir, State: state, Settings: testSettings(), Log: quiet()})
	if err == nil {
		t.Fatal("a read-only lake was opened", e.Close(context.Background()))
	}
	wantCode(t, err, lake.CodeUnavailable)
	if !strings.Contains(err.Error(), "read-only") || lake.HintOf(err) == "" {
		t.Fatalf("%v; %s", err, lake.HintOf(err))
	}
	if err := remount(0); err != nil {
		t.Fatal(err)
	}
	o = openLake(t, dir, elsewhere)
	defer o.close()
	o.want("select * from t", `[1]`)
	o.change("t", engine.OpUpsert, `{"id":2}`)
	o.verifyClean()
}

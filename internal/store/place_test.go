package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tarn/internal/fileid"
	"tarn/internal/lake"
	"tarn/internal/store"
)

func TestRootsThatBreakOtherReadersAreRefused(t *testing.T) {
	for _, dir := range []string{"/a lake", "/50%", "/jezioro-ą", "/see?", "/c#", "/a*", "/a[1]", "/{a}", "/it's", `/a"b`, "/a\tb", `/a\b`, "/a`b"} {
		_, err := store.OpenLocal(dir, store.LocalOptions{FS: vfs.NewCrashableMem()})
		if lake.CodeOf(err) != lake.CodeInvalidRequest || lake.HintOf(err) == "" {
			t.Errorf("%q: %v", dir, err)
		}
		if strings.Contains(lake.HintOf(err), "%!") {
			t.Errorf("hint %q", lake.HintOf(err))
		}
	}
	for _, dir := range []string{"/lake", "/a/b-c_d.e/f+g=h@i,j~k(l):m&n$o!^;"} {
		s, err := store.OpenLocal(dir, store.LocalOptions{FS: vfs.NewCrashableMem()})
		if err != nil {
			t.Errorf("%q: %v", dir, err)
			continue
		}
		if s.Root() != "file://"+dir || s.Dir() != dir {
			t.Errorf("root %q, dir %q of %q", s.Root(), s.Dir(), dir)
		}
	}
}

func TestRelativeFolderBecomesAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	s := openLocal(t, "./tarn-data", store.LocalOptions{})
	if !filepath.IsAbs(s.Dir()) || s.Root() != "file://"+s.Dir() {
		t.Errorf("root %q", s.Root())
	}
	if fi, err := os.Stat("tarn-data"); err != nil || !fi.IsDir() {
		t.Errorf("the folder was not made: %v", err)
	}
}

func TestFolderThatCannotBeALake(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "lake"), "/proc/lake"} {
		if _, err := store.OpenLocal(dir, store.LocalOptions{}); lake.CodeOf(err) != lake.CodeUnavailable {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// What stands beside the objects is neither listed nor swept.
func TestSweepLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	s := openLocal(t, dir, store.LocalOptions{})
	if err := s.Create(t.Context(), "deltas/t/1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	keep := []string{"lock", "state/scratch/job/file", "state/.tarn-new-0123456789abcdef", ".hidden/.tarn-new-0", ".DS_Store"}
	gone := []string{".tarn-new-0123456789abcdef", "deltas/.tarn-new-1", "deltas/t/.tarn-new-probe-1"}
	for _, name := range append(append([]string{}, keep...), gone...) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, empty := range []string{"base/main/t-1/data", "base/main/t-1/metadata", "deltas/u", "state/empty"} {
		if err := os.MkdirAll(filepath.Join(dir, empty), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(keep, "deltas/t/1", "state/empty") {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("swept away: %v", err)
		}
	}
	for _, name := range append(gone, "base", "deltas/u") {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	var keys []string
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if len(keys) != 1 || keys[0] != "deltas/t/1" {
		t.Errorf("listed %v", keys)
	}
	// A folder that was swept is made again, also one that the store knew.
	if err := s.Create(t.Context(), "base/main/t-1/data/1", nil); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Delete(t.Context(), "deltas/t/1"), s.Sweep(t.Context()), s.Create(t.Context(), "deltas/t/2", nil)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Sweep(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFolderRemovedUnderTheStore(t *testing.T) {
	dir := t.TempDir()
	s := openLocal(t, dir, store.LocalOptions{})
	if err := s.Create(t.Context(), "a/b/1", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "a/b/2", nil); !errors.Is(err, lake.ErrUnavailable) {
		t.Errorf("the folder is gone, and %v", err)
	}
	if err := s.Create(t.Context(), "a/b/2", nil); err != nil {
		t.Errorf("again: %v", err)
	}
}

// Stat's identity is the one that readers of the file see, and it says when the
// file is not the same any more.
func TestIdentityIsThatOfTheFile(t *testing.T) {
	s := openLocal(t, t.TempDir(), store.LocalOptions{})
	if err := s.Create(t.Context(), "a/1", []byte("body")); err != nil {
		t.Fatal(err)
	}
	before, err := s.Stat(t.Context(), "a/1")
	if err != nil {
		t.Fatal(err)
	}
	path, release, err := s.Local(t.Context(), "a/1")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if id, err := fileid.Of(path); err != nil || id != before.Identity {
		t.Errorf("fileid %q, %v; Stat has %q", id, err, before.Identity)
	}
	if err := os.WriteFile(path, []byte("bod!"), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := s.Stat(t.Context(), "a/1")
	if err != nil || after.Identity == before.Identity {
		t.Errorf("changed, and still %q, %v", after.Identity, err)
	}
}

func TestHash(t *testing.T) {
	// The published value of XXH3 128 bits with seed 0 over no input.
	if got := store.HashBytes(nil); got != "99aa06d3014798d86001c324468d497f" {
		t.Errorf("hash of nothing %s", got)
	}
	for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 7} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 7)
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		hash, n, err := store.HashFile(t.Context(), path)
		if err != nil || n != int64(size) || hash != store.HashBytes(body) || len(hash) != 32 {
			t.Errorf("%d bytes: %s, %d, %v", size, hash, n, err)
		}
	}
	if _, _, err := store.HashFile(t.Context(), filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.HashFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkCreate2KB(b *testing.B) {
	s, err := store.OpenLocal(b.TempDir(), store.LocalOptions{})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 2048)
	i := 0
	for b.Loop() {
		i++
		if err := s.Create(context.Background(), "deltas/t/"+fmt.Sprint(i), body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListAfter10k(b *testing.B) {
	s, err := store.OpenLocal("/lake", store.LocalOptions{FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		if err := s.Create(context.Background(), "d/"+fmt.Sprint(i+100_000), nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		for _, err := range s.List(context.Background(), "d/", "d/109990") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 9 {
			b.Fatal(n)
		}
	}
}

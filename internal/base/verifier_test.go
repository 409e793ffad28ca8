package base_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tarn/internal/base"
	"tarn/internal/fileid"
	"tarn/internal/lake"
	"tarn/internal/store"
)

func openVerifier(t *testing.T, s store.Store, path string) *base.Verifier {
	t.Helper()
	v, err := base.OpenVerifier(s, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// hurt changes a byte of a file in place and keeps its size and mtime, so that
// only the ctime tells.
func hurt(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600), os.Chtimes(path, fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func TestVerifier(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 1, 100), l.ints(table, 1, 101, 200)}})
	memory := filepath.Join(t.TempDir(), "state", "verified.jsonl")
	v := openVerifier(t, l.store, memory)
	files, err := v.Files(t.Context(), l.files(table))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if id, err := fileid.Of(f.Path); err != nil || id != f.Identity || !strings.HasSuffix(f.Path, f.Key) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	// What was written by TakeIn counts as verified: no second look is needed.
	if own, err := l.verifier.Files(t.Context(), l.files(table)); err != nil || own[0].Identity != files[0].Identity {
		t.Errorf("the writer's own: %v", err)
	}
	known, err := os.ReadFile(memory)
	if err != nil || strings.Count(string(known), "\n") != 2 {
		t.Fatalf("memory %q, %v", known, err)
	}
	// It is remembered over a restart, but not for another file state.
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = openVerifier(t, l.store, memory)
	if _, err := v.Files(t.Context(), l.files(table)); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(memory); len(again) != len(known) {
		t.Errorf("files were verified again: %q", again)
	}
	hurt(t, files[1].Path)
	for range 2 {
		if _, err := v.Files(t.Context(), l.files(table)); !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), files[1].Key) || strings.Contains(err.Error(), files[1].Path) {
			t.Errorf("a file that was changed: %v", err)
		}
	}
	if _, _, err := v.Verify(t.Context(), files[0].Key); err != nil {
		t.Errorf("the other file: %v", err)
	}
	if err := os.Remove(files[1].Path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Verify(t.Context(), files[1].Key); !errors.Is(err, lake.ErrDamaged) {
		t.Errorf("a file that is gone: %v", err)
	}
	v.Forget(files[1].Key)
	if _, _, err := v.Verify(t.Context(), files[1].Key); !errors.Is(err, lake.ErrDamaged) {
		t.Errorf("a file that is gone and forgotten: %v", err)
	}
}

// TestVerifierMemoryDamaged: a memory that is damaged vouches for nothing.
func TestVerifierMemoryDamaged(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 1, 100)}})
	memory := filepath.Join(t.TempDir(), "verified.jsonl")
	files, err := openVerifier(t, l.store, memory).Files(t.Context(), l.files(table))
	if err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(memory)
	hurt(t, files[0].Path)
	now, err := fileid.Of(files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"identity edited": strings.Replace(string(good), files[0].Identity, now, 1),
		"cut":             string(good[:len(good)/2]),
		"noise":           "\x00\x01\n{}\n[]\n" + string(good),
	} {
		if err := os.WriteFile(memory, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openVerifier(t, l.store, memory).Files(t.Context(), l.files(table)); !errors.Is(err, lake.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifierConcurrent(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	var add []base.NewFile
	for i := range int64(6) {
		add = append(add, l.ints(table, i, i*50, i*50+49))
	}
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: add})
	memory := filepath.Join(t.TempDir(), "verified.jsonl")
	v := openVerifier(t, l.store, memory)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := v.Files(t.Context(), l.files(table)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, _ := os.ReadFile(memory); strings.Count(string(b), "\n") != 6 {
		t.Errorf("each file is read once: %s", b)
	}
}

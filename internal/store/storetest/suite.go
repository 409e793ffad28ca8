package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Keeper is a store whose local files may stay after their release.
type Keeper interface{ KeepsFiles() }

// left says whether a file is there that should have gone with its release.
func left(s store.Store, path, key string) bool {
	if _, keeps := s.(Keeper); keeps || "file://"+path == s.Root()+"/"+key {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// Run holds a store to the contract of store.Store. open gives an empty store,
// which Run closes.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	cases := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"create", create},
		{"create exists", createExists},
		{"create body is not kept", createBodyNotKept},
		{"create cancelled", createCancelled},
		{"bad keys", badKeys},
		{"absent", absent},
		{"exclusive", exclusive},
		{"exclusive in one new folder", exclusiveNewFolder},
		{"create from a file", createFrom},
		{"create from a file exists", createFromExists},
		{"create from no file", createFromNothing},
		{"open", openObject},
		{"list", list},
		{"list random", listRandom},
		{"list stops", listStops},
		{"list cancelled", listCancelled},
		{"delete", deleteObject},
		{"local", local},
		{"identity", identity},
		{"close", closeTwice},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			c.run(t, s)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v (code %s), want code %s", err, lake.CodeOf(err), lake.CodeOf(want))
	}
	var e *lake.Error
	if !errors.As(err, &e) || err.Error() == "" {
		t.Fatalf("error %#v is no lake.Error with a message", err)
	}
}

func wantBody(t testing.TB, s store.Store, key string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes, want %d: the content differs", key, len(got), len(want))
	}
}

func keysOf(t testing.TB, s store.Store, prefix, after string) []string {
	t.Helper()
	var out []string
	for info, err := range s.List(t.Context(), prefix, after) {
		must(t, err)
		out = append(out, info.Key)
	}
	return out
}

func create(t *testing.T, s store.Store) {
	for _, body := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("0123456789abcdef"), 1<<16)} {
		key := fmt.Sprintf("a/b-%d/c.bin", len(body))
		must(t, s.Create(t.Context(), key, body))
		wantBody(t, s, key, body)
		info, err := s.Stat(t.Context(), key)
		must(t, err)
		if info.Key != key || info.Size != int64(len(body)) || info.ModTime.IsZero() {
			t.Fatalf("Stat gave %+v", info)
		}
	}
	must(t, s.Create(t.Context(), "top", []byte("directly under the root")))
	wantBody(t, s, "top", []byte("directly under the root"))
}

func createExists(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/1", []byte("first")))
	for _, body := range []string{"second", "first", ""} {
		wantError(t, s.Create(t.Context(), "a/1", []byte(body)), store.ErrExists)
	}
	wantBody(t, s, "a/1", []byte("first"))
	if got := keysOf(t, s, "", ""); !slices.Equal(got, []string{"a/1"}) {
		t.Fatalf("listed %v", got)
	}
}

func createBodyNotKept(t *testing.T, s store.Store) {
	body := []byte("as it was")
	must(t, s.Create(t.Context(), "a/1", body))
	if string(body) != "as it was" {
		t.Fatalf("Create changed the body to %q", body)
	}
	copy(body, "xx")
	wantBody(t, s, "a/1", []byte("as it was"))
}

func createCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, s.Create(ctx, "a/1", []byte("x")), context.Canceled)
	wantError(t, s.CreateFrom(ctx, "a/1", tempFile(t, []byte("x"))), context.Canceled)
	if got := keysOf(t, s, "", ""); len(got) != 0 {
		t.Fatalf("listed %v", got)
	}
}

func badKeys(t *testing.T, s store.Store) {
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".a", "a/.hidden", "a\x00b", "a\nb", `a\b`,
		"a/\xff", "lock", "state/x", "a/" + strings.Repeat("x", 256),
	}
	for _, key := range bad {
		invalid := &lake.Error{Code: lake.CodeInvalidRequest}
		wantError(t, s.Create(t.Context(), key, nil), invalid)
		wantError(t, s.CreateFrom(t.Context(), key, tempFile(t, nil)), invalid)
		_, err := s.Get(t.Context(), key)
		wantError(t, err, invalid)
		_, err = s.Open(t.Context(), key)
		wantError(t, err, invalid)
		_, err = s.Stat(t.Context(), key)
		wantError(t, err, invalid)
		_, _, err = s.Local(t.Context(), key)
		wantError(t, err, invalid)
		wantError(t, s.Delete(t.Context(), key), invalid)
	}
	for _, key := range []string{"a b", "a%20b", "ä/ö", "a=1/b", "x/lock", "x/state", "lockx", strings.Repeat("x", 255)} {
		must(t, s.Create(t.Context(), key, []byte(key)))
		wantBody(t, s, key, []byte(key))
	}
}

func absent(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/b/1", []byte("x")))
	for _, key := range []string{"nothing", "no/folder", "a/b", "a", "a/b/2", "a/b/1/2"} {
		_, err := s.Get(t.Context(), key)
		wantError(t, err, lake.ErrNotFound)
		_, err = s.Open(t.Context(), key)
		wantError(t, err, lake.ErrNotFound)
		_, err = s.Stat(t.Context(), key)
		wantError(t, err, lake.ErrNotFound)
		_, _, err = s.Local(t.Context(), key)
		wantError(t, err, lake.ErrNotFound)
		must(t, s.Delete(t.Context(), key))
	}
	wantBody(t, s, "a/b/1", []byte("x"))
}

const racers = 16

// race lets all racers create one key and says whose content it is.
func race(t *testing.T, s store.Store, key string, create func(ctx context.Context, racer int) error) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, racers)
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			errs[i] = create(t.Context(), i)
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("%s: both %d and %d won", key, winner, i)
		case err == nil:
			winner = i
		default:
			wantError(t, err, store.ErrExists)
		}
	}
	if winner < 0 {
		t.Fatalf("%s: nobody won: %v", key, errs)
	}
	wantBody(t, s, key, raceBody(winner))
}

func raceBody(racer int) []byte { return bytes.Repeat([]byte{byte('a' + racer)}, 5000+racer) }

func exclusive(t *testing.T, s store.Store) {
	for round := range 25 {
		key := fmt.Sprintf("race/%020d", round)
		files := make([]string, racers)
		for i := range files {
			files[i] = tempFile(t, raceBody(i))
		}
		race(t, s, key, func(ctx context.Context, i int) error {
			if i%2 == 1 {
				return s.CreateFrom(ctx, key, files[i])
			}
			return s.Create(ctx, key, raceBody(i))
		})
	}
	if got := keysOf(t, s, "", ""); len(got) != 25 {
		t.Fatalf("listed %d keys, want 25", len(got))
	}
}

func exclusiveNewFolder(t *testing.T, s store.Store) {
	for round := range 10 {
		key := fmt.Sprintf("race/%d/deep/er/0", round)
		race(t, s, key, func(ctx context.Context, i int) error { return s.Create(ctx, key, raceBody(i)) })
	}
}

func tempFile(t testing.TB, body []byte) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "from-*.parquet")
	must(t, err)
	_, err = f.Write(body)
	must(t, errors.Join(err, f.Close()))
	return f.Name()
}

func createFrom(t *testing.T, s store.Store) {
	big := make([]byte, 9<<20+123)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(big)
	path := tempFile(t, big)
	must(t, s.CreateFrom(t.Context(), "base/data/big.parquet", path))
	still, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(still, big) {
		t.Fatal("CreateFrom changed the caller's file")
	}
	must(t, os.Remove(path))
	wantBody(t, s, "base/data/big.parquet", big)

	// Through a symbolic link it is the content that counts.
	path = tempFile(t, []byte("content"))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(path, link))
	must(t, s.CreateFrom(t.Context(), "base/data/linked", link))
	must(t, os.Remove(link))
	must(t, os.Remove(path))
	wantBody(t, s, "base/data/linked", []byte("content"))
}

func createFromExists(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/1", []byte("first")))
	path := tempFile(t, []byte("second"))
	wantError(t, s.CreateFrom(t.Context(), "a/1", path), store.ErrExists)
	wantBody(t, s, "a/1", []byte("first"))
	if _, err := os.Stat(path); err != nil {
		t.Fatal("the caller's file is gone")
	}
	// One file may become two objects.
	must(t, s.CreateFrom(t.Context(), "a/2", path))
	must(t, s.CreateFrom(t.Context(), "a/3", path))
	must(t, s.Delete(t.Context(), "a/2"))
	wantBody(t, s, "a/3", []byte("second"))
}

func createFromNothing(t *testing.T, s store.Store) {
	for _, path := range []string{filepath.Join(t.TempDir(), "nothing"), t.TempDir()} {
		err := s.CreateFrom(t.Context(), "a/1", path)
		if err == nil || errors.Is(err, lake.ErrUnknownOutcome) || errors.Is(err, store.ErrExists) {
			t.Fatalf("CreateFrom(%s): %v", path, err)
		}
	}
	if got := keysOf(t, s, "", ""); len(got) != 0 {
		t.Fatalf("listed %v", got)
	}
}

func openObject(t *testing.T, s store.Store) {
	body := []byte("0123456789")
	must(t, s.Create(t.Context(), "a/1", body))
	o, err := s.Open(t.Context(), "a/1")
	must(t, err)
	if o.Size() != 10 || o.Info().Key != "a/1" || o.Info().Size != 10 {
		t.Fatalf("size %d, info %+v", o.Size(), o.Info())
	}
	all, err := io.ReadAll(o)
	must(t, err)
	if !bytes.Equal(all, body) {
		t.Fatalf("read %q", all)
	}
	if pos, err := o.Seek(-3, io.SeekEnd); err != nil || pos != 7 {
		t.Fatalf("Seek: %d, %v", pos, err)
	}
	rest, err := io.ReadAll(o)
	must(t, err)
	if string(rest) != "789" {
		t.Fatalf("read %q after Seek", rest)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := make([]byte, 2)
			if n, err := o.ReadAt(b, int64(i)); err != nil || n != 2 || !bytes.Equal(b, body[i:i+2]) {
				t.Errorf("ReadAt(%d): %d, %v, %q", i, n, err, b)
			}
		})
	}
	wg.Wait()
	b := make([]byte, 4)
	if n, err := o.ReadAt(b, 8); n != 2 || err != io.EOF {
		t.Fatalf("ReadAt over the end: %d, %v", n, err)
	}
	if n, err := o.ReadAt(b, 10); n != 0 || err != io.EOF {
		t.Fatalf("ReadAt at the end: %d, %v", n, err)
	}
	if n, err := o.ReadAt(b, 1000); n != 0 || err != io.EOF {
		t.Fatalf("ReadAt past the end: %d, %v", n, err)
	}
	must(t, o.Close())
	must(t, o.Close())
}

func list(t *testing.T, s store.Store) {
	keys := []string{"a/1", "a/2", "a/b/1", "a-b", "a.b/1", "a0", "b/1", "catalog/00000000000000000009.json", "catalog/00000000000000000010.json"}
	for _, k := range keys {
		must(t, s.Create(t.Context(), k, []byte(k)))
	}
	slices.Sort(keys) // a-b < a.b/1 < a/1, as '-' < '.' < '/'
	cases := []struct{ prefix, after string }{
		{"", ""}, {"a", ""}, {"a/", ""}, {"a/b", ""}, {"a/b/", ""}, {"a-", ""}, {"nothing", ""}, {"nothing/", ""}, {"a/1/", ""},
		{"", "a/1"}, {"", "a/b/1"}, {"", "a/b"}, {"", "a"}, {"", "a/"}, {"", "z"}, {"a/", "a/1"}, {"a/", "a/1x"}, {"a/", "a/b/0"},
		{"catalog/", "catalog/00000000000000000009.json"}, {"catalog/", "catalog/00000000000000000010.json"}, {"catalog/", "a"}, {"a/", "b"},
	}
	for _, c := range cases {
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, c.prefix) || k <= c.after })
		if got := keysOf(t, s, c.prefix, c.after); !slices.Equal(got, want) {
			t.Errorf("List(%q, %q) gave %v, want %v", c.prefix, c.after, got, want)
		}
	}
	for info, err := range s.List(t.Context(), "", "") {
		must(t, err)
		stat, err := s.Stat(t.Context(), info.Key)
		must(t, err)
		if info != stat {
			t.Errorf("List gave %+v, Stat %+v", info, stat)
		}
	}
}

func listRandom(t *testing.T, s store.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	segments := []string{"a", "a!", "a-", "a.x", "a0", "aa", "b", "0", "z~"}
	var keys []string
	for range 60 {
		var parts []string
		for range 1 + rng.IntN(3) {
			parts = append(parts, segments[rng.IntN(len(segments))])
		}
		key := "f/" + strings.Join(parts, "/") + "/o" + segments[rng.IntN(len(segments))]
		if err := s.Create(t.Context(), key, nil); err == nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for range 60 {
		prefix, after := keys[rng.IntN(len(keys))], keys[rng.IntN(len(keys))]
		prefix, after = prefix[:rng.IntN(len(prefix)+1)], after[:rng.IntN(len(after)+1)]
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, prefix) || k <= after })
		if got := keysOf(t, s, prefix, after); !slices.Equal(got, want) {
			t.Fatalf("List(%q, %q) gave %v, want %v", prefix, after, got, want)
		}
	}
}

func listStops(t *testing.T, s store.Store) {
	for i := range 5 {
		must(t, s.Create(t.Context(), fmt.Sprintf("a/%d/x", i), nil))
	}
	n := 0
	for _, err := range s.List(t.Context(), "a/", "") {
		must(t, err)
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Fatalf("%d keys", n)
	}
}

func listCancelled(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/1", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs []error
	for _, err := range s.List(ctx, "", "") {
		errs = append(errs, err)
	}
	if len(errs) != 1 {
		t.Fatalf("errors %v, want one", errs)
	}
	wantError(t, errs[0], context.Canceled)
}

func deleteObject(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/1", []byte("x")))
	o, err := s.Open(t.Context(), "a/1")
	must(t, err)
	must(t, s.Delete(t.Context(), "a/1"))
	must(t, s.Delete(t.Context(), "a/1"))
	_, err = s.Get(t.Context(), "a/1")
	wantError(t, err, lake.ErrNotFound)
	must(t, o.Close())
	must(t, s.Create(t.Context(), "a/1", []byte("y"))) // free again
	wantBody(t, s, "a/1", []byte("y"))
}

func local(t *testing.T, s store.Store) {
	body := bytes.Repeat([]byte("parquet"), 100_000)
	must(t, s.Create(t.Context(), "base/data/1.parquet", body))
	path, release, err := s.Local(t.Context(), "base/data/1.parquet")
	must(t, err)
	if !filepath.IsAbs(path) || filepath.Base(path) != "1.parquet" {
		t.Fatalf("path %q", path)
	}
	other, releaseOther, err := s.Local(t.Context(), "base/data/1.parquet")
	must(t, err)
	releaseOther()
	releaseOther()
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, body) {
		t.Fatal("another content")
	}
	release()
	wantBody(t, s, "base/data/1.parquet", body)
	for _, p := range []string{path, other} {
		if left(s, p, "base/data/1.parquet") {
			t.Fatalf("%s is left after release", p)
		}
	}
}

func identity(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/1", []byte("one")))
	first, err := s.Stat(t.Context(), "a/1")
	must(t, err)
	again, err := s.Stat(t.Context(), "a/1")
	must(t, err)
	if first != again || first.Identity == "" {
		t.Fatalf("Stat gave %+v, then %+v", first, again)
	}
	must(t, s.Create(t.Context(), "a/2", []byte("other")))
	other, err := s.Stat(t.Context(), "a/2")
	must(t, err)
	if other.Identity == first.Identity {
		t.Fatalf("two objects with the identity %q", other.Identity)
	}
}

func closeTwice(t *testing.T, s store.Store) {
	must(t, s.Create(t.Context(), "a/1", []byte("one")))
	path, _, err := s.Local(t.Context(), "a/1")
	must(t, err)
	must(t, s.Close())
	must(t, s.Close())
	if left(s, path, "a/1") {
		t.Fatalf("%s is left after Close", path)
	}
}

package diskcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/store/diskcache"
	"tarn/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeping tells the suite that files stay.
type keeping struct{ *diskcache.Store }

func (keeping) KeepsFiles() {}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return keeping{newStore(t, remote(t), diskcache.Options{Dir: t.TempDir(), BudgetBytes: 64 << 20, Keep: parquet})}
	})
}

func parquet(key string) bool { return strings.HasSuffix(key, ".parquet") }

func remote(t *testing.T) store.Store {
	t.Helper()
	mem := memblob.OpenBucket(nil)
	t.Cleanup(func() { mem.Close() })
	return bucket.New(mem, bucket.Place{Scheme: "s3", Bucket: "mem"}, bucket.Options{Scratch: t.TempDir()})
}

func newStore(t *testing.T, source store.Store, o diskcache.Options) *diskcache.Store {
	t.Helper()
	c, err := diskcache.New(source, o)
	if err != nil {
		t.Fatal(err)
	}
	s := diskcache.NewStore(c)
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s store.Store, key string, size int) []byte {
	t.Helper()
	body := bytes.Repeat([]byte(key+"|"), size/(len(key)+1)+1)[:size]
	must(t, s.Create(t.Context(), key, body))
	return body
}

// counting counts the objects that are opened, and waits at each for gate.
type counting struct {
	store.Store
	opened atomic.Int64
	gate   chan struct{}
}

func (c *counting) Open(ctx context.Context, key string) (store.Object, error) {
	c.opened.Add(1)
	if c.gate != nil {
		<-c.gate
	}
	return c.Store.Open(ctx, key)
}

func TestFilledOnceHoweverManyAsk(t *testing.T) {
	source := &counting{Store: remote(t), gate: make(chan struct{})}
	body := put(t, source, "base/1.parquet", 20<<20+17) // three ranges
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 64 << 20})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			path, release, err := s.Local(t.Context(), "base/1.parquet")
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, body) {
				t.Errorf("another content: %v", err)
			}
		})
	}
	source.gate <- struct{}{} // a second fill would wait here for good
	wg.Wait()
	if n := source.opened.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	if st := s.Cache().Stats(); st.Fills != 1 || st.UsedBytes != int64(len(body)) || st.HeldBytes != 0 || st.FilledBytes != int64(len(body)) {
		t.Errorf("%+v", st)
	}
}

func TestLeastRecentlyUsedGoesFirstAndHeldFilesStay(t *testing.T) {
	source := remote(t)
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 300})
	for i := range 5 {
		put(t, source, fmt.Sprintf("f/%d", i), 100)
	}
	hold := func(i int) (string, func()) {
		path, release, err := s.Local(t.Context(), fmt.Sprintf("f/%d", i))
		must(t, err)
		return path, release
	}
	held, release0 := hold(0)
	for _, i := range []int{1, 2, 1, 3} { // 2 is the least recently used when 3 comes
		_, release := hold(i)
		release()
	}
	for i, want := range []bool{true, true, false, true} {
		if got := s.Cache().Has([]string{fmt.Sprintf("f/%d", i)}); got != want {
			t.Errorf("file %d is here: %t", i, got)
		}
	}
	_, release := hold(4) // 0 is older than all, and held
	release()
	if _, err := os.Stat(held); err != nil {
		t.Error("a held file was evicted")
	}
	release0()
	release0()
	if st := s.Cache().Stats(); st.UsedBytes > 300 || st.HeldBytes != 0 || st.Evictions != 2 {
		t.Errorf("%+v", st)
	}
}

func TestWhoWaitsForRoomGetsItWithTheRelease(t *testing.T) {
	source := remote(t)
	asked := make(chan int64, 1)
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 150, MakeRoom: func(_ context.Context, bytes int64) error {
		select {
		case asked <- bytes:
		default: // it asks again and again
		}
		return errors.New("nobody can give any")
	}})
	put(t, source, "a", 100)
	put(t, source, "b", 100)
	_, release, err := s.Local(t.Context(), "a")
	must(t, err)
	got := make(chan error)
	go func() {
		_, release, err := s.Local(t.Context(), "b")
		if err == nil {
			release()
		}
		got <- err
	}()
	if n := <-asked; n != 50 {
		t.Errorf("asked for %d bytes", n)
	}
	release()
	must(t, <-got)
	ctx, cancel := context.WithCancel(t.Context())
	_, release, err = s.Local(t.Context(), "b")
	must(t, err)
	defer release()
	go func() { <-asked; cancel() }()
	if _, _, err := s.Local(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFileLargerThanTheBudgetNamesTheSetting(t *testing.T) {
	source := remote(t)
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 150})
	put(t, source, "a", 151)
	put(t, source, "b", 100)
	put(t, source, "c", 100)
	_, _, err := s.Local(t.Context(), "a")
	if lake.CodeOf(err) != lake.CodeOutOfDisk || !strings.Contains(err.Error(), "disk_cache_bytes is 150") {
		t.Errorf("%v", err)
	}
	_, err = s.Cache().Hold(t.Context(), []diskcache.Need{{Key: "b", Size: 100}, {Key: "c", Size: 100}})
	if lake.CodeOf(err) != lake.CodeOutOfDisk || !strings.Contains(err.Error(), "disk_cache_bytes") {
		t.Errorf("%v", err)
	}
}

// checked is the check of these tests: a file is whole from 100 bytes on, and has
// no exclamation mark.
func checked(_ context.Context, key, path string) error {
	body, err := os.ReadFile(path)
	if err == nil && (len(body) < 100 || bytes.Contains(body, []byte("!"))) {
		err = lake.Errorf(lake.CodeDamaged, "%s is not what it was", key)
	}
	return err
}

func TestFilesOfAnEarlierServerAreCheckedAtFirstUse(t *testing.T) {
	source := remote(t)
	o := diskcache.Options{Dir: t.TempDir(), BudgetBytes: 1 << 20, Check: checked, Reuse: func(key string) bool { return key != "f/other" }}
	s := newStore(t, source, o)
	put(t, source, "f/other", 1000)
	_, release, err := s.Local(t.Context(), "f/other")
	must(t, err)
	release()
	bodies := map[string][]byte{}
	for _, key := range []string{"f/whole", "f/flipped", "f/cut", "f/gone"} {
		bodies[key] = put(t, source, key, 1000)
		_, release, err := s.Local(t.Context(), key)
		must(t, err)
		release()
	}
	s.Cache().Close()
	must(t, os.WriteFile(filepath.Join(o.Dir, "f", "flipped"), append(bytes.Clone(bodies["f/flipped"][:999]), '!'), 0o600))
	must(t, os.WriteFile(filepath.Join(o.Dir, "f", "cut"), bodies["f/cut"][:10], 0o600))
	must(t, os.Remove(filepath.Join(o.Dir, "f", "gone")))
	must(t, os.WriteFile(filepath.Join(o.Dir, ".filling", "half"), []byte("half"), 0o600))

	again := newStore(t, source, o)
	if st := again.Cache().Stats(); st.Files != 3 {
		t.Errorf("found again: %+v", st)
	}
	for key, body := range bodies {
		path, release, err := again.Local(t.Context(), key)
		must(t, err)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
		release()
	}
	if st := again.Cache().Stats(); st.Fills != 3 || st.Refilled != 1 || st.UsedBytes != 4000 {
		t.Errorf("%+v", st)
	}
}

func TestDamagedObjectIsNotServed(t *testing.T) {
	source := remote(t)
	must(t, source.Create(t.Context(), "f/bad", []byte("not so!"+strings.Repeat(" ", 100))))
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 1 << 20, Check: checked})
	for range 2 {
		if _, _, err := s.Local(t.Context(), "f/bad"); !errors.Is(err, lake.ErrDamaged) {
			t.Errorf("%v", err)
		}
	}
	if st := s.Cache().Stats(); st.UsedBytes != 0 || st.Files != 0 {
		t.Errorf("%+v", st)
	}
}

func TestWrittenFilesAreKeptWithoutAFetch(t *testing.T) {
	source := &counting{Store: remote(t)}
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 1 << 20, Keep: parquet})
	from := filepath.Join(t.TempDir(), "job.parquet")
	must(t, os.WriteFile(from, []byte("of a job"), 0o600))
	must(t, s.CreateFrom(t.Context(), "base/1.parquet", from))
	must(t, s.Create(t.Context(), "deltas/1.parquet", []byte("of a change")))
	must(t, s.Create(t.Context(), "catalog/1.json", []byte("{}")))
	must(t, os.Remove(from))
	for key, want := range map[string]string{"base/1.parquet": "of a job", "deltas/1.parquet": "of a change"} {
		path, release, err := s.Local(t.Context(), key)
		must(t, err)
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		release()
	}
	if n := source.opened.Load(); n != 0 {
		t.Errorf("fetched %d times", n)
	}
	if st := s.Cache().Stats(); st.Kept != 2 || st.Files != 2 {
		t.Errorf("%+v", st)
	}
}

// A key that is created is not what a file of that name held before.
func TestCreatedObjectReplacesAFileOfItsName(t *testing.T) {
	source := remote(t)
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 1 << 20, Keep: parquet})
	for _, body := range []string{"of one time", "of another time"} {
		must(t, s.Create(t.Context(), "deltas/1.parquet", []byte(body)))
		path, release, err := s.Local(t.Context(), "deltas/1.parquet")
		must(t, err)
		if got, err := os.ReadFile(path); err != nil || string(got) != body {
			t.Errorf("%q, %v", got, err)
		}
		release()
		must(t, source.Delete(t.Context(), "deltas/1.parquet")) // by somebody else
	}
}

func TestFillEndsWhenNobodyWaits(t *testing.T) {
	source := &counting{Store: remote(t), gate: make(chan struct{})}
	put(t, source, "a", 100)
	s := newStore(t, source, diskcache.Options{Dir: t.TempDir(), BudgetBytes: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, _, err := s.Local(ctx, "a")
		first <- err
	}()
	for source.opened.Load() == 0 {
		select {
		case err := <-first:
			t.Fatal(err)
		default:
		}
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Who comes meanwhile is not told of the other's end.
	second := make(chan error)
	go func() {
		_, release, err := s.Local(t.Context(), "a")
		if err == nil {
			release()
		}
		second <- err
	}()
	close(source.gate)
	must(t, <-second)
}

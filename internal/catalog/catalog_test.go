package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/catalog"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func local(t *testing.T) store.Store {
	t.Helper()
	s, err := store.OpenLocal(t.TempDir()+"/lake", store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t *testing.T, s store.Store) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), s, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// add gives an edit that adds a dataset of a name.
func add(name string) func(*format.Version) error {
	return func(v *format.Version) error {
		v.Datasets = append(v.Datasets, format.DatasetEntry{Namespace: "main", Name: name, TableUUID: "u-" + name, Metadata: "base/main/" + name})
		return nil
	}
}

func names(v *format.Version) string {
	var out []string
	for _, d := range v.Datasets {
		out = append(out, d.Name)
	}
	return fmt.Sprint(out)
}

func TestOpenAndReopen(t *testing.T) {
	s := local(t)
	c := open(t, s)
	first := c.Current()
	if first.Number != 1 || first.Epoch != 1 || first.LakeUUID == "" || first.Root != s.Root() {
		t.Fatalf("new lake: %+v", first)
	}
	for _, n := range []string{"zoo", "Ant", "bee"} {
		if _, err := c.Commit(t.Context(), add(n)); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, s)
	v := again.Current()
	if v.Number != 5 || v.Epoch != 2 || v.LakeUUID != first.LakeUUID || names(v) != "[Ant bee zoo]" {
		t.Errorf("reopened: %+v", v)
	}
	moved, err := catalog.Open(t.Context(), s, catalog.Options{Root: "file:///elsewhere", Now: func() time.Time { return time.Unix(7, 0) }})
	if err != nil || moved.Current().Root != "file:///elsewhere" || moved.Current().Time.Unix() != 7 {
		t.Errorf("moved: %+v, %v", moved.Current(), err)
	}
	var numbers []int64
	for n, err := range moved.Versions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if fmt.Sprint(numbers) != "[1 2 3 4 5 6]" {
		t.Errorf("versions %v", numbers)
	}
}

func TestOldVersionsMayBeMissing(t *testing.T) {
	s := local(t)
	c := open(t, s)
	for _, n := range []string{"a", "b", "c"} {
		if _, err := c.Commit(t.Context(), add(n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int64{1, 3} {
		if err := c.Delete(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(t.Context(), 4); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("the current version was deleted: %v", err)
	}
	if v := open(t, s).Current(); v.Number != 5 || names(v) != "[a b c]" {
		t.Errorf("%+v", v)
	}
	if _, err := c.Read(t.Context(), 1); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("a deleted version: %v", err)
	}
}

func TestCommitRefuses(t *testing.T) {
	c := open(t, local(t))
	if _, err := c.Commit(t.Context(), add("Taken")); err != nil {
		t.Fatal(err)
	}
	before := c.Current()
	no := errors.New("no")
	for name, x := range map[string]struct {
		edit func(*format.Version) error
		is   func(error) bool
	}{
		"edit fails":        {func(*format.Version) error { return no }, func(err error) bool { return err == no }},
		"name taken":        {add("tAKEN"), code(lake.CodeDatasetExists)},
		"bad name":          {add("no name"), code(lake.CodeInternal)},
		"no uuid":           {edit(func(d *format.DatasetEntry) { d.TableUUID = "" }), code(lake.CodeInternal)},
		"metadata":          {edit(func(d *format.DatasetEntry) { d.Metadata = "/etc/passwd" }), code(lake.CodeInternal)},
		"trimmed goes back": {edit(func(d *format.DatasetEntry) { d.TrimmedThrough = -1 }), code(lake.CodeInternal)},
		"epoch goes back":   {func(v *format.Version) error { v.Epoch = 0; return nil }, code(lake.CodeInternal)},
		"request twice": {func(v *format.Version) error {
			v.Requests = append(v.Requests, format.RequestEntry{Key: "k"}, format.RequestEntry{Key: "k"})
			return nil
		}, code(lake.CodeInternal)},
	} {
		if _, err := c.Commit(t.Context(), x.edit); err == nil || !x.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Commit(ctx, add("x")); lake.CodeOf(err) != lake.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
	if c.Current() != before {
		t.Error("a refused commit changed the catalog")
	}
}

func code(c lake.Code) func(error) bool { return func(err error) bool { return lake.CodeOf(err) == c } }

func edit(f func(*format.DatasetEntry)) func(*format.Version) error {
	return func(v *format.Version) error { f(&v.Datasets[0]); return nil }
}

func TestConcurrentCommits(t *testing.T) {
	s := local(t)
	c := open(t, s)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := c.Commit(t.Context(), add(fmt.Sprintf("d%02d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v := open(t, s).Current(); v.Number != 18 || len(v.Datasets) != 16 {
		t.Errorf("version %d with %d datasets", v.Number, len(v.Datasets))
	}
}

// TestLostAnswers: I8, a commit whose answers are lost is still one commit.
func TestLostAnswers(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LostRequest, storetest.LostAnswer, storetest.LateRequest} {
		s := local(t)
		c := open(t, storetest.NewFaulty(s, func(call storetest.Call) storetest.Fault {
			if call.Op == storetest.OpCreate && call.Number%3 != 0 {
				return fault
			}
			return storetest.NoFault
		}))
		for i := range 10 {
			if _, err := c.Commit(t.Context(), add(fmt.Sprint("d", i))); err != nil {
				t.Fatalf("fault %d: %v", fault, err)
			}
		}
		if v := open(t, s).Current(); v.Number != 12 || len(v.Datasets) != 10 {
			t.Errorf("fault %d: version %d with %d datasets", fault, v.Number, len(v.Datasets))
		}
	}
}

// TestUnsettled: while nothing is known nothing else goes in; then it is known.
func TestUnsettled(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LostRequest, storetest.LostAnswer} {
		s := local(t)
		broken := false
		c := open(t, storetest.NewFaulty(s, func(call storetest.Call) storetest.Fault {
			if broken && call.Op == storetest.OpCreate {
				return fault
			}
			if broken {
				return storetest.Refused
			}
			return storetest.NoFault
		}))
		broken = true
		for range 2 {
			if _, err := c.Commit(t.Context(), add("a")); !errors.Is(err, lake.ErrUnknownOutcome) {
				t.Fatalf("fault %d: %v", fault, err)
			}
		}
		if n, ok := c.Unsettled(t.Context()); !ok || n != 2 || c.Current().Number != 1 {
			t.Errorf("unsettled %d, %v; current %d", n, ok, c.Current().Number)
		}
		broken = false
		if fault == storetest.LostRequest {
			if v, err := c.Settle(t.Context()); err != nil || names(v) != "[a]" {
				t.Fatalf("settle: %v", err)
			}
		}
		v, err := c.Commit(t.Context(), add("b")) // settles first where Settle did not
		if err != nil || names(v) != "[a b]" || v.Number != 3 {
			t.Errorf("fault %d: %+v, %v", fault, v, err)
		}
		if _, ok := c.Unsettled(t.Context()); ok {
			t.Error("still unsettled")
		}
	}
}

func TestFenced(t *testing.T) {
	s := local(t)
	old := open(t, s)
	young := open(t, s)
	for range 2 {
		if _, err := old.Commit(t.Context(), add("a")); !errors.Is(err, lake.ErrFenced) {
			t.Errorf("the older writer: %v", err)
		}
	}
	if _, err := old.Settle(t.Context()); !errors.Is(err, lake.ErrFenced) {
		t.Errorf("settle: %v", err)
	}
	if v, err := young.Commit(t.Context(), add("b")); err != nil || names(v) != "[b]" {
		t.Errorf("the younger writer: %v", err)
	}
}

// TestDamage: I7 for the catalog.
func TestDamage(t *testing.T) {
	for name, hurt := range map[string]func(body []byte) (string, []byte){
		"flipped": func(b []byte) (string, []byte) { b[len(b)/2] ^= 1; return catalog.Key(2), b },
		"cut":     func(b []byte) (string, []byte) { return catalog.Key(2), b[:len(b)/2] },
		"empty":   func([]byte) (string, []byte) { return catalog.Key(2), nil },
		"renamed": func(b []byte) (string, []byte) { return catalog.Key(9), b },
	} {
		s := local(t)
		c := open(t, s)
		if _, err := c.Commit(t.Context(), add("a")); err != nil {
			t.Fatal(err)
		}
		body, err := s.Get(t.Context(), catalog.Key(2))
		if err != nil {
			t.Fatal(err)
		}
		key, body := hurt(body)
		if err := errors.Join(s.Delete(t.Context(), catalog.Key(2)), s.Create(t.Context(), key, body)); err != nil {
			t.Fatal(err)
		}
		if _, err := catalog.Open(t.Context(), s, catalog.Options{}); !errors.Is(err, lake.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNumber(t *testing.T) {
	if n, ok := catalog.Number(catalog.Key(42)); !ok || n != 42 {
		t.Errorf("%d, %v", n, ok)
	}
	for _, key := range []string{"catalog/1.json", "catalog/0000000000000000000x.json", "x/" + catalog.Key(1), "catalog/00000000000000000001.json.tmp", "catalog/00000000000000000000.json", "catalog/99999999999999999999.json"} {
		if _, ok := catalog.Number(key); ok {
			t.Errorf("%s is taken for a version", key)
		}
	}
}

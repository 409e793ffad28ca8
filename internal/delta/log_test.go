package delta_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"tarn/internal/delta"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const table = "6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11"

func local(t *testing.T) store.Store {
	t.Helper()
	s, err := store.OpenLocal(t.TempDir()+"/lake", store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// encode gives a delta of one row, its uuid first.
func encode(t *testing.T, tableUUID string, first, sequence int64) (string, []byte) {
	t.Helper()
	s := lake.Schema{Columns: []lake.Column{{Name: "n", Type: lake.Type{Kind: lake.Bigint}}}}.WithFieldIDs()
	b := array.NewRecordBuilder(memory.DefaultAllocator, format.ChangesSchema(s))
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(sequence)
	id := uuid.NewString()
	body, err := format.EncodeDelta(format.DeltaHeader{TableUUID: tableUUID, First: first, Sequence: sequence, UUID: id, Epoch: 1}, s,
		[]format.Changes{{Rows: b.NewRecordBatch(), Ops: []uint8{format.OpUpsert}}})
	if err != nil {
		t.Fatal(err)
	}
	return id, body
}

func put(t *testing.T, l *delta.Log, sequence int64) error {
	t.Helper()
	id, body := encode(t, table, sequence, sequence)
	return l.Create(t.Context(), sequence, body, id)
}

func filled(t *testing.T, s store.Store, n int64) *delta.Log {
	t.Helper()
	l, _, err := delta.Open(t.Context(), s, table, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	for i := range n {
		if err := put(t, l, i+1); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func reopen(t *testing.T, s store.Store, after int64) (*delta.Log, string, error) {
	t.Helper()
	l, deltas, err := delta.Open(t.Context(), s, table, after, 0)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(l.Close)
	var out []int64
	for _, d := range deltas {
		out = append(out, d.Sequence)
		fi, err := os.Stat(d.Path)
		if err != nil || fi.Size() != d.Bytes || d.Key != l.Key(d.Sequence) || l.Path(d.Key) != d.Path {
			t.Errorf("%+v: %v", d, err)
		}
	}
	return l, fmt.Sprint(out), nil
}

func TestCreateAndOpen(t *testing.T) {
	s := local(t)
	l := filled(t, s, 4)
	if err := put(t, l, 6); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("a gap: %v", err)
	}
	if err := put(t, l, 4); lake.CodeOf(err) != lake.CodeInternal {
		t.Errorf("a sequence twice: %v", err)
	}
	id, body := encode(t, table, 5, 5)
	path := t.TempDir() + "/d.parquet"
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.CreateFrom(t.Context(), 5, path, id); err != nil {
		t.Fatal(err)
	}
	again, got, err := reopen(t, s, 0)
	if err != nil || got != "[1 2 3 4 5]" || again.Last() != 5 {
		t.Errorf("%s, %v", got, err)
	}
	if err := put(t, again, 6); err != nil {
		t.Error(err)
	}
	if _, got, err := reopen(t, s, 4); err != nil || got != "[5 6]" {
		t.Errorf("%s, %v", got, err)
	}
	if l, got, err := reopen(t, s, 9); err != nil || got != "[]" || l.Last() != 9 {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTrim(t *testing.T) {
	s := local(t)
	l := filled(t, s, 5)
	if err := l.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if _, got, err := reopen(t, s, 2); err != nil || got != "[3 4 5]" {
		t.Errorf("%s, %v", got, err)
	}
	if err := l.Trim(t.Context(), 99); err != nil {
		t.Fatal(err)
	}
	if _, got, err := reopen(t, s, 4); err != nil || got != "[5]" {
		t.Errorf("%s, %v", got, err)
	}
	// A delayed request may bring back a trimmed delta: it is not looked at.
	_, body := encode(t, table, 2, 2)
	if err := s.Create(t.Context(), delta.Key(table, 2), body); err != nil {
		t.Fatal(err)
	}
	again, got, err := reopen(t, s, 4)
	if err != nil || got != "[5]" {
		t.Errorf("%s, %v", got, err)
	}
	if err := again.Trim(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), delta.Key(table, 2)); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("it was not trimmed again: %v", err)
	}
}

// TestDamage: I7 for the delta log. Each error names the key that is wrong.
func TestDamage(t *testing.T) {
	for name, x := range map[string]struct {
		after int64
		key   int64
		hurt  func(body []byte) []byte
	}{
		"gap":             {0, 3, func([]byte) []byte { return nil }},
		"first is gone":   {0, 1, func([]byte) []byte { return nil }},
		"gone after trim": {2, 3, func([]byte) []byte { return nil }},
		"flipped":         {0, 4, func(b []byte) []byte { b[20] ^= 8; return b }},
		"cut":             {0, 5, func(b []byte) []byte { return b[:len(b)-9] }},
		"empty":           {0, 2, func([]byte) []byte { return []byte{} }},
		"another table":   {0, 2, func([]byte) []byte { _, b := encode(t, uuid.NewString(), 2, 2); return b }},
		"another number":  {0, 2, func([]byte) []byte { _, b := encode(t, table, 3, 3); return b }},
		"overlap":         {0, 3, func([]byte) []byte { _, b := encode(t, table, 2, 3); return b }},
	} {
		s := local(t)
		filled(t, s, 5)
		key := delta.Key(table, x.key)
		body, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if body = x.hurt(body); body != nil {
			if err := s.Create(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := reopen(t, s, x.after); !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGap: what is missing before seals that did not find it is no damage; the log ends
// before it until it was filled up. Anything else that is missing is.
func TestGap(t *testing.T) {
	after := func(n int64) *lake.Seal { return &lake.Seal{After: n} }
	type file struct {
		sequence int64
		seal     *lake.Seal
	}
	for name, c := range map[string]struct {
		beyond []file // the deltas 1 and 2
		gap    int64  // 0: damage
	}{
		"a barrier":                                 {beyond: []file{{6, after(2)}}, gap: 6},
		"a barrier and some of the fill":            {beyond: []file{{4, after(2)}, {6, after(2)}}, gap: 6},
		"a barrier put before the second":           {beyond: []file{{6, after(1)}}, gap: 6},
		"two barriers":                              {beyond: []file{{6, after(2)}, {9, after(2)}}, gap: 9},
		"a change":                                  {beyond: []file{{4, nil}}},
		"a barrier and a change":                    {beyond: []file{{6, after(2)}, {7, nil}}},
		"a seal that found it":                      {beyond: []file{{4, after(3)}}},
		"a barrier and a seal that found it filled": {beyond: []file{{6, after(2)}, {7, after(6)}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := local(t)
			filled(t, s, 2)
			for _, f := range c.beyond {
				create(t, s, f.sequence, f.seal)
			}
			l, deltas, err := delta.Open(t.Context(), s, table, 0, 0)
			if c.gap == 0 {
				if !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), delta.Key(table, 3)) {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil || len(deltas) != 2 || l.Last() != 2 || l.Gap() != c.gap {
				t.Fatalf("%d deltas, last %d, gap %d: %v", len(deltas), l.Last(), l.Gap(), err)
			}
			t.Cleanup(l.Close)
			for n := l.Last() + 1; n < c.gap; n++ {
				if s.Create(t.Context(), delta.Key(table, n), sealed(t, n, after(2))) != nil {
					continue // it is one of those
				}
			}
			deltas, _, err = l.Extend(t.Context())
			if err != nil || int64(len(deltas)) != c.gap-2 || l.Last() != c.gap || l.Gap() != 0 {
				t.Fatalf("then %d deltas, last %d, gap %d: %v", len(deltas), l.Last(), l.Gap(), err)
			}
			if deltas[len(deltas)-1].Seal == nil {
				t.Error("the last is no seal")
			}
		})
	}
}

// create puts a delta: a seal, or one of a row.
func create(t *testing.T, s store.Store, sequence int64, seal *lake.Seal) {
	t.Helper()
	_, body := encode(t, table, sequence, sequence)
	if seal != nil {
		body = sealed(t, sequence, seal)
	}
	if err := s.Create(t.Context(), delta.Key(table, sequence), body); err != nil {
		t.Fatal(err)
	}
}

func sealed(t *testing.T, sequence int64, seal *lake.Seal) []byte {
	t.Helper()
	s := lake.Schema{Columns: []lake.Column{{Name: "n", Type: lake.Type{Kind: lake.Bigint}}}}.WithFieldIDs()
	body, err := format.EncodeDelta(format.DeltaHeader{TableUUID: table, First: sequence, Sequence: sequence, UUID: uuid.NewString(), Epoch: 2, Seal: seal}, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestRanges(t *testing.T) {
	s := local(t)
	for _, r := range [][2]int64{{1, 4}, {5, 5}, {6, 9}} {
		_, body := encode(t, table, r[0], r[1])
		if err := s.Create(t.Context(), delta.Key(table, r[1]), body); err != nil {
			t.Fatal(err)
		}
	}
	l, got, err := reopen(t, s, 0)
	if err != nil || got != "[4 5 9]" {
		t.Fatalf("%s, %v", got, err)
	}
	if err := put(t, l, 10); err != nil {
		t.Error(err)
	}
}

// TestLostAnswers: I8, a delta whose answers are lost goes in once.
func TestLostAnswers(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LostRequest, storetest.LostAnswer, storetest.LateRequest} {
		s := local(t)
		l := filled(t, storetest.NewFaulty(s, func(c storetest.Call) storetest.Fault {
			if c.Op == storetest.OpCreate && c.Number%2 == 0 {
				return fault
			}
			return storetest.NoFault
		}), 10)
		l.Close()
		if _, got, err := reopen(t, s, 0); err != nil || got != "[1 2 3 4 5 6 7 8 9 10]" {
			t.Errorf("fault %d: %s, %v", fault, got, err)
		}
	}
}

func TestUnsettled(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LostRequest, storetest.LostAnswer} {
		s := local(t)
		broken := storetest.NoFault
		f := storetest.NewFaulty(s, func(c storetest.Call) storetest.Fault {
			if c.Op == storetest.OpCreate {
				return broken
			}
			if broken != storetest.NoFault {
				return storetest.Refused
			}
			return storetest.NoFault
		})
		l := filled(t, f, 1)
		broken = fault
		if err := put(t, l, 2); !errors.Is(err, lake.ErrUnknownOutcome) {
			t.Fatalf("fault %d: %v", fault, err)
		}
		for _, sequence := range []int64{2, 3} {
			if err := put(t, l, sequence); lake.CodeOf(err) != lake.CodeUnavailable {
				t.Errorf("delta %d beside an unsettled one: %v", sequence, err)
			}
		}
		if n, ok := l.Unsettled(); !ok || n != 2 || l.Last() != 1 {
			t.Errorf("unsettled %d, %v", n, ok)
		}
		// A refusal proves nothing: an earlier try may be in.
		broken = storetest.Refused
		if err := l.Settle(t.Context()); !errors.Is(err, lake.ErrUnknownOutcome) {
			t.Errorf("settle while the store refuses: %v", err)
		}
		broken = storetest.NoFault
		if err := l.Settle(t.Context()); err != nil || l.Last() != 2 {
			t.Fatalf("settle: %v", err)
		}
		if err := errors.Join(l.Settle(t.Context()), put(t, l, 3)); err != nil {
			t.Error(err)
		}
		if _, got, err := reopen(t, s, 0); err != nil || got != "[1 2 3]" {
			t.Errorf("fault %d: %s, %v", fault, got, err)
		}
	}
}

func TestRefusedIsKnown(t *testing.T) {
	refuse := true
	l := filled(t, storetest.NewFaulty(local(t), func(c storetest.Call) storetest.Fault {
		if refuse && c.Op == storetest.OpCreate {
			return storetest.Refused
		}
		return storetest.NoFault
	}), 0)
	if err := put(t, l, 1); lake.CodeOf(err) != lake.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if _, ok := l.Unsettled(); ok {
		t.Error("a refusal left the log unsettled")
	}
	refuse = false
	if err := put(t, l, 1); err != nil {
		t.Error(err)
	}
}

func TestFenced(t *testing.T) {
	s := local(t)
	old := filled(t, s, 2)
	young, _, err := reopen(t, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t, young, 3); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := put(t, old, 3); !errors.Is(err, lake.ErrFenced) {
			t.Errorf("the older writer: %v", err)
		}
	}
	if err := old.Settle(t.Context()); !errors.Is(err, lake.ErrFenced) {
		t.Errorf("settle: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	if id, n, ok := delta.ParseKey(delta.Key(table, 7)); !ok || id != table || n != 7 {
		t.Errorf("%s %d %v", id, n, ok)
	}
	for _, key := range []string{"deltas/x", "deltas/x/7.parquet", "base/x/00000000000000000007.parquet", "deltas//00000000000000000007.parquet", "deltas/x/00000000000000000000.parquet"} {
		if _, _, ok := delta.ParseKey(key); ok {
			t.Errorf("%s is taken for a delta", key)
		}
	}
}

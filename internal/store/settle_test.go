package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

func memStore(t *testing.T) *store.Local {
	t.Helper()
	s := openLocal(t, "/lake", store.LocalOptions{FS: vfs.NewCrashableMem(), Scratch: t.TempDir()})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// faults answers the calls of one kind in turn, and then with no fault.
func faults(op string, list ...storetest.Fault) func(storetest.Call) storetest.Fault {
	return func(c storetest.Call) storetest.Fault {
		if c.Op != op || len(list) == 0 {
			return storetest.NoFault
		}
		f := list[0]
		list = list[1:]
		return f
	}
}

func TestCreateSettled(t *testing.T) {
	const (
		ok      = storetest.NoFault
		refused = storetest.Refused
		lostReq = storetest.LostRequest
		lostAns = storetest.LostAnswer
		late    = storetest.LateRequest
	)
	unavailable := lake.ErrUnavailable
	cases := []struct {
		name    string
		there   string // before
		creates []storetest.Fault
		gets    []storetest.Fault
		want    error // nil: it is in
		in      string
		tries   int // creates
	}{
		{"at once", "", nil, nil, nil, "ours", 1},
		{"request lost", "", []storetest.Fault{lostReq}, nil, nil, "ours", 2},
		{"answer lost", "", []storetest.Fault{lostAns}, nil, nil, "ours", 2},
		{"late", "", []storetest.Fault{late}, nil, nil, "ours", 2},
		{"late twice", "", []storetest.Fault{late, late}, nil, nil, "ours", 3},
		{"all requests lost", "", []storetest.Fault{lostReq, lostReq, lostReq, lostReq}, nil, lake.ErrUnknownOutcome, "", 4},
		{"all answers lost", "", []storetest.Fault{lostAns, lostAns, lostAns, lostAns}, nil, lake.ErrUnknownOutcome, "ours", 4},
		{"refused", "", []storetest.Fault{refused}, nil, unavailable, "", 1},
		{"answer lost, then refused", "", []storetest.Fault{lostAns, refused, refused, refused}, nil, lake.ErrUnknownOutcome, "ours", 4},
		{"answer lost, refused, then back", "", []storetest.Fault{lostAns, refused, ok}, nil, nil, "ours", 3},
		{"answer lost, reading fails once", "", []storetest.Fault{lostAns}, []storetest.Fault{refused}, nil, "ours", 3},
		{"answer lost, reading fails", "", []storetest.Fault{lostAns}, []storetest.Fault{refused, refused, refused, refused}, lake.ErrUnknownOutcome, "ours", 4},
		{"foreign", "theirs", nil, nil, store.ErrExists, "theirs", 1},
		{"foreign, answer lost", "theirs", []storetest.Fault{lostAns}, nil, store.ErrExists, "theirs", 2},
		{"ours from before", "ours", nil, nil, nil, "ours", 1},
	}
	for _, c := range cases {
		for _, from := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/from file %v", c.name, from), func(t *testing.T) {
				inner := memStore(t)
				if c.there != "" {
					if err := inner.Create(t.Context(), "a/1", []byte(c.there)); err != nil {
						t.Fatal(err)
					}
				}
				tries := 0
				create, get, open := faults(storetest.OpCreate, c.creates...), faults(storetest.OpGet, c.gets...), faults(storetest.OpOpen, c.gets...)
				s := storetest.NewFaulty(inner, func(call storetest.Call) storetest.Fault {
					switch call.Op {
					case storetest.OpCreate:
						tries++
						return create(call)
					case storetest.OpGet:
						return get(call)
					default:
						return open(call)
					}
				})
				err := settled(t, s, "a/1", "ours", from)
				if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
					t.Fatalf("error %v, want %v", err, c.want)
				}
				if tries != c.tries {
					t.Errorf("%d tries, want %d", tries, c.tries)
				}
				got, err := inner.Get(t.Context(), "a/1")
				if c.in == "" {
					if !errors.Is(err, lake.ErrNotFound) {
						t.Errorf("there is %q, %v", got, err)
					}
				} else if string(got) != c.in {
					t.Errorf("there is %q, %v; want %q", got, err, c.in)
				}
			})
		}
	}
}

// settled creates body by one of the two ways.
func settled(t *testing.T, s store.Store, key, body string, from bool) error {
	t.Helper()
	if !from {
		return store.CreateSettled(t.Context(), s, key, []byte(body), func(b []byte) bool { return string(b) == body })
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return store.CreateFromSettled(t.Context(), s, key, path, func(o store.Object) (bool, error) {
		b, err := io.ReadAll(o)
		return string(b) == body, err
	})
}

func TestCreateSettledEndsWithItsContext(t *testing.T) {
	inner := memStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	s := storetest.NewFaulty(inner, func(storetest.Call) storetest.Fault {
		tries++
		cancel()
		return storetest.LostAnswer
	})
	err := store.CreateSettled(ctx, s, "a/1", []byte("x"), func([]byte) bool { return true })
	if !errors.Is(err, lake.ErrUnknownOutcome) || tries != 1 {
		t.Fatalf("%v after %d tries; want an unknown outcome after 1", err, tries)
	}
}

// A numbered log with one writer that settles: whatever is lost, each
// acknowledged number holds its content, and a number is tried only after the
// one before it is known (I8).
func TestSettledLogIsWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inner := memStore(t)
		s := storetest.NewFaulty(inner, func(storetest.Call) storetest.Fault {
			return rapid.SampledFrom([]storetest.Fault{
				storetest.NoFault, storetest.NoFault, storetest.Refused, storetest.LostRequest, storetest.LostAnswer, storetest.LateRequest,
			}).Draw(rt, "fault")
		})
		acknowledged := map[string][]byte{}
		sequence := 1
		for n := range rapid.IntRange(1, 15).Draw(rt, "requests") {
			key, body := fmt.Sprintf("log/%020d", sequence), fmt.Appendf(nil, "request %d", n)
			for open := false; ; {
				err := store.CreateSettled(rt.Context(), s, key, body, func(b []byte) bool { return bytes.Equal(b, body) })
				if errors.Is(err, store.ErrExists) {
					rt.Fatalf("%s: foreign content with one writer: %v", key, err)
				}
				if err == nil {
					acknowledged[key] = body
					sequence++
				}
				// Only nil ends what an earlier call left open.
				open = err != nil && (open || errors.Is(err, lake.ErrUnknownOutcome))
				if !open {
					break
				}
			}
		}
		listed := 0
		for info, err := range inner.List(rt.Context(), "log/", "") {
			if err != nil {
				rt.Fatal(err)
			}
			listed++
			if want := fmt.Sprintf("log/%020d", listed); info.Key != want {
				rt.Fatalf("%s follows number %d", info.Key, listed-1)
			}
			got, err := inner.Get(rt.Context(), info.Key)
			if err != nil || !bytes.Equal(got, acknowledged[info.Key]) {
				rt.Fatalf("%s holds %q, %v; acknowledged was %q", info.Key, got, err, acknowledged[info.Key])
			}
		}
		if listed != len(acknowledged) {
			rt.Fatalf("%d objects, %d acknowledged", listed, len(acknowledged))
		}
	})
}

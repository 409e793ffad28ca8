package serving

import (
	"context"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// A query that runs out of memory, of DuckDB's own, beside another that is in the
// worker: it runs again once that has ended, at the read point of then.
func TestAQueryRunsAgainAtALaterReadPoint(t *testing.T) {
	l := newTestLake(t, Options{Duck: duck.Options{MemoryLimitBytes: 64 << 20}}).begin()
	s := simple(t)
	l.publish("u", "d", row(1, "a"))
	neighbour := l.s.lanes.enter(1)
	l.s.lanes.run(neighbour)
	runs := 0
	// Asked once it has been noted that the neighbour was beside it.
	unsent := func() bool { l.s.lanes.leave(neighbour); return false }
	err := l.s.Retry(t.Context(), 2, unsent, func(ctx context.Context) error {
		if runs++; runs == 1 {
			a, err := l.s.Query(ctx, Request{See: l.number, SQL: "SELECT list(range) FROM d, range(50000000)"})
			if err == nil {
				_, err = read(ctx, a)
				a.Close()
			}
			if n := asked(err); lake.CodeOf(err) != lake.CodeOutOfMemory || n <= 0 || n > 64<<20 {
				t.Errorf("%v asks for %d", err, n) // DuckDB words it otherwise
			}
			l.tell(applyEntry("u", l.delta("u", s, 1, []change{{row: row(2, "b")}})))
			return err
		}
		a, err := l.s.Query(ctx, Request{See: l.number, SQL: "SELECT * FROM d"})
		if err != nil {
			return err
		}
		defer a.Close()
		got, err := read(ctx, a)
		if len(got) != 2 || a.ReadPoints["d"].Sequence != 1 {
			t.Errorf("%v at %v", got, a.ReadPoints)
		}
		return err
	})
	if err != nil || runs != 2 {
		t.Fatalf("%d runs, %v", runs, err)
	}
	// Alone it needs more than there is.
	runs = 0
	err = l.s.Retry(t.Context(), 2, func() bool { return false }, func(ctx context.Context) error {
		runs++
		a, err := l.s.Query(ctx, Request{See: l.number, SQL: "SELECT list(range) FROM d, range(50000000)"})
		if err == nil {
			_, err = read(ctx, a)
			a.Close()
		}
		return err
	})
	if lake.CodeOf(err) != lake.CodeOutOfMemory || runs != 1 {
		t.Fatalf("%d runs, %v", runs, err)
	}
}

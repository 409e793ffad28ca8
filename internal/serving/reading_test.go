package serving

import (
	"errors"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// A reading without a transaction serves its statement only while nothing is committed
// after it was made: else the statement would be answered at another read point than the
// one that is told.
func TestAReadingIsOfOneCommit(t *testing.T) {
	for _, hot := range []bool{false, true} {
		l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
		l.publish("a", "a", row(1, "one"))
		ctx := l.context()
		if hot {
			if _, err := l.s.LoadImage(ctx, "a", 0); err != nil {
				t.Fatal(err)
			}
		}
		sess, err := l.s.pool.get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.s.admit(ctx, sess, Request{SQL: "SELECT count(*) FROM a"})
		if err != nil {
			t.Fatal(err)
		}
		before, err := l.s.begin(ctx, sess, p, l.number, true)
		if err != nil {
			t.Fatal(err)
		}
		l.tell(applyEntry("a", l.delta("a", simple(t), 1, []change{{row: row(2, "two")}})))
		if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
			t.Fatal(err)
		}
		if _, err := before.start(ctx, p.sql, p.params); !errors.Is(err, duck.ErrNotAlone) {
			t.Errorf("hot %t: after another commit: %v", hot, err)
		}
		before.end(ctx)

		if _, _, ok := l.s.ear.standing([]string{"a"}, []lake.Name{name("b")}, before.guards); ok {
			t.Errorf("hot %t: it stands under another's name", hot)
		}
		settled := l.s.ear.committing()
		if _, err := l.s.begin(ctx, sess, p, l.number, true); !errors.Is(err, duck.ErrNotAlone) {
			t.Errorf("hot %t: while a commit is under way: %v", hot, err)
		}
		settled()
		after, err := l.s.begin(ctx, sess, p, l.number, true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := after.start(ctx, p.sql, p.params)
		if err != nil {
			t.Fatal(err)
		}
		a := newAnswer(l.s, sess, after, s, p)
		got, err := read(ctx, a)
		if err != nil || len(got) != 1 || got[0] != `{"count_star()":2}` || a.ReadPoints["a"].Sequence != 1 {
			t.Errorf("hot %t: %v at %+v: %v", hot, got, a.ReadPoints, err)
		}
		a.Close()
	}
}

// Where a text is of an image that has gone since, the query runs within a transaction,
// over what is there now, and does not fail.
func TestAReadingOfAnImageThatWent(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	l.publish("a", "a", row(1, "one"))
	l.load("a")
	ctx := l.context()
	sess, err := l.s.pool.get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer l.s.pool.put(sess, true)
	p, ok := l.s.pointRead(Request{SQL: "SELECT * FROM a WHERE id = 1"})
	if !ok {
		t.Fatal("it is no read by key")
	}
	r, err := l.s.begin(ctx, sess, p, l.number, true)
	if err != nil {
		t.Fatal(err)
	}
	sql, err := p.byKey.sql(p.datasets[0], r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.s.DropImage(ctx, "a", l.number); err != nil {
		t.Fatal(err)
	}
	if _, err := r.start(ctx, sql, p.params); !errors.Is(err, duck.ErrNotAlone) {
		t.Error(err)
	}
	r.end(ctx)
}

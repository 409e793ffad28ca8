package serving

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// What the gate said of a text holds as long as the names do.
func TestATextIsCheckedAgainWhenNamesChange(t *testing.T) {
	l := newTestLake(t, Options{}).begin()
	simple(t)
	l.publish("u", "d")
	const sql = "SELECT count(*) FROM d"
	for range 2 {
		l.ask(sql)
	}
	version := l.s.ear.namesVersion()
	if _, ok := l.s.gated.get(sql, version); !ok {
		t.Fatal("it is not kept")
	}
	l.tell(lake.Entry{Rename: &lake.Rename{TableUUID: "u", To: name("e")}})
	if _, err := l.s.Query(context.Background(), Request{SQL: sql, See: l.number}); lake.CodeOf(err) != lake.CodeDatasetNotFound {
		t.Fatalf("d is e now: %v", err)
	}
	if l.s.ear.namesVersion() == version {
		t.Fatal("the names changed")
	}
	l.publish("v", "d")
	l.ask(sql)
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "v"}})
	if _, err := l.s.Query(context.Background(), Request{SQL: sql, See: l.number}); lake.CodeOf(err) != lake.CodeDatasetNotFound {
		t.Fatalf("d was dropped: %v", err)
	}
	l.publish("w", "main.D") // written otherwise
	a, err := l.s.Query(context.Background(), Request{SQL: sql, See: l.number})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, ok := a.ReadPoints["D"]; !ok {
		t.Fatalf("%v", a.ReadPoints)
	}
	if _, err := l.s.Query(context.Background(), Request{SQL: sql, See: l.number, MaxSQLBytes: 3}); lake.CodeOf(err) != lake.CodeTooLarge {
		t.Fatalf("too long: %v", err)
	}
}

func TestSoManyTextsAreKept(t *testing.T) {
	g := newGated()
	text := func(i int) string { return fmt.Sprint("select ", i) }
	for i := range mostGated + 10 {
		g.put(text(i), 1, duck.Checked{SQL: text(i)})
		if _, ok := g.get(text(0), 1); !ok {
			t.Fatalf("what is in use went after %d", i)
		}
	}
	if _, ok := g.get(text(1), 1); ok || len(g.mu.texts) != mostGated || g.mu.recent.Len() != mostGated {
		t.Fatalf("%d texts", len(g.mu.texts))
	}
	g.put(text(0), 2, duck.Checked{SQL: "other"})
	if c, ok := g.get(text(0), 2); !ok || c.SQL != "other" || len(g.mu.texts) != mostGated {
		t.Fatalf("%+v", c)
	}
	if _, ok := g.get(text(0), 1); ok {
		t.Fatal("it was said of other names")
	}
	long := strings.Repeat("x", longestSQL+1)
	g.put(long, 1, duck.Checked{})
	if _, ok := g.get(long, 1); ok {
		t.Fatal("a long text is kept")
	}
}

// Where datasets stand is read by a plan that is kept while datasets come and go.
func TestWhereDatasetsStandIsReadAnew(t *testing.T) {
	l := newTestLake(t, Options{MaxConcurrent: 1}).begin() // one session
	l.publish("u", "d", row(1, "a"))
	for i := range 5 {
		l.ask("SELECT * FROM d")
		other := fmt.Sprint("o", i)
		l.publish(other, other, row(1, "a"))
		got, a := l.ask(fmt.Sprintf("SELECT count(*) FROM d, %s", other))
		if len(got) != 1 || len(a.ReadPoints) != 2 {
			t.Fatalf("%v, %v", got, a.ReadPoints)
		}
		l.tell(applyEntry("u", l.delta("u", simple(t), int64(i+1), []change{{row: row(10+i, "b")}})))
		if _, a = l.ask("SELECT * FROM d"); len(a.ReadPoints) != 1 || a.ReadPoints["d"].Sequence != int64(i+1) {
			t.Fatalf("%v", a.ReadPoints)
		}
		if i%2 == 1 {
			l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: other}})
		}
	}
}

package serving

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tarn/internal/lake"
)

const ample = 1 << 30

// load makes a dataset hot.
func (l *testLake) load(uuid string) Image {
	l.t.Helper()
	m, err := l.s.LoadImage(l.context(), uuid, l.number)
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

func (l *testLake) context() context.Context {
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	l.t.Cleanup(stop)
	return ctx
}

func TestImageComesAndGoes(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	s := simple(t)
	var objects []string
	for i := range 5000 {
		objects = append(objects, row(i, "base"))
	}
	l.publish("u", "d", objects...)
	l.tell(applyEntry("u", l.delta("u", s, 1, []change{{row: row(7, "pending")}, {key: `{"id":8}`}})))
	from := func(want string) {
		t.Helper()
		got, a := l.ask("SELECT count(*) AS n, count(*) FILTER (v = 'base') AS b, max(id) AS m FROM d")
		if a.ServedFrom["d"] != want {
			t.Fatalf("served from %v, want %s", a.ServedFrom, want)
		}
		t.Log(got)
	}
	from(lake.ServedFromParquet)
	m := l.load("u")
	t.Logf("%+v", m)
	from(lake.ServedFromImage)
	for i := range 20 {
		l.tell(applyEntry("u", l.delta("u", s, int64(i+2), []change{{row: row(i*3, "changed")}, {row: row(9000+i, "new")}, {key: fmt.Sprintf(`{"id":%d}`, 4000+i)}})))
		from(lake.ServedFromImage)
	}
	want, _ := l.ask("SELECT * FROM d")
	t.Logf("%+v", l.s.Images())
	if m, err := l.s.DropImage(l.context(), "u", l.number); err != nil || m.State != ImageCold {
		t.Fatalf("%+v %v", m, err)
	}
	from(lake.ServedFromParquet)
	got, _ := l.ask("SELECT * FROM d")
	same(t, "cold", got, want)
	t.Logf("%+v", l.s.Images())
	l.load("u")
	got, _ = l.ask("SELECT * FROM d")
	same(t, "hot again", got, want)
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "u"}})
	l.checkEmpty()
	t.Logf("%+v", l.s.Images())
}

// checkMemory holds the books against what DuckDB says.
func (l *testLake) checkMemory() {
	l.t.Helper()
	ctx := l.context()
	conn, err := connect(ctx, l.s.db)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	n, err := measureTables(ctx, conn)
	if err != nil {
		l.t.Fatal(err)
	}
	images := l.s.Images()
	tables := int64(0)
	for _, m := range images.Images {
		tables += m.Bytes - m.FilterBytes
	}
	if tables > n {
		l.t.Fatalf("images take %d bytes by the books, all tables %d by DuckDB: %+v", tables, n, images)
	}
}

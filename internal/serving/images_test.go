package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tarn/internal/lake"
)

// until waits for a condition that the publisher brings about.
func (l *testLake) until(what string, ok func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: %+v", what, l.s.Images())
		}
	}
}

func (l *testLake) measured() int64 {
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
	return n
}

// many is a dataset of n rows made by DuckDB: id and a text of some width.
func (l *testLake) many(uuid string, n, width int) {
	l.t.Helper()
	s := simple(l.t)
	f := l.baseFile(s, []string{row(0, "first")}, nil)
	l.exec(fmt.Sprintf("COPY (SELECT i AS id, repeat(md5(i::VARCHAR), %d) AS v FROM range(%d) r(i)) TO %s (FORMAT parquet, FIELD_IDS {id: 1, v: 2})",
		(width+31)/32, n, lake.QuoteString(f.Path)))
	f.Lower, f.Upper, f.Identity, f.Rows, f.Bytes = nil, nil, "", int64(n), int64(n*width)
	l.tell(publishEntry(lake.Publish{TableUUID: uuid, Name: name(uuid), Schema: s, Files: []lake.BaseFile{f}}))
}

// A load ends complete beside a stream of applies to its own dataset and to
// another, whose readers go on seeing exact prefixes.
func TestLoadUnderApplies(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	s := simple(t)
	const n = 600_000
	l.many("big", n, 8)
	l.publish("small", "small")
	loaded := make(chan error, 1)
	go func() {
		_, err := l.s.LoadImage(l.context(), "big", 0)
		loaded <- err
	}()
	seq := int64(0)
	for done := false; !done || seq < 20; {
		select {
		case err := <-loaded:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		seq++
		l.tell(applyEntry("big", l.delta("big", s, seq, []change{{row: row(int(seq)*7, "changed")}, {row: row(n+int(seq), "new")}, {key: fmt.Sprintf(`{"id":%d}`, int(seq)*7+1)}})),
			applyEntry("small", l.delta("small", s, seq, []change{{row: row(int(seq), "x")}})))
		got, a := l.ask("SELECT (SELECT count(*) FROM big) AS b, (SELECT count(*) FROM big WHERE v = 'changed') AS c, (SELECT count(*) FROM small) AS s")
		same(t, "beside the load", got, []string{fmt.Sprintf(`{"b":%d,"c":%d,"s":%d}`, n, seq, seq)})
		if a.ReadPoints["big"].Sequence != seq {
			t.Fatal(a.ReadPoints)
		}
	}
	hot, a := l.ask("SELECT count(*) AS n, sum(hash(id, v))::VARCHAR AS h FROM big")
	if a.ServedFrom["big"] != lake.ServedFromImage {
		t.Fatal(a.ServedFrom)
	}
	if _, err := l.s.DropImage(l.context(), "big", l.number); err != nil {
		t.Fatal(err)
	}
	cold, _ := l.ask("SELECT count(*) AS n, sum(hash(id, v))::VARCHAR AS h FROM big")
	same(t, "hot and cold", hot, cold)
}

// A reader that began before images came and went ends on the data that it began
// with; what it holds of them counts until it has ended, and then is gone.
func TestLongReader(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	l.many("big", 200_000, 64)
	l.load("big")
	ctx := l.context()
	a, err := l.s.Query(ctx, Request{SQL: "SELECT id FROM big", See: l.number})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	rec, err := a.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := rec.NumRows()
	rec.Release()
	bytes := l.s.Images().UsedBytes
	for i := range 3 {
		if _, err := l.s.DropImage(ctx, "big", l.number); err != nil {
			t.Fatal(err)
		}
		m := l.s.Images()
		if m.HeldBytes < bytes/2*int64(i+1) || m.UsedBytes != m.HeldBytes {
			t.Fatalf("after drop %d of images of %d bytes: %+v", i+1, bytes, m)
		}
		l.load("big")
	}
	if used, held := l.s.Images().UsedBytes, l.measured(); used > held+bytes {
		t.Fatalf("%d bytes by the books, %d by DuckDB", used, held)
	}
	l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: "big"}})
	if err := l.s.ear.waitApplied(ctx, l.number); err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := a.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += rec.NumRows()
		rec.Release()
	}
	if n != 200_000 {
		t.Fatalf("%d rows", n)
	}
	a.Close()
	if m := l.s.Images(); m.UsedBytes != 0 || m.HeldBytes != 0 {
		t.Fatalf("after the reader: %+v", m)
	}
	l.checkEmpty()
}

// Random loads, drops, changes and folds of many datasets: what is used never
// exceeds the budget, DuckDB agrees, every answer is right, and in the end
// memory is where it was. (I5)
func TestBudget(t *testing.T) {
	for _, budget := range []int64{0, 1 << 20, 6 << 20, 14 << 20, ample} {
		t.Run(fmt.Sprintf("%dMiB", budget>>20), func(t *testing.T) {
			t.Parallel()
			l := newTestLake(t, Options{ImageBudgetBytes: budget}).begin()
			r := rand.New(rand.NewPCG(uint64(budget), 3))
			s := simple(t)
			began := l.settled()
			const datasets, rows = 5, 8000
			uuid := func(i int) string { return fmt.Sprintf("d%d", i) }
			var seq [datasets]int64
			var count [datasets]int
			for i := range datasets {
				l.many(uuid(i), rows*(i+1), 64)
				count[i] = rows * (i + 1)
			}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
					}
					if m := l.s.Images(); m.UsedBytes > m.BudgetBytes || m.HeldBytes > m.UsedBytes {
						t.Errorf("%+v", m)
						return
					}
				}
			})
			loads := 0
			for range 60 {
				i := r.IntN(datasets)
				switch r.IntN(5) {
				case 0, 1:
					m, err := l.s.LoadImage(l.context(), uuid(i), l.number)
					switch {
					case err == nil:
						loads++
					case budget == ample || lake.CodeOf(err) != lake.CodeOutOfMemory || m.Projected <= 0 || m.State != ImageCold:
						t.Errorf("%+v %v", m, err)
					}
				case 2:
					if _, err := l.s.DropImage(l.context(), uuid(i), l.number); err != nil {
						t.Error(err)
					}
				default:
					seq[i]++
					var changes []change
					n := 1 + r.IntN(400)
					for j := range n {
						changes = append(changes, change{row: row(rows*10*int(seq[i])+j, "new new new new")})
					}
					count[i] += n
					l.tell(applyEntry(uuid(i), l.delta(uuid(i), s, seq[i], changes)))
				}
				got, _ := l.ask("SELECT count(*) AS n FROM " + uuid(i))
				same(t, uuid(i), got, []string{fmt.Sprintf(`{"n":%d}`, count[i])})
				l.checkMemory()
			}
			if loads > 0 && budget == 0 || loads == 0 && budget >= 6<<20 {
				t.Errorf("%d loads: %+v", loads, l.s.Images())
			}
			for i := range datasets {
				l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: uuid(i)}})
			}
			l.checkEmpty()
			close(stop)
			wg.Wait()
			if m := l.s.Images(); m.UsedBytes != 0 || len(m.Images) != 0 {
				t.Errorf("in the end: %+v", m)
			}
			if ends := l.settled(); ends > began+blockBytes {
				t.Errorf("tables took %d bytes in the beginning and take %d in the end", began, ends)
			}
		})
	}
}

// settled gives the bytes of tables once a CHECKPOINT has nothing left to do.
func (l *testLake) settled() (n int64) {
	l.t.Helper()
	conn, err := connect(l.context(), l.s.db)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	l.until("checkpoint", func() bool { return conn.Exec(context.Background(), "CHECKPOINT "+catalogName) == nil })
	return l.measured()
}

// Callers join one load; one who goes away does not end it for the other, and
// the last does. A drop and a content commit end it, a fold does not.
func TestLoadsAreJoinedAndCancelled(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	l.many("big", 400_000, 32)
	short, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			ctx := l.context()
			if i == 0 {
				ctx = short
			}
			_, errs[i] = l.s.LoadImage(ctx, "big", l.number)
		})
	}
	l.until("loading", func() bool { return len(l.s.Images().Images) == 1 })
	cancel()
	wg.Wait()
	if c := lake.CodeOf(errs[0]); errs[0] != nil && c != lake.CodeCancelled || errs[1] != nil || errs[2] != nil {
		t.Fatal(errs)
	}
	n, err := l.s.ProjectImage(l.context(), "big", l.number)
	if err != nil || n != l.s.Images().UsedBytes {
		t.Fatal(n, err)
	}
	hot := func() int64 { // of the last load
		for _, m := range l.s.Images().Images {
			if m.State == ImageHot {
				return m.Bytes
			}
		}
		return 0
	}
	was := hot()
	for _, end := range []func(){
		func() {
			if _, err := l.s.DropImage(l.context(), "big", l.number); err != nil {
				t.Error(err)
			}
		},
		func() {
			f := l.baseFile(simple(t), []string{row(1, "other")}, nil)
			l.tell(publishEntry(lake.Publish{TableUUID: "big", Name: name("big"), Schema: simple(t), Files: []lake.BaseFile{f}, FoldedThrough: 1, Sequence: 1, Content: true}))
		},
	} {
		if _, err := l.s.DropImage(l.context(), "big", l.number); err != nil {
			t.Fatal(err)
		}
		if n, err := l.s.ProjectImage(l.context(), "big", l.number); err != nil || n < was/2 || n > was*2 {
			t.Fatalf("projected %d of %d: %v", n, was, err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := l.s.LoadImage(l.context(), "big", l.number)
			done <- err
		}()
		l.until("loading", func() bool {
			for _, m := range l.s.Images().Images {
				if m.State == ImageLoading {
					return true
				}
			}
			return len(done) > 0
		})
		end()
		if err := <-done; err != nil && lake.CodeOf(err) != lake.CodeCancelled {
			t.Fatal(err)
		}
	}
	got, _ := l.ask("SELECT id FROM big")
	same(t, "replaced", got, []string{`{"id":1}`})
	_, err = l.s.LoadImage(l.context(), "nobody", l.number)
	wantCode(t, err, lake.CodeDatasetNotFound)
}

// An image of which a little was replaced is sorted anew once it is left alone.
func TestAnImageAtRestIsSortedAnew(t *testing.T) {
	s := simple(t)
	now := time.Now()
	p := &publisher{}
	for _, c := range []struct {
		rows, replaced, passed int64
		changed                time.Duration // before now
		soonest                time.Duration // after now
		is                     bool
		at                     time.Duration // after now; 0: never
	}{
		{rows: 100_000, replaced: 5_000, is: true},
		{rows: 100_000, replaced: 4_999, changed: time.Second, at: restingTime - time.Second},
		{rows: 100_000, replaced: 400, changed: restingTime, is: true},
		{rows: 100_000, replaced: 390, changed: time.Hour},
		{rows: 100_000, replaced: 4_000, passed: 3_900, changed: time.Hour},
		{rows: rebuildRows - 1, replaced: 5_000, changed: time.Hour},
		{rows: 100_000, replaced: 400, changed: time.Hour, soonest: time.Minute, at: time.Minute},
		{rows: 100_000, replaced: 400, changed: time.Second, soonest: time.Millisecond, at: restingTime - time.Second},
	} {
		m := p.newImage("a", s)
		m.counts, m.passed, m.at = imageCounts{rows: c.rows, replaced: c.replaced}, c.passed, now.Add(-c.changed)
		is, at := m.worn(now, now.Add(c.soonest))
		if is != c.is || !is && (c.at == 0) != at.IsZero() || c.at > 0 && at.Sub(now) != c.at {
			t.Errorf("%+v: %t, in %s", c, is, at.Sub(now))
		}
	}

	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	const n = 50_000
	l.many("big", n, 8)
	l.load("big")
	before := l.s.Images().Images[0].LoadedAt
	var changes []change
	for i := range n / 100 {
		changes = append(changes, change{row: row(i*97, "changed")})
	}
	l.tell(applyEntry("big", l.delta("big", s, 1, changes)))
	l.until("sorted anew at rest", func() bool {
		m := l.s.Images().Images
		return len(m) == 1 && m[0].State == ImageHot && m[0].LoadedAt.After(before)
	})
	got, a := l.ask("SELECT count(*) AS n, count(*) FILTER (v = 'changed') AS c FROM big")
	same(t, "sorted anew", got, []string{fmt.Sprintf(`{"n":%d,"c":%d}`, n, n/100)})
	if a.ServedFrom["big"] != lake.ServedFromImage {
		t.Error(a.ServedFrom)
	}
}

// Where the copy of one image does not fit, the others are looked at all the same: no event
// of images at rest would have them looked at later.
func TestAnImageThatDoesNotFitTwiceIsPassedOver(t *testing.T) {
	p := &publisher{readers: &readers{}, board: &board{}, datasets: map[string]*dataset{}, noted: map[string]*dataset{}}
	for _, uuid := range []string{"a", "b", "c"} {
		m := p.newImage(uuid, simple(t))
		m.counts = imageCounts{rows: 100_000, replaced: 5_000}
		d := &dataset{uuid: uuid, image: m, shown: shown{on: true, image: m}}
		p.datasets[uuid], p.noted[uuid] = d, d
	}
	p.tend(t.Context())
	for uuid, d := range p.datasets {
		if d.reason == "" {
			t.Errorf("%s was not looked at", uuid)
		}
	}
}

// An image of which much was replaced is sorted anew while it is changed and
// read.
func TestRebuild(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	s := simple(t)
	const n = 300_000
	l.many("big", n, 8)
	l.load("big")
	seq := int64(0)
	for range 12 {
		var changes []change
		for i := range 10_000 {
			changes = append(changes, change{row: row((i*29+int(seq)*7)%n, fmt.Sprint("r", seq))})
		}
		seq++
		l.tell(applyEntry("big", l.delta("big", s, seq, changes)))
		got, a := l.ask(fmt.Sprintf("SELECT count(*) AS n, count(*) FILTER (v = 'r%d') AS r FROM big", seq-1))
		same(t, "while it is replaced", got, []string{fmt.Sprintf(`{"n":%d,"r":10000}`, n)})
		if a.ServedFrom["big"] != lake.ServedFromImage {
			t.Fatal(a.ServedFrom)
		}
	}
	sorted := func() bool {
		a, err := l.s.Query(l.context(), Request{Trusted: true, SQL: "SELECT max(n) AS n FROM (SELECT right(table_name, 1)::INTEGER AS n FROM duckdb_tables() WHERE table_name LIKE 'image_big%')"})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		got, err := read(l.context(), a)
		return err == nil && len(got) == 1 && got[0] != `{"n":1}`
	}
	l.until("sorted anew", sorted)
	hot, _ := l.ask("SELECT count(*) AS n, sum(hash(id, v))::VARCHAR AS h FROM big")
	l.until("one image", func() bool { return len(l.s.Images().Images) == 1 })
	if _, err := l.s.DropImage(l.context(), "big", l.number); err != nil {
		t.Fatal(err)
	}
	cold, _ := l.ask("SELECT count(*) AS n, sum(hash(id, v))::VARCHAR AS h FROM big")
	same(t, "hot and cold", hot, cold)
	if m := l.s.Images(); m.UsedBytes != 0 {
		t.Fatalf("%+v", m)
	}
}

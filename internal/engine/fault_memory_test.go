package engine_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/walls"
)

// bombs are queries that ask for everything. n makes each a text of its own, which no
// earlier death has made suspect and no kept answer answers.
var bombs = map[string]func(n int) string{
	"sorted cross join": func(n int) string {
		return fmt.Sprintf("select a.id, b.v from big a cross join big b order by hash(a.id * %d + b.id)", n+1)
	},
	"list_resize":       func(n int) string { return fmt.Sprintf("select list_resize([1], %d)", 900_000_000+n) },
	"list in a list":    func(n int) string { return fmt.Sprintf("select list_resize([list_resize([%d], 100000)], 100000)", n) },
	"huge string":       func(n int) string { return fmt.Sprintf("select repeat('x', %d)", 2_000_000_000+n) },
	"many huge strings": func(n int) string { return fmt.Sprintf("select repeat('abc%d', 20000000) from range(1000)", n) },
	"a string of all":   func(n int) string { return fmt.Sprintf("select string_agg(v || '%d', ',') from big, range(10000)", n) },
	"a list of all":     func(n int) string { return fmt.Sprintf("select list(id + %d) from big, range(100000)", n) },
	"doubling": func(n int) string {
		return fmt.Sprintf("with recursive r(n, s) as (select 1, 'x%d' union all select n + 1, s || s from r where n < 40) select max(len(s)) from r", n)
	},
	"20,000 unions": func(n int) string { return fmt.Sprintf("select %d", n) + strings.Repeat(" union all select 1", 20_000) },
	"unions": func(n int) string {
		return fmt.Sprintf("select %d", n) + strings.Repeat(" union all select id from big", 480)
	},
	"a wide aggregate": func(n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "select sum(id + %d)", n)
		for i := range 3000 {
			fmt.Fprintf(&b, ", list(id + %d)", i)
		}
		return b.String() + " from big group by id % 1000"
	},
	"unnest": func(n int) string { return fmt.Sprintf("select unnest(range(%d))", 1_000_000_000+n) },
	"distinct of all": func(n int) string {
		return fmt.Sprintf("select count(distinct a.id * %d + b.id) from big a, big b", n+1)
	},
	"a window": func(n int) string {
		return fmt.Sprintf("select sum(a.id) over (order by b.v, %d, a.id) from big a, big b", n)
	},
	"pivot":             func(n int) string { return fmt.Sprintf("pivot (select %d as n, * from big) on id using count(*)", n) },
	"more than is read": func(int) string { return tooLong },
}

var tooLong = "select 1 -- " + strings.Repeat("x", 2<<20)

// attackCodes are how a bomb may end: in words, alone.
var attackCodes = map[lake.Code]bool{
	lake.CodeOutOfMemory: true, lake.CodeDeadline: true, lake.CodeOverloaded: true, lake.CodeWorkerDied: true, lake.CodeNotReady: true,
	lake.CodeSQLRefused: true, lake.CodeSQLInvalid: true, lake.CodeTooLarge: true,
}

// tally counts outcomes by name and code.
type tally struct {
	mu struct {
		sync.Mutex
		counts map[string]int
		words  []string // of the first of each kind
	}
}

func newTally() *tally {
	t := &tally{}
	t.mu.counts = map[string]int{}
	return t
}

func (t *tally) add(name string, err error) {
	code := "ok"
	if err != nil {
		code = string(lake.CodeOf(err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.counts[name+": "+code]++; t.mu.counts[name+": "+code] == 1 && err != nil {
		t.mu.words = append(t.mu.words, name+": "+err.Error())
	}
}

// residentOf is the resident memory of a process.
func residentOf(t testing.TB, pid int) (bytes int64) {
	if _, err := fmt.Sscanf(status(t, pid, "VmRSS"), "%d kB", &bytes); err != nil {
		return 0 // it has just ended
	}
	return bytes << 10
}

// TestMemoryAttack: 200 clients at once ask for everything, again and again, while 16
// writers write and compaction runs. The server stays up, and small; each bomb fails
// alone and in words; writers see no error but that they are to wait; somebody else's
// small queries are neither refused for the attackers' flood nor fail for want of
// memory; and all that was acknowledged is there.
func TestMemoryAttack(t *testing.T) {
	if testing.Short() || walls.RaceDetector {
		t.Skip("needs time and memory limits: not with -short or -race")
	}
	const attackers, writers, keys = 200, 16, 500
	o := openLake(t, t.TempDir(), processes, func(o *engine.Options) {
		o.Settings.MaxSQLBytes, o.Settings.QueryTimeout, o.Settings.QuerySpillBytes = 1<<20, 3*time.Second, 1<<30
		o.Settings.CacheBytes = 128 << 20
	})
	defer o.close()
	if _, err := o.importText("big", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(bigRows)); err != nil {
		t.Fatal(err)
	}
	o.create("t", schema(t, []string{"w", "i"}, "w BIGINT", "i BIGINT", "n BIGINT"))
	limit := o.workers().Generations[0].Walls.DataLimitBytes
	ended, served := newTally(), newTally()
	var attack, work sync.WaitGroup
	end := make(chan struct{})
	var number atomic.Int64
	var names []string
	for name := range bombs {
		names = append(names, name)
	}
	for i := range attackers {
		attack.Go(func() {
			for k := i; !closed(end); k++ {
				name := names[k%len(names)]
				err := drained(o, "attacker", bombs[name](int(number.Add(1))))
				ended.add(name, err)
				if code := lake.CodeOf(err); err != nil && !attackCodes[code] {
					t.Errorf("%s: %v (%s)", name, err, code)
				} else if code == lake.CodeOverloaded {
					time.Sleep(100 * time.Millisecond) // as Retry-After would have it, but sooner
				}
			}
		})
	}
	var last [writers][keys]int
	for w := range writers {
		work.Go(func() {
			for n := 1; !closed(end); n++ {
				_, err := o.tryChange("t", engine.OpUpsert, fmt.Sprintf(`{"w":%d,"i":%d,"n":%d}`, w, n%keys, n))
				served.add("write", err)
				switch code := lake.CodeOf(err); {
				case err == nil:
					last[w][n%keys] = n
				case code != lake.CodePendingFull && code != lake.CodeOverloaded:
					t.Errorf("a writer was told %v (%s)", err, code)
				}
			}
		})
	}
	work.Go(func() {
		for !closed(end) {
			_, err := o.tryCompact("t")
			served.add("compaction", err)
			if err != nil {
				t.Errorf("compaction: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	work.Go(func() { // somebody who only wants a row
		for n := 0; !closed(end); n++ {
			err := drained(o, "somebody", fmt.Sprintf("select v from big where id = %d", n%bigRows))
			served.add("small query", err)
			switch code := lake.CodeOf(err); {
			case err == nil, code == lake.CodeDeadline, code == lake.CodeWorkerDied, code == lake.CodeNotReady:
			default: // not too little memory, and not too many queries of others
				t.Errorf("a small query was told %v (%s)", err, code)
			}
			if err != nil {
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
	var own, largest int64
	for deadline := time.Now().Add(timeFrom(t, "TARN_ATTACK", 10*time.Second)); time.Now().Before(deadline) && !t.Failed(); time.Sleep(50 * time.Millisecond) {
		own = max(own, residentOf(t, os.Getpid()))
		for _, pid := range children(t, asWorker) {
			largest = max(largest, residentOf(t, pid))
		}
	}
	close(end)
	attack.Wait()
	work.Wait()

	w := o.workers()
	t.Logf("server at most %d MB, a worker %d MB with a limit of %d MB; %d restarts, deaths %v, %d queries retried, %d for memory, %d refused",
		own>>20, largest>>20, limit>>20, w.Restarts, w.Deaths, w.Retried, w.RetriedForMemory, w.Refused)
	for _, l := range []*tally{ended, served} {
		for what, n := range l.mu.counts {
			t.Logf("%6d %s", n, what)
		}
		for _, words := range l.mu.words {
			t.Logf("%.200s", words)
		}
	}
	// Beside its data a process has its program and what it maps of files.
	if largest > limit+300<<20 {
		t.Errorf("a worker grew to %d bytes; its limit is %d", largest, limit)
	}
	if own > 1<<30 {
		t.Errorf("the server grew to %d bytes", own)
	}
	if served.mu.counts["write: ok"] == 0 || served.mu.counts["compaction: ok"] == 0 {
		t.Error("nothing was written or compacted meanwhile")
	}
	want := map[string]bool{}
	for w := range writers {
		for i, n := range last[w] {
			if n > 0 {
				want[fmt.Sprintf("[%d,%d,%d]", w, i, n)] = true
			}
		}
	}
	got := settledRows(t, o, "select * from t")
	for _, row := range got {
		if !want[row] {
			t.Errorf("%s was not acknowledged so", row)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, %d were acknowledged", len(got), len(want))
	}
	o.verifyClean()
}

// drained runs somebody's query to its end and forgets the answer.
func drained(o *opened, owner, sql string) error {
	a, err := o.Query(context.Background(), engine.QueryRequest{SQL: sql, Format: rows.OutNDJSON, Owner: owner})
	if err != nil {
		return err
	}
	defer a.Body.Close()
	_, err = io.Copy(io.Discard, a.Body)
	return err
}

// settledRows asks until the worker is there again, and what the last attackers held
// of its memory is free.
func settledRows(t testing.TB, o *opened, sql string) []string {
	t.Helper()
	for {
		got, err := o.tryRows(sql)
		switch lake.CodeOf(err) {
		case lake.CodeNotReady, lake.CodeDeadline, lake.CodeWorkerDied, lake.CodeOutOfMemory:
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
}

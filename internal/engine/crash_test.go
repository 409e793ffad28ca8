package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

const (
	crashWriters = 16
	crashRounds  = 8
)

// crashServer is the process that the crash test kills: 16 writers upsert rows of
// their own, one after the other, and say on standard output what was
// acknowledged, while compaction runs. Writer w owns the keys w*1e9+i; it
// continues after the highest that the lake has.
func crashServer(dir, marks string) int {
	ctx := context.Background()
	set := testSettings()
	set.CompactAuto, set.CompactInterval, set.CompactDeltas = true, 20*time.Millisecond, 8
	if marks == "true" {
		set.CompactDeadShare = 0.5
	}
	set.UpkeepInterval, set.SnapshotRetention, set.DeltaRetention, set.IdempotencyRetention = 50*time.Millisecond, 1, 1, 1
	e, err := engine.Open(ctx, engine.Options{
		Data: dir, Settings: set, MemoryBytes: 2 << 30, Log: quiet(), WorkerCommand: self(asWorker), JobCommand: self(asJob),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	ds, err := parse("t")
	if err != nil {
		return 1
	}
	o := &opened{Engine: e}
	var out sync.Mutex
	var group sync.WaitGroup
	for w := range crashWriters {
		last, err := o.tryRows(fmt.Sprintf("select coalesce(max(id), -1) from t where id >= %d and id < %d", int64(w)*1e9, int64(w+1)*1e9))
		if err != nil {
			fmt.Fprintln(os.Stderr, "read:", err)
			return 1
		}
		var next int64
		if _, err := fmt.Sscanf(last[0], "[%d]", &next); err != nil {
			return 1
		}
		if next++; next == 0 {
			next = int64(w) * 1e9
		}
		group.Go(func() {
			for i := next; ; i++ {
				// Each request also rewrites a row that all writers share, so that
				// compaction has something to replace.
				body := fmt.Sprintf("{\"id\":%d,\"v\":%d}\n{\"id\":-%d,\"v\":%d}\n", i, i, w+1, i)
				_, err := e.Change(ctx, engine.ChangeRequest{Dataset: ds, Op: engine.OpUpsert, Format: rows.NDJSON, Body: strings.NewReader(body)})
				if err != nil {
					fmt.Fprintln(os.Stderr, "write:", err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Printf("ack %d %d\n", w, i)
				out.Unlock()
			}
		})
	}
	group.Go(func() { heatAndKill(e, ds) })
	group.Go(func() { saysFolds(e, ds, &out) })
	fmt.Println("writing")
	group.Wait()
	return 0
}

// saysFolds says on standard output that a compaction was committed.
func saysFolds(e *engine.Engine, ds lake.Name, out *sync.Mutex) {
	for last := int64(-1); ; time.Sleep(time.Millisecond) {
		d, err := e.Describe(context.Background(), ds)
		if err != nil { // also while a worker is replaced
			continue
		}
		if last >= 0 && d.FoldedThrough > last {
			out.Lock()
			fmt.Println("folded", d.FoldedThrough)
			out.Unlock()
		}
		last = d.FoldedThrough
	}
}

// heatAndKill loads the dataset and lets it go for ever, with its worker killed in
// the middle of loads and of applies; a pin may be what the crash comes upon.
func heatAndKill(e *engine.Engine, ds lake.Name) {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	pause := func(most int) { time.Sleep(time.Duration(random.IntN(most)) * time.Millisecond) }
	for ctx := context.Background(); ; {
		if random.IntN(3) == 0 {
			go func(after int) {
				time.Sleep(time.Duration(after) * time.Millisecond)
				e.KillWorker()
			}(random.IntN(20))
		}
		if _, err := e.CachePin(ctx, ds); passes(err) != nil {
			fmt.Fprintln(os.Stderr, "pin:", err)
			os.Exit(1)
		}
		pause(40)
		if _, err := e.CacheEvict(ctx, ds); passes(err) != nil {
			fmt.Fprintln(os.Stderr, "evict:", err)
			os.Exit(1)
		}
		pause(10)
	}
}

// passes gives the errors of a pin or evict that a killed worker does not explain.
func passes(err error) error {
	switch lake.CodeOf(err) {
	case lake.CodeWorkerDied, lake.CodeNotReady, lake.CodeCancelled, lake.CodeDeadline:
		return nil
	}
	return err
}

// TestCrash is I1 and I4: whenever the server is killed, every acknowledged row
// is there afterwards, once, and nothing of a request is there in part.
// TARN_CRASH_ROUNDS kills it so many times, half of them with deletion vectors.
func TestCrash(t *testing.T) {
	rounds := crashRounds
	if testing.Short() {
		rounds = 2
	}
	rounds = numberFrom(t, "TARN_CRASH_ROUNDS", rounds)
	t.Run("position deletes", func(t *testing.T) { crashes(t, 2, (rounds+1)/2) })
	t.Run("deletion vectors", func(t *testing.T) { crashes(t, 3, (rounds+1)/2) })
}

func crashes(t *testing.T, version, rounds int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	o := openLake(t, dir)
	o.createAs(version, "t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	o.close()
	acked := map[int]int64{}
	for round := range rounds {
		killedUnderLoad(t, dir, time.Duration(random.IntN(500))*time.Millisecond, killedFrom[round%len(killedFrom)], round%3 != 2, acked)
		o := openLake(t, dir)
		cold, total := o.evictedRows(), 0
		if o.pin("t"); o.servedFrom("select 1 from t limit 1") != lake.ServedFromImage {
			t.Fatalf("round %d: a pinned dataset is not served from memory", round)
		}
		if hot := o.rows(allOfT); strings.Join(hot, "") != strings.Join(cold, "") {
			t.Fatalf("round %d: %d rows hot and %d cold differ", round, len(hot), len(cold))
		}
		o.want("select count(*) - count(distinct id) from t", "[0]")
		if round%2 == 0 { // the other rounds are looked at hot, and leave a pin
			o.evict("t")
		}
		for w := range crashWriters {
			got := o.rows(fmt.Sprintf("select coalesce(max(id), -1), count(*), coalesce((select v from t where id = -%d), -1) from t where id >= %d and id < %d", w+1, int64(w)*1e9, int64(w+1)*1e9))
			var last, count, shared int64
			if _, err := fmt.Sscanf(got[0], "[%d,%d,%d]", &last, &count, &shared); err != nil {
				t.Fatal(got, err)
			}
			if want, ok := acked[w]; ok && (last < want || last > want+1) {
				t.Fatalf("round %d: writer %d was acknowledged up to %d, the lake has %d", round, w, want, last)
			}
			if last >= 0 && (count != last-int64(w)*1e9+1 || shared != last) {
				t.Fatalf("round %d: writer %d: %d rows up to %d, its shared row says %d", round, w, count, last, shared)
			}
			if last >= 0 {
				acked[w] = last
			}
			total += int(count)
		}
		kinds := durableFiles(t, dir)
		t.Logf("round %d: %d rows; %d data files, %d position deletes, %d deletion vectors", round, total, len(kinds["data file"]), len(kinds["position deletes"]), len(kinds["deletion vector"]))
		o.verifyClean()
		if round%10 == 9 { // its own compactions seldom live long enough to make room
			o.compact("t")
		}
		if err := o.Tidy(context.Background()); err != nil {
			t.Fatal(err)
		}
		o.close()
		for _, f := range filesUnder(t, dir) {
			if strings.Contains(f, "scratch") {
				t.Fatalf("round %d: %s was left behind", round, f)
			}
		}
	}
}

const allOfT = "select * from t order by id"

// evictedRows are all rows as the files have them.
func (o *opened) evictedRows() []string {
	o.t.Helper()
	o.evict("t")
	if from := o.servedFrom("select 1 from t limit 1"); from != lake.ServedFromParquet {
		o.t.Fatalf("an evicted dataset is served from %s", from)
	}
	o.evict("t")
	return o.rows(allOfT)
}

// killedFrom are what a crash server says first before it is killed: that it writes, has
// acknowledged something, or has committed a compaction.
var killedFrom = []string{"ack", "folded", "writing", "folded"}

// killedUnderLoad runs a crash server for so long once it has said something, kills it,
// and takes down what it acknowledged. Its compactions mark rows, or rewrite files.
func killedUnderLoad(t *testing.T, dir string, after time.Duration, from string, marks bool, acked map[int]int64) {
	t.Helper()
	cmd := exec.Command(self(asServer)[0], asServer, dir, strconv.FormatBool(marks))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	var stuck atomic.Bool
	idle := time.AfterFunc(time.Minute, func() { stuck.Store(true); kill() })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), from) && idle.Stop() {
			time.AfterFunc(after, kill)
		}
		var w int
		var i int64
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d", &w, &i); err == nil {
			acked[w] = i
		}
	}
	err = cmd.Wait()
	idle.Stop()
	if stuck.Load() {
		t.Fatalf("it did not say %q in a minute", from)
	}
	if cmd.ProcessState.ExitCode() >= 0 {
		t.Fatalf("the crash server ended by itself: %v", err)
	}
}

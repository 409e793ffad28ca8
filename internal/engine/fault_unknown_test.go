package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

// openFaulty opens the lake in dir over a store that does what fault says.
func openFaulty(t testing.TB, dir string, fault func(storetest.Call) storetest.Fault, change ...func(*engine.Options)) *opened {
	t.Helper()
	local, err := store.OpenLocal(dir, store.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	return openLake(t, dir, append([]func(*engine.Options){func(o *engine.Options) {
		o.Store, o.State = storetest.NewFaulty(local, fault), t.TempDir()
		o.Settings.SpoolBytes, o.Settings.PendingWait = spoolBytes, 30*time.Millisecond
	}}, change...)...)
}

// TestI8OneFaultAStep lets one call of the store fail in each step of the
// scripted history, at random: refused, or with its answer lost, or late. A step
// either succeeds or fails with a clear or an unknown outcome, and sent again
// with its key it has its one effect.
func TestI8OneFaultAStep(t *testing.T) {
	steps := historySteps(schema(t, []string{"id"}, "id BIGINT", "name VARCHAR", "pay DECIMAL(10,2)"), schema(t, nil, "who VARCHAR", "n BIGINT"))
	plain := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.SpoolBytes = spoolBytes; noRetention(&o.Settings) })
	states, err := statesOf(plain, steps)
	if err != nil {
		t.Fatal(err)
	}
	plain.close()

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 3))
	hits, failures := 0, map[lake.Code]int{}
	for pass := range 8 {
		var mu sync.Mutex
		var left int // calls until the fault
		var kind storetest.Fault
		hit := ""
		o := openFaulty(t, t.TempDir(), func(c storetest.Call) storetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if left--; left != 0 {
				return storetest.NoFault
			}
			hit = fmt.Sprintf("fault %d at %s %s", kind, c.Op, c.Key)
			hits++
			return kind
		}, func(o *engine.Options) { noRetention(&o.Settings) })
		for i, s := range steps {
			mu.Lock()
			left, kind, hit = 1+random.IntN(14), storetest.Refused+storetest.Fault(random.IntN(4)), ""
			mu.Unlock()
			err := s.do(o, stepKey(i))
			mu.Lock()
			left = 0 // off
			where := fmt.Sprintf("seed %d, pass %d, %s, %s", seed, pass, s.name, hit)
			mu.Unlock()
			if err != nil {
				code := lake.CodeOf(err)
				failures[code]++
				if code != lake.CodeUnavailable && code != lake.CodeUnknownOutcome {
					t.Fatalf("%s: %v (%s)", where, err, code)
				}
				// Nothing changed, or all of it.
				if err := o.is(states[i], states[i+1]); err != nil {
					t.Fatalf("%s: after the error: %v", where, err)
				}
			}
			if err := s.do(o, stepKey(i)); err != nil {
				t.Fatalf("%s: sent again: %v", where, err)
			}
			if err := o.is(states[i+1]); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
		}
		o.close()
	}
	t.Logf("%d faults, failures %v, seed %d", hits, failures, seed)
}

// switchable is a fault that is on for a while, for the creates under a prefix.
type switchable struct {
	prefix string
	kind   storetest.Fault
	on     atomic.Bool
	hits   atomic.Int64
}

// awaitHit waits until the fault was met.
func (s *switchable) awaitHit() {
	for s.hits.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
}

func (s *switchable) fault(c storetest.Call) storetest.Fault {
	if s.on.Load() && c.Op == storetest.OpCreate && strings.HasPrefix(c.Key, s.prefix) {
		s.hits.Add(1)
		return s.kind
	}
	return storetest.NoFault
}

var unknownKinds = map[string]storetest.Fault{
	"lost request": storetest.LostRequest, "lost answer": storetest.LostAnswer, "late request": storetest.LateRequest,
}

// TestI8UnknownDelta: while the outcome of a delta stays unknown its client is
// told so, others are refused, and queries go on; afterwards the retry with its
// key has one effect, in a dataset where a second one would show. Small bodies
// and large ones.
func TestI8UnknownDelta(t *testing.T) {
	for kindName, kind := range unknownKinds {
		for _, rows := range []int{1, 60} {
			t.Run(fmt.Sprintf("%s, %d rows", kindName, rows), func(t *testing.T) {
				dir := t.TempDir()
				net := &switchable{prefix: "deltas/", kind: kind}
				o := openFaulty(t, dir, net.fault)
				o.create("log", schema(t, nil, "n BIGINT", "who VARCHAR"))
				o.create("other", schema(t, nil, "n BIGINT"))
				o.change("log", engine.OpUpsert, `{"n":0,"who":"first"}`)
				var lines []string
				for i := range rows {
					lines = append(lines, fmt.Sprintf(`{"n":%d,"who":"later"}`, i+1))
				}
				net.on.Store(true)
				// A late request goes in before the next call, so only the others stay unknown.
				_, err := o.changeWith(t.Context(), "log", engine.OpUpsert, "k", lines...)
				if kind == storetest.LostRequest || err != nil {
					wantCode(t, err, lake.CodeUnknownOutcome)
					_, err = o.tryChange("log", engine.OpUpsert, `{"n":99,"who":"refused"}`)
					wantCode(t, err, lake.CodeUnavailable)
					_, err = o.changeWith(t.Context(), "log", engine.OpUpsert, "k", lines...)
					wantCode(t, err, lake.CodeUnavailable)
					o.want("select n from log", `[0]`)
				}
				net.on.Store(false)
				r := o.retried("log", "k", lines...)
				if r.Rows != int64(rows) || r.Sequence != 2 {
					t.Fatalf("%+v", r)
				}
				o.want("select count(*), max(n) from log", fmt.Sprintf("[%d,%d]", rows+1, rows))
				o.change("log", engine.OpUpsert, `{"n":100,"who":"last"}`)
				o.verifyClean()
				o.close()
				o = openLake(t, dir)
				defer o.close()
				o.want("select count(*), max(n) from log", fmt.Sprintf("[%d,%d]", rows+2, 100))
				if again := o.retried("log", "k", lines...); again != r {
					t.Fatalf("after a restart %+v, before %+v", again, r)
				}
			})
		}
	}
}

// retried sends a change with its key until its outcome is known.
func (o *opened) retried(dataset, key string, lines ...string) engine.ChangeResult {
	o.t.Helper()
	for range 1000 {
		r, err := o.changeWith(context.Background(), dataset, engine.OpUpsert, key, lines...)
		if err == nil {
			return r
		}
		if !errors.Is(err, lake.ErrUnavailable) && !errors.Is(err, lake.ErrUnknownOutcome) {
			o.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	o.t.Fatal("the outcome stays unknown")
	return engine.ChangeResult{}
}

// TestI8UnknownDeltaThenCrash closes the lake while a delta is unsettled: it is
// there or not when the lake is opened again, and the retry has one effect.
func TestI8UnknownDeltaThenCrash(t *testing.T) {
	for kindName, kind := range unknownKinds {
		t.Run(kindName, func(t *testing.T) {
			dir := t.TempDir()
			net := &switchable{prefix: "deltas/", kind: kind}
			o := openFaulty(t, dir, net.fault)
			o.create("log", schema(t, nil, "n BIGINT"))
			net.on.Store(true)
			_, err := o.changeWith(t.Context(), "log", engine.OpUpsert, "k", `{"n":1}`)
			if err != nil {
				wantCode(t, err, lake.CodeUnknownOutcome)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := o.Close(ctx); err != nil {
				t.Fatal(err)
			}
			o = openLake(t, dir)
			defer o.close()
			if got := len(o.rows("select * from log")); got > 1 || err == nil && got != 1 {
				t.Fatalf("%d rows after %v", got, err)
			}
			o.retried("log", "k", `{"n":1}`)
			o.want("select n from log", `[1]`)
			o.verifyClean()
		})
	}
}

// TestI8UnknownCatalog: while the outcome of a catalog version stays unknown,
// changes behind it are refused after a while, those of other datasets go on;
// once the store answers again the step has its one effect.
func TestI8UnknownCatalog(t *testing.T) {
	steps := map[string]struct {
		do   func(o *opened, key string) error
		want []string // rows of all datasets afterwards
	}{
		"create": {creates("made", schema(t, nil, "x VARCHAR")), []string{"main.made ", "main.other [1]", "main.t [1]"}},
		"drop":   {func(o *opened, key string) error { return o.Drop(context.Background(), parsed("t"), idempotency(key)) }, []string{"main.other [1]"}},
		"rename": {func(o *opened, key string) error {
			_, err := o.Rename(context.Background(), parsed("t"), parsed("u"), idempotency(key))
			return err
		}, []string{"main.other [1]", "main.u [1]"}},
		"append": {takesIn("t", engine.ImportAppend, nil, "", "n\n2\n"), []string{"main.other [1]", "main.t [1] [2]"}},
		"alter":  {alters("t ADD m BIGINT"), []string{"main.other [1]", "main.t [1,null]"}},
		"fold":   {compacts("t"), []string{"main.other [1]", "main.t [1]"}},
	}
	for kindName, kind := range unknownKinds {
		for stepName, s := range steps {
			t.Run(stepName+", "+kindName, func(t *testing.T) {
				net := &switchable{prefix: "catalog/", kind: kind}
				o := openFaulty(t, t.TempDir(), net.fault)
				defer o.close()
				for _, n := range []string{"t", "other"} {
					o.create(n, schema(t, nil, "n BIGINT"))
					o.change(n, engine.OpUpsert, `{"n":1}`)
				}
				net.on.Store(true)
				done := make(chan error, 1)
				go func() { done <- s.do(o, "k") }()
				net.awaitHit()
				if kind == storetest.LostRequest {
					select {
					case err := <-done:
						t.Fatalf("it ended while its outcome is unknown: %v", err)
					case <-time.After(100 * time.Millisecond):
					}
					if stepName != "create" && stepName != "fold" {
						_, err := o.tryChange("t", engine.OpUpsert, `{"n":7}`)
						wantCode(t, err, lake.CodeUnavailable)
					}
				}
				o.want("select * from other", `[1]`)
				net.on.Store(false)
				if err := <-done; err != nil && lake.CodeOf(err) != lake.CodeUnavailable {
					t.Fatal(err)
				}
				if err := s.do(o, "k"); err != nil {
					t.Fatal(err)
				}
				got, err := o.content()
				if err != nil {
					t.Fatal(err)
				}
				if want := strings.Join(s.want, "\n") + "\n"; strings.ReplaceAll(got, "main.", "") != strings.ReplaceAll(want, "main.", "") {
					t.Fatalf("got\n%swant\n%s", got, want)
				}
				o.verifyClean()
			})
		}
	}
}

// TestI8CloseWhileCatalogUnknown: Close ends in its time, although a step waits
// for the catalog's outcome.
func TestI8CloseWhileCatalogUnknown(t *testing.T) {
	dir := t.TempDir()
	net := &switchable{prefix: "catalog/", kind: storetest.LostRequest}
	o := openFaulty(t, dir, net.fault)
	o.create("t", schema(t, nil, "n BIGINT"))
	net.on.Store(true)
	done := make(chan error, 1)
	go func() { done <- o.Drop(context.Background(), parsed("t"), engine.Idempotency{}) }()
	net.awaitHit()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := o.Close(ctx); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-done, lake.CodeUnknownOutcome)
	o = openLake(t, dir)
	defer o.close()
	o.verifyClean()
}

// TestI8KeySettlesAGoneClient: a client goes away in the middle of its commit
// and sends the same again before the first has ended: there is one effect.
func TestI8KeySettlesAGoneClient(t *testing.T) {
	var hold atomic.Bool
	entered, goOn := make(chan struct{}), make(chan struct{})
	o := openFaulty(t, t.TempDir(), func(c storetest.Call) storetest.Fault {
		if c.Op == storetest.OpCreate && strings.HasPrefix(c.Key, "deltas/") && hold.CompareAndSwap(true, false) {
			close(entered)
			<-goOn
		}
		return storetest.NoFault
	})
	defer o.close()
	o.create("log", schema(t, nil, "n BIGINT"))
	hold.Store(true)
	ctx, goAway := context.WithCancel(t.Context())
	first, behind, second := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := o.changeWith(ctx, "log", engine.OpUpsert, "k", `{"n":1}`)
		first <- err
	}()
	<-entered
	waiting, giveUp := context.WithCancel(t.Context())
	go func() {
		_, err := o.changeWith(waiting, "log", engine.OpUpsert, "", `{"n":2}`)
		behind <- err
	}()
	goAway()
	wantCode(t, <-first, lake.CodeUnknownOutcome)
	giveUp()
	wantCode(t, <-behind, lake.CodeCancelled) // its turn had not come
	go func() {
		_, err := o.changeWith(t.Context(), "log", engine.OpUpsert, "k", `{"n":1}`)
		second <- err
	}()
	time.Sleep(50 * time.Millisecond) // until it waits behind the first, mostly
	close(goOn)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	_, err := o.changeWith(t.Context(), "log", engine.OpUpsert, "k", `{"n":3}`)
	wantCode(t, err, lake.CodeIdempotencyReused)
	o.want("select * from log", `[1]`)
	o.verifyClean()
}

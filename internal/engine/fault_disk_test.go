package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/store/storetest"
)

// brokenDisk fails so many calls from a number on, with an error of the system.
type brokenDisk struct {
	calls       atomic.Int64
	first, last atomic.Int64
	errno       syscall.Errno
}

func (b *brokenDisk) fault(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileClose { // which reports nothing that a sync has not
		return nil
	}
	if n := b.calls.Add(1); n >= b.first.Load() && n < b.last.Load() {
		return b.errno
	}
	return nil
}

// mend lets all calls pass from now on.
func (b *brokenDisk) mend() { b.last.Store(0) }

// diskErrors are what a disk that is full, broken, read-only, or asked by a process
// with too many open files says, and the codes in which a client may hear of it.
var diskErrors = map[syscall.Errno][]lake.Code{
	syscall.ENOSPC: {lake.CodeOutOfDisk, lake.CodeUnknownOutcome, lake.CodeUnavailable},
	syscall.EIO:    {lake.CodeUnavailable, lake.CodeUnknownOutcome},
	syscall.EROFS:  {lake.CodeUnavailable, lake.CodeUnknownOutcome},
	syscall.EMFILE: {lake.CodeUnavailable, lake.CodeUnknownOutcome},
}

// TestI8BrokenDisk has calls to the disk fail, one or many in a row, at any place of
// a scripted history: the client hears a clear error, nothing is half done, and once
// the disk works again the same request with its Idempotency-Key goes in, with one
// effect. TARN_DISK_FAULTS does it so many times.
func TestI8BrokenDisk(t *testing.T) {
	steps, err := failpointSteps()
	if err != nil {
		t.Fatal(err)
	}
	steps = slices.DeleteFunc(steps, func(s step) bool { return s.name == "pin people" }) // of the node's own folder
	var states []string
	run := func(b *brokenDisk, each func(o *opened, i int) error) {
		t.Helper()
		disk := storetest.NewDisk[int](b.fault)
		o, err := onDisk(t, t.TempDir(), disk.FS)
		if err != nil {
			t.Fatal(err)
		}
		defer o.close()
		b.calls.Store(0)
		for i := range steps {
			if err := each(o, i); err != nil {
				t.Fatalf("%v at call %d and %d more: %s: %v", b.errno, b.first.Load(), b.last.Load()-b.first.Load()-1, steps[i].name, err)
			}
		}
		if err := o.is(states[len(states)-1]); err != nil {
			t.Fatal(err)
		}
	}
	var whole brokenDisk
	run(&whole, func(o *opened, i int) error {
		if err := steps[i].do(o, stepKey(i)); err != nil {
			return err
		}
		now := whole.calls.Load()
		state, err := o.content()
		states = append(states, state)
		whole.calls.Store(now) // reads of the test do not count
		return err
	})
	calls := int(whole.calls.Load())
	usual := 10
	if testing.Short() {
		usual = 2
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 7))
	heard := map[lake.Code]int{}
	errnos := []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE}
	times := numberFrom(t, "TARN_DISK_FAULTS", usual)
	for n := range times {
		b := &brokenDisk{errno: errnos[n%len(errnos)]}
		run(b, func(o *opened, i int) error {
			if i == 0 { // armed once it is open
				b.first.Store(1 + random.Int64N(int64(calls)))
				b.last.Store(b.first.Load() + []int64{1, 50}[random.IntN(2)])
			}
			err := steps[i].do(o, stepKey(i))
			if err == nil {
				return nil // the state is looked at after the step that fails, and at the end
			}
			if !slices.Contains(diskErrors[b.errno], lake.CodeOf(err)) {
				return fmt.Errorf("%s: %w", lake.CodeOf(err), err)
			}
			heard[lake.CodeOf(err)]++
			b.mend()
			if lake.CodeOf(err) != lake.CodeUnknownOutcome { // and so is nothing half done
				if err := o.is(stateBefore(states, i), states[i]); err != nil {
					return err
				}
			}
			return o.again(steps[i], stepKey(i), states[i])
		})
	}
	if len(heard) == 0 && times >= 10 { // of two it can be that none is in anybody's way
		t.Errorf("no client heard of any of %d faults", times)
	}
	t.Logf("%d faults among %d calls, seed %d; heard %v", times, calls, seed, heard)
}

// stateBefore is the lake before the step of a number.
func stateBefore(states []string, i int) string {
	if i == 0 {
		return ""
	}
	return states[i-1]
}

// again repeats a step on a disk that works until what was unknown is settled, and
// looks whether the lake is what the step leads to.
func (o *opened) again(s step, key, want string) error {
	if err := o.untilIn(s, key); err != nil {
		return err
	}
	return o.is(want)
}

// untilIn repeats a step until it goes in.
func (o *opened) untilIn(s step, key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		err := s.do(o, key)
		switch code := lake.CodeOf(err); {
		case err == nil:
			return nil
		case code != lake.CodeUnavailable && code != lake.CodeUnknownOutcome || ctx.Err() != nil:
			return fmt.Errorf("again: %w", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestI8ContentCommitOnABrokenDisk has the disk fail at each call of a content commit:
// it goes in when it is sent again, without a restart, and so does a change before it.
func TestI8ContentCommitOnABrokenDisk(t *testing.T) {
	var b brokenDisk
	b.errno = syscall.EMFILE
	o, err := onDisk(t, t.TempDir(), storetest.NewDisk[int](b.fault).FS)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	if err := creates("log", schema(t, nil, "who VARCHAR", "n BIGINT"))(o, ""); err != nil {
		t.Fatal(err)
	}
	if err := sends("log", engine.OpUpsert, `{"who":"first","n":0}`)(o, ""); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for call := int64(1); ; call++ {
		commit := step{"append", takesIn("log", engine.ImportAppend, nil, "", fmt.Sprintf("who,n\na,%d\n", call))}
		b.calls.Store(0)
		b.first.Store(call)
		b.last.Store(call + 4) // an outcome is unknown where settling it fails, too
		key := fmt.Sprintf("append-%d", call)
		err := commit.do(o, key)
		reached := b.calls.Load() >= call
		b.mend()
		if err != nil {
			failed++
			if !slices.Contains(diskErrors[b.errno], lake.CodeOf(err)) {
				t.Fatalf("call %d: %s: %v", call, lake.CodeOf(err), err)
			}
		}
		// A change that finds an outcome unknown waits or is told so.
		change := step{"upsert", sends("log", engine.OpUpsert, fmt.Sprintf(`{"who":"b","n":%d}`, call))}
		if again := o.untilIn(change, ""); again != nil {
			t.Fatalf("call %d, after %v: %v", call, err, again)
		}
		if again := o.untilIn(commit, key); again != nil {
			t.Fatalf("call %d, after %v: %v", call, err, again)
		}
		o.want("select count(*), count(distinct n) from log", fmt.Sprintf("[%d,%d]", 2*call+1, call+1))
		if !reached {
			break
		}
	}
	if failed == 0 {
		t.Error("no call failed")
	}
	t.Logf("%d content commits failed", failed)
}

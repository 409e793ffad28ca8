package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tarn/internal/engine"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

// powerShare has compactions mark rows, and rewrite a file once a quarter of them
// is dead: they take every step that there is.
const powerShare = 0.25

// onDisk opens an engine over a disk in memory. Its node's folder, and the
// copies of objects that worker and jobs read, lie in dir, of which nothing is
// needed after a crash.
func onDisk(t testing.TB, dir string, fs vfs.FS) (*opened, error) {
	objects := filepath.Join(dir, "objects")
	if err := os.MkdirAll(objects, 0o700); err != nil {
		return nil, err
	}
	local, err := store.OpenLocal("/lake", store.LocalOptions{FS: fs, Scratch: objects, SkipProbe: true})
	if err != nil {
		return nil, err
	}
	if err := local.Sweep(context.Background()); err != nil {
		return nil, err
	}
	set := testSettings()
	set.SpoolBytes, set.CompactDeadShare = spoolBytes, powerShare
	noRetention(&set)
	e, err := engine.Open(context.Background(), engine.Options{
		Store: local, State: dir, Settings: set, MemoryBytes: 2 << 30, Log: quiet(),
	})
	if err != nil {
		return nil, err
	}
	return &opened{e, t}, nil
}

// TestI1I4PowerLoss cuts the power at the writes of a scripted history, keeping
// 0, 50 and 100% of what was not synced: every acknowledged step is there, the
// one under way is there whole or not at all, everything verifies, and the step
// sent again with its Idempotency-Key has one effect. About TARN_POWER_CUTS crashes are
// checked.
func TestI1I4PowerLoss(t *testing.T) {
	steps := historySteps(schema(t, []string{"id"}, "id BIGINT", "name VARCHAR", "pay DECIMAL(10,2)"), schema(t, nil, "who VARCHAR", "n BIGINT"))
	plain := openLake(t, t.TempDir(), func(o *engine.Options) {
		o.Settings.SpoolBytes = spoolBytes
		noRetention(&o.Settings)
	})
	states, err := statesOf(plain, steps)
	if err != nil {
		t.Fatal(err)
	}
	plain.close()

	script := func(d *storetest.Disk[int]) {
		o, err := onDisk(t, t.TempDir(), d.FS)
		if err != nil {
			t.Fatal(err)
		}
		defer o.close()
		for i, s := range steps {
			if err := s.do(o, stepKey(i)); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			d.Acknowledge(i + 1)
		}
	}
	writes := 0
	storetest.CutPower(t, script, func(vfs.FS, []int) error { writes++; return nil })

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	checked, most := 0, numberFrom(t, "TARN_POWER_CUTS", 90)
	storetest.CutPower(t, script, func(after vfs.FS, acknowledged []int) error {
		if random.IntN(writes) >= most {
			return nil
		}
		checked++
		done := 0
		if n := len(acknowledged); n > 0 {
			done = acknowledged[n-1]
		}
		if err := afterPowerLoss(t, after, steps, states, done); err != nil {
			return fmt.Errorf("after %d steps: %w", done, err)
		}
		return nil
	})
	t.Logf("%d of %d crashes checked, seed %d", checked, writes, seed)
}

// afterPowerLoss opens what a crash left, of which done steps were acknowledged,
// checks it, and goes on with the next two.
func afterPowerLoss(t testing.TB, after vfs.FS, steps []step, states []string, done int) (err error) {
	o, err := onDisk(t, t.TempDir(), after)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() {
		if closeErr := o.Close(context.Background()); err == nil {
			err = closeErr
		}
	}()
	if err := o.is(states[done:min(done+2, len(states))]...); err != nil {
		return err
	}
	for i := done; i < min(done+2, len(steps)); i++ {
		if err := steps[i].do(o, stepKey(i)); err != nil {
			return fmt.Errorf("then %s: %w", steps[i].name, err)
		}
		if err := o.is(states[i+1]); err != nil {
			return fmt.Errorf("then %s: %w", steps[i].name, err)
		}
	}
	return nil
}

// is says whether the lake is whole and holds one of these contents.
func (o *opened) is(allowed ...string) error {
	if err := o.wrong(); err != nil {
		return err
	}
	got, err := o.content()
	if err != nil {
		return err
	}
	for _, a := range allowed {
		if a == got {
			return nil
		}
	}
	return fmt.Errorf("%w:\n%s\nand not\n%s", errWrongState, got, strings.Join(allowed, "or\n"))
}

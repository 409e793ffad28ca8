package bench

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func quickOptions(t *testing.T) Options {
	o := Defaults().Quick()
	o.Dir, o.Version, o.Threads, o.MemoryBytes = t.TempDir(), "test", 2, 2<<30
	return o
}

// A short run with everything inside this process: every answer of the lake is
// held against DuckDB's, and every acknowledged row is read back.
func TestAQuickRun(t *testing.T) {
	o := quickOptions(t)
	var steps []string
	o.Progress = func(step string) { steps = append(steps, step) }
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v, after %v", err, steps)
	}
	for _, q := range queries {
		for _, data := range []string{clean0, changed1, changed10} {
			if got, ok := r.timing(Cold, q.Name, tarn, data); !ok || got.Runs != o.Rounds || got.MedianMS <= 0 {
				t.Errorf("cold %s on %s: %+v", q.Name, data, got)
			}
		}
	}
	for _, q := range queries {
		for _, data := range []string{clean0, changed10} {
			if got, ok := r.timing(Hot, q.Name, tarn, data); !ok || got.Runs != o.Rounds {
				t.Errorf("hot %s on %s: %+v", q.Name, data, got)
			}
		}
	}
	for _, state := range []State{Cold, Hot} {
		w, ok := r.written(state)
		if !ok || w.One.Runs != o.Upserts || w.Disk.Runs != o.Upserts || w.DiskBytes == 0 || w.Alone.Rows == 0 || w.WithJoins.Rows == 0 || w.JoinUnder.Runs == 0 {
			t.Errorf("%s writes: %+v", state, w)
		}
	}
	for _, namespace := range []string{clean0, changed10} {
		if i := slices.IndexFunc(r.Held, func(h Held) bool { return h.System == tarn && h.Data == namespace }); i < 0 || r.Held[i].Rows != 11_000 || r.Held[i].Bytes == 0 {
			t.Errorf("held: %+v", r.Held)
		}
	}
	if r.TimesheetRows != 10_000 || r.CandidateRows != 1_000 || r.Compared == 0 || len(r.Goals) == 0 || r.DuckDB == "" {
		t.Errorf("%+v", r)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
		t.Errorf("%s was left", left[0].Name())
	}
}

func TestACancelledRunLeavesNothing(t *testing.T) {
	o := quickOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(step string) {
		if strings.HasPrefix(step, "cold: filter") {
			cancel()
		}
	}
	if _, err := Run(ctx, o); err == nil {
		t.Error("a cancelled run ended well")
	}
	if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
		t.Errorf("%s was left", left[0].Name())
	}
}

func TestOptionsThatMeasureNothingAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"scale":         func(o *Options) { o.Scale = 0 },
		"above zero":    func(o *Options) { o.Rounds = 0 },
		"as many":       func(o *Options) { o.Writers = 100_000 },
		"at most 1000 ": func(o *Options) { o.Scale = 2000 },
	} {
		o := quickOptions(t)
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
}

// What comes back must be what was acknowledged, row by row.
func TestTheLedgerFindsALostWrite(t *testing.T) {
	o := quickOptions(t)
	b := &bench{o: o, dir: o.Dir, files: map[string]string{}, changes: map[string][]string{}, report: newReport(o)}
	if err := b.makeData(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := b.withLake(t.Context(), Cold, func(ctx context.Context, d *door) error {
		name := datasetOf(written0, "timesheets")
		if _, err := d.importFile(ctx, name, []string{"timesheet_id"}, b.files["clean.timesheets"]); err != nil {
			return err
		}
		for _, id := range []int64{1, 17, 1, 10_000} {
			if _, err := b.upsert(ctx, d, id); err != nil {
				return err
			}
		}
		if err := b.written.check(ctx, d); err != nil {
			t.Errorf("all is there: %v", err)
		}
		b.written.acknowledged(17, b.written.next()) // was never written
		if err := b.written.check(ctx, d); err == nil || !strings.Contains(err.Error(), "timesheet 17") {
			t.Errorf("an older value: %v", err)
		}
		delete(b.written.marks, 17)
		if err := b.written.check(ctx, d); err == nil {
			t.Error("a row that nobody wrote is no error")
		}
		b.written.acknowledged(17, firstMark+2)
		b.written.acknowledged(18, b.written.next())
		if err := b.written.check(ctx, d); err == nil || !strings.Contains(err.Error(), "come back") {
			t.Errorf("a lost row: %v", err)
		}
		return nil
	})
	if err = errors.Join(err, b.peers.close()); err != nil {
		t.Fatal(err)
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// TestI8CancelledClients ends the contexts of requests at random moments: each
// is done, or failed with nothing changed, or of unknown outcome, and sent again
// with its key it has one effect.
func TestI8CancelledClients(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 9))
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) { o.Settings.SpoolBytes = spoolBytes })
	o.create("log", schema(t, nil, "n BIGINT", "who VARCHAR"))
	count := 0 // rows of log
	at := "log"
	outcomes := map[lake.Code]int{}
	for i := range 150 {
		key := stepKey(i)
		grow, to := 0, at
		var do func(ctx context.Context) error
		switch random.IntN(7) {
		case 0, 1:
			grow = 1
			do = func(ctx context.Context) error {
				_, err := o.changeWith(ctx, at, engine.OpUpsert, key, fmt.Sprintf(`{"n":%d,"who":"x"}`, i))
				return err
			}
		case 2: // a large one
			grow = 30
			do = func(ctx context.Context) error {
				lines := strings.Split(strings.Repeat(fmt.Sprintf(`{"n":%d,"who":"many"}`+"\n", i), 30), "\n")[:30]
				_, err := o.changeWith(ctx, at, engine.OpUpsert, key, lines...)
				return err
			}
		case 3:
			to = map[string]string{"log": "other.name", "other.name": "log"}[at]
			do = func(ctx context.Context) error {
				_, err := o.Rename(ctx, parsed(at), parsed(to), idempotency(key))
				return err
			}
		case 4:
			n := fmt.Sprintf("made%d", i)
			do = func(ctx context.Context) error {
				_, err := o.Create(ctx, engine.CreateRequest{Dataset: parsed(n), Schema: schema(t, nil, "x BIGINT"), Idempotency: idempotency(key)})
				return err
			}
		case 5:
			n := fmt.Sprintf("gone%d", i)
			o.create(n, schema(t, nil, "x BIGINT"))
			do = func(ctx context.Context) error { return o.Drop(ctx, parsed(n), idempotency(key)) }
		case 6:
			n := fmt.Sprintf("altered%d", i)
			o.create(n, schema(t, nil, "x BIGINT"))
			do = func(ctx context.Context) error {
				_, err := o.Alter(ctx, engine.AlterRequest{Dataset: parsed(n), Idempotency: idempotency(key), Operations: []lake.SchemaOperation{
					{Op: lake.OpRenameColumn, Name: "x", To: "y"}, {Op: lake.OpSetNotNull, Name: "y"},
				}})
				return err
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(12_000))*time.Microsecond)
		err := do(ctx)
		cancel()
		code := lake.Code("done")
		if err != nil {
			code = lake.CodeOf(err)
		}
		outcomes[code]++
		switch code {
		case "done", lake.CodeUnknownOutcome:
		case lake.CodeDeadline, lake.CodeCancelled:
			// For sure nothing changed, nor will it.
			o.want("select count(*) from "+at, fmt.Sprintf("[%d]", count))
		default:
			t.Fatalf("seed %d, step %d: %v (%s)", seed, i, err, code)
		}
		if err := do(t.Context()); err != nil {
			t.Fatalf("seed %d, step %d: after %v, sent again: %v", seed, i, code, err)
		}
		at, count = to, count+grow
		o.want("select count(*) from "+at, fmt.Sprintf("[%d]", count))
	}
	before, err := o.content()
	if err != nil {
		t.Fatal(err)
	}
	o.verifyClean()
	o.close()
	o = openLake(t, dir)
	defer o.close()
	if err := o.is(before); err != nil {
		t.Fatal(err)
	}
	t.Logf("outcomes %v, seed %d", outcomes, seed)
}

// TestI8CancelledJobs cancels imports and compactions at random moments.
func TestI8CancelledJobs(t *testing.T) {
	for _, how := range []string{"inside", "processes"} {
		t.Run(how, func(t *testing.T) {
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 10))
			dir := t.TempDir()
			o := openLake(t, dir, func(o *engine.Options) {
				if how == "processes" {
					processes(o)
				}
			})
			if _, err := o.importText("t", engine.ImportCreate, rows.CSV, []string{"id"}, "", bigCSV(20_000)); err != nil {
				t.Fatal(err)
			}
			began := time.Now() // cancels fall within, and a little after, the time that a job takes
			if _, err := o.importWith(t.Context(), "t", engine.ImportAppend, nil, "", "", "id,v\n20000,x\n"); err != nil {
				t.Fatal(err)
			}
			usual := time.Since(began)
			count, outcomes := 20_001, map[engine.JobState]int{}
			for i := range 16 {
				mode, grow := engine.ImportAppend, 1
				csv := fmt.Sprintf("id,v\n%d,x\n", 1_000_000+i)
				start := func() (*engine.Job, error) { return o.startImport(mode, stepKey(i), csv) }
				if i%2 == 1 {
					o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"changed"}`, random.IntN(20_000)))
					grow = 0
					start = func() (*engine.Job, error) {
						n := parsed("t")
						return o.Compact(context.Background(), engine.CompactRequest{Dataset: &n})
					}
				}
				j, err := start()
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(random.Float64() * 1.5 * float64(usual)))
				if _, err := o.CancelJob(j.Info().ID); err != nil {
					t.Fatal(err)
				}
				_, err = j.Wait(context.Background())
				state := j.Info().State
				outcomes[state]++
				switch {
				case err == nil && state == engine.JobDone:
					count += grow
				case state == engine.JobCancelled && lake.CodeOf(err) == lake.CodeCancelled:
					o.want("select count(*) from t", fmt.Sprintf("[%d]", count))
					if j, err = start(); err == nil {
						_, err = j.Wait(context.Background())
					}
					if err != nil {
						t.Fatalf("seed %d, round %d: again: %v", seed, i, err)
					}
					count += grow
				default:
					t.Fatalf("seed %d, round %d: %s, %v", seed, i, state, err)
				}
				o.want("select count(*) from t", fmt.Sprintf("[%d]", count))
				o.cleanScratch(dir)
			}
			o.verifyClean()
			o.close()
			t.Logf("outcomes %v, seed %d", outcomes, seed)
		})
	}
}

// startImport starts an import of one CSV file into t.
func (o *opened) startImport(mode engine.ImportMode, key, csv string) (*engine.Job, error) {
	return o.Import(context.Background(), engine.ImportRequest{
		Dataset: parsed("t"), Mode: mode, Idempotency: idempotency(key),
		Next: once(csv),
	})
}

// cleanScratch says that nothing is in scratch but the worker's own.
func (o *opened) cleanScratch(dir string) {
	o.t.Helper()
	for _, f := range filesUnder(o.t, dir) {
		if strings.HasPrefix(f, "state/scratch/") && !strings.HasPrefix(f, "state/scratch/worker/") {
			o.t.Errorf("%s stays", f)
		}
	}
}

// TestI8BodyThatBreaks: a body or an upload that ends in an error changes
// nothing and leaves nothing.
func TestI8BodyThatBreaks(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir, func(o *engine.Options) { o.Settings.SpoolBytes = spoolBytes })
	defer o.close()
	o.create("t", schema(t, nil, "n BIGINT"))
	for _, n := range []int{1, 200} {
		broken := io.MultiReader(strings.NewReader(strings.Repeat("{\"n\":1}\n", n)), &failingReader{})
		_, err := o.Change(t.Context(), engine.ChangeRequest{Dataset: parsed("t"), Op: engine.OpUpsert, Format: rows.NDJSON, Body: broken})
		wantCode(t, err, lake.CodeInvalidRequest)
		broken = io.MultiReader(strings.NewReader(strings.Repeat("{\"n\":1}\n", n)), &failingReader{})
		_, err = o.Import(t.Context(), engine.ImportRequest{Dataset: parsed("u"), Next: func() (engine.ImportFile, error) {
			return engine.ImportFile{Name: "x", Format: rows.NDJSON, Body: broken}, nil
		}})
		wantCode(t, err, lake.CodeInvalidRequest)
	}
	o.want("select * from t")
	o.cleanScratch(dir)
	o.verifyClean()
}

type failingReader struct{}

func (*failingReader) Read([]byte) (int, error) { return 0, errors.New("the line is cut") }

package backup_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/backup"
	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/engine"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// closed is a lake that nobody has open, with what a backup of it needs.
type closed struct {
	*testing.T
	dir string
}

func (c closed) options() engine.Options {
	return engine.Options{
		Data: c.dir, MemoryBytes: 1 << 30, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Settings: engine.Settings{UpkeepInterval: time.Hour, CompactInterval: time.Hour, Threads: 1},
	}
}

// change opens the lake, upserts a row and compacts on demand.
func (c closed) change(id int, compact bool) {
	c.Helper()
	ctx := context.Background()
	e, err := engine.Open(ctx, c.options())
	if err != nil {
		c.Fatal(err)
	}
	defer func() {
		if err := e.Close(ctx); err != nil {
			c.Fatal(err)
		}
	}()
	n := lake.Name{Namespace: "main", Dataset: "t"}
	typ, err := lake.ParseType("BIGINT")
	if err != nil {
		c.Fatal(err)
	}
	schema := lake.Schema{Key: []string{"id"}, Columns: []lake.Column{{Name: "id", Type: typ}}}
	if _, err := e.Create(ctx, engine.CreateRequest{Dataset: n, Schema: schema}); err != nil && lake.CodeOf(err) != lake.CodeDatasetExists {
		c.Fatal(err)
	}
	body := strings.NewReader(fmt.Sprintf(`{"id":%d}`, id))
	if _, err := e.Change(ctx, engine.ChangeRequest{Dataset: n, Op: engine.OpUpsert, Format: rows.NDJSON, Body: body}); err != nil {
		c.Fatal(err)
	}
	if !compact {
		return
	}
	j, err := e.Compact(ctx, engine.CompactRequest{})
	if err == nil {
		_, err = j.Wait(ctx)
	}
	if err != nil {
		c.Fatal(err)
	}
}

// instant is the newest of the lake.
func (c closed) instant(s store.Store) (at backup.Instant) {
	c.Helper()
	newest := int64(0)
	for n, err := range catalog.Versions(c.Context(), s) {
		if err != nil {
			c.Fatal(err)
		}
		newest = n
	}
	var err error
	if at.Body, err = s.Get(c.Context(), catalog.Key(newest)); err != nil {
		c.Fatal(err)
	}
	if at.Version, err = format.DecodeVersion(catalog.Key(newest), at.Body); err != nil {
		c.Fatal(err)
	}
	at.Sequences = map[string]int64{}
	for _, d := range at.Version.Datasets {
		log, _, err := delta.Open(c.Context(), s, d.TableUUID, d.TrimmedThrough, 0)
		if err != nil {
			c.Fatal(err)
		}
		at.Sequences[d.TableUUID] = log.Last()
		log.Close()
	}
	return at
}

// write backs the lake up into a folder whose store has faults.
func (c closed) write(to string, keep int, fault func(storetest.Call) storetest.Fault) (w backup.Written, calls int, err error) {
	c.Helper()
	s, err := store.OpenLocal(c.dir, store.LocalOptions{SkipProbe: true})
	if err != nil {
		c.Fatal(err)
	}
	defer s.Close()
	var faulty *storetest.Faulty
	f, err := backup.CreateOver(c.Context(), to, func(s store.Store) store.Store {
		faulty = storetest.NewFaulty(s, fault)
		return faulty
	})
	if err != nil {
		c.Fatal(err)
	}
	w, err = f.Write(c.Context(), s, base.NewFS(s, nil), c.instant(s), keep, nil)
	calls = faulty.Calls()
	if closeErr := f.Close(); closeErr != nil {
		c.Fatal(closeErr)
	}
	return w, calls, err
}

// ids restores a backup and gives what is in it.
func ids(t *testing.T, from string, number int64) string {
	t.Helper()
	ctx := context.Background()
	c := closed{t, filepath.Join(t.TempDir(), "restored")}
	if _, err := engine.Restore(ctx, engine.RestoreRequest{Path: from, Backup: number, Options: c.options()}, nil); err != nil {
		t.Fatalf("restore %d: %v", number, err)
	}
	e, err := engine.Open(ctx, c.options())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(ctx)
	a, err := e.Query(ctx, engine.QueryRequest{SQL: "select id from t order by id", Format: rows.OutCSV})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(b))[1:], " ")
}

// TestFaultsAtEveryStep: whatever call to the folder fails, or loses its answer, the
// earlier backup stays whole, the failed one is not there in part, and the next one
// goes through.
func TestFaultsAtEveryStep(t *testing.T) {
	c := closed{t, filepath.Join(t.TempDir(), "lake")}
	c.change(1, true)
	first := filepath.Join(t.TempDir(), "first")
	if _, _, err := c.write(first, 0, func(storetest.Call) storetest.Fault { return storetest.NoFault }); err != nil {
		t.Fatal(err)
	}
	c.change(2, true)
	c.change(3, false)
	trial := filepath.Join(t.TempDir(), "trial")
	copyFolder(t, first, trial)
	_, calls, err := c.write(trial, 1, func(storetest.Call) storetest.Fault { return storetest.NoFault })
	if err != nil || calls < 15 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	faults := []storetest.Fault{storetest.Refused, storetest.LostRequest, storetest.LostAnswer}
	for _, fault := range faults {
		failed := 0
		for at := 1; at <= calls; at += 1 + boolInt(testing.Short())*5 {
			to := filepath.Join(t.TempDir(), "to")
			copyFolder(t, first, to)
			_, _, err := c.write(to, 1, func(call storetest.Call) storetest.Fault {
				if call.Number == at {
					return fault
				}
				return storetest.NoFault
			})
			f, openErr := backup.Open(to)
			if openErr != nil {
				t.Fatal(openErr)
			}
			all, readErr := f.All(t.Context())
			bad := ""
			if _, _, err := f.Check(t.Context(), all, func(key string, err error) { bad += key + " " + err.Error() }); err != nil || bad != "" || readErr != nil {
				t.Errorf("fault %d at call %d: %s, %v, %v", fault, at, bad, err, readErr)
			}
			f.Close()
			has := func(n int64) bool {
				return slices.ContainsFunc(all, func(b format.Backup) bool { return b.Number == n })
			}
			if err == nil && !has(2) || err != nil && !has(1) && !has(2) {
				t.Errorf("fault %d at call %d: %v, and the folder holds %d backups", fault, at, err, len(all))
			}
			if err == nil {
				continue
			}
			failed++
			if w, _, err := c.write(to, 0, func(storetest.Call) storetest.Fault { return storetest.NoFault }); err != nil || w.Manifest.Number < 2 {
				t.Errorf("after fault %d at call %d: %v", fault, at, err)
			}
			if failed%10 == 1 {
				if got := ids(t, to, 0); got != "1 2 3" {
					t.Errorf("after fault %d at call %d: restored %s", fault, at, got)
				}
			}
		}
		if fault == storetest.Refused && failed == 0 {
			t.Error("no fault was felt")
		}
	}
	if got := ids(t, first, 0); got != "1" {
		t.Errorf("restored %s", got)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

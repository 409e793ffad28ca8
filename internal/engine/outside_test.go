package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// outsideCatalog is the lake's door as the catalog of iceberg-go, which stands for
// another program: it writes files into the lake by itself, and commits by the door.
type outsideCatalog struct {
	o    *opened
	name string
}

// loadOutside gives a dataset's table as another program has it. It never tries again by
// itself.
func loadOutside(o *opened, dataset string) (*table.Table, error) {
	return outsideCatalog{o, dataset}.LoadTable(context.Background(), nil)
}

func (c outsideCatalog) LoadTable(ctx context.Context, _ table.Identifier) (*table.Table, error) {
	t, err := c.o.IcebergLoad(ctx, engine.IcebergLoadRequest{Dataset: parsed(c.name)})
	if err != nil {
		return nil, err
	}
	meta, err := table.ParseMetadataBytes(t.Metadata)
	if err != nil {
		return nil, err
	}
	files := func(context.Context) (icebergio.IO, error) { return icebergio.LocalFS{}, nil }
	return table.New(table.Identifier{c.name}, meta, t.MetadataLocation, files, c), nil
}

func (c outsideCatalog) CommitTable(ctx context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	t, err := c.o.IcebergCommit(ctx, engine.IcebergCommitRequest{Dataset: parsed(c.name), Requirements: reqs, Updates: updates})
	if err != nil {
		return nil, "", err
	}
	meta, err := table.ParseMetadataBytes(t.Metadata)
	return meta, t.MetadataLocation, err
}

// outsideRows makes rows of a table of JSON objects.
func outsideRows(t *table.Table, lines ...string) (arrow.Table, error) {
	schema, err := table.SchemaToArrowSchema(t.Schema(), nil, true, false)
	if err != nil {
		return nil, err
	}
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader("["+strings.Join(lines, ",")+"]"))
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	return array.NewTableFromRecords(schema, []arrow.RecordBatch{rec}), nil
}

func appendOutside(t *table.Table, lines ...string) error {
	rows, err := outsideRows(t, lines...)
	if err != nil {
		return err
	}
	defer rows.Release()
	_, err = t.AppendTable(context.Background(), rows, 1000, nil)
	return err
}

func overwriteOutside(t *table.Table, lines ...string) error {
	rows, err := outsideRows(t, lines...)
	if err != nil {
		return err
	}
	defer rows.Release()
	_, err = t.OverwriteTable(context.Background(), rows, 1000, nil)
	return err
}

// commitsOutside is a step in which another program loads a dataset, a change comes, and
// then the program appends a row. Done already, it does nothing.
func commitsOutside(dataset, meanwhile, row string, id int) func(*opened, string) error {
	return func(o *opened, key string) error {
		there, err := o.tryRows(fmt.Sprintf("select 1 from %s where id = %d", dataset, id))
		if err != nil || len(there) > 0 {
			return err
		}
		t, err := loadOutside(o, dataset)
		if err != nil {
			return err
		}
		if meanwhile != "" {
			if _, err := o.changeWith(context.Background(), dataset, engine.OpUpsert, key, meanwhile); err != nil {
				return err
			}
		}
		return appendOutside(t, row)
	}
}

// TestFollowerOfCommitsFromOutside: a follower shows commits of other programs, those that
// left changes pending too, at the writer's read points.
func TestFollowerOfCommitsFromOutside(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	w.create("d", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	w.change("d", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
	f := follow(t, dir)
	defer f.close()
	point := func(o *opened) string {
		d, err := o.Describe(t.Context(), name(t, "d"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(d.ReadPoint.TableUUID, d.ReadPoint.Sequence, *d.ReadPoint.Snapshot, d.FoldedThrough, d.PendingRows, d.Rows)
	}
	same := func() {
		t.Helper()
		f.caughtUp(w)
		if got, want := point(f), point(w); got != want {
			t.Fatalf("the follower is at %s, the writer at %s", got, want)
		}
	}
	tbl, err := loadOutside(w, "d")
	if err != nil {
		t.Fatal(err)
	}
	same()
	w.change("d", engine.OpUpsert, `{"id":2,"v":"B"}`)
	same()
	if err := appendOutside(tbl, `{"id":3,"v":"c"}`); err != nil {
		t.Fatal(err)
	}
	same()
	fresh := follow(t, dir)
	fresh.caughtUp(w)
	if got, want := point(fresh), point(w); got != want {
		t.Errorf("a new follower is at %s, the writer at %s", got, want)
	}
	fresh.close()
	w.change("d", engine.OpDelete, `{"id":1}`)
	same()
	w.compact("d")
	same()
	w.want("select * from d order by id", `[2,"B"]`, `[3,"c"]`)
	if tbl, err = loadOutside(w, "d"); err != nil {
		t.Fatal(err)
	}
	if err := overwriteOutside(tbl, `{"id":9,"v":"z"}`); err != nil {
		t.Fatal(err)
	}
	same()
	if tbl, err = loadOutside(w, "d"); err != nil {
		t.Fatal(err)
	}
	at, err := outsidePlaces(tbl)
	if err != nil {
		t.Fatal(err)
	}
	w.change("d", engine.OpUpsert, `{"id":5,"v":"pending"}`)
	if err := markOutside(tbl, [][]outsidePlace{{at[9]}}, `{"id":10,"v":"ten"}`); err != nil {
		t.Fatal(err)
	}
	same()
	f.want("select * from d order by id", `[5,"pending"]`, `[10,"ten"]`)
	for _, u := range []table.Update{ // no row, and a column
		table.NewSetPropertiesUpdate(map[string]string{"owner": "me"}),
		table.NewAddSchemaUpdate(iceberg.NewSchemaWithIdentifiers(7, []int{1}, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
			iceberg.NestedField{ID: 2, Name: "w", Type: iceberg.PrimitiveTypes.String}, iceberg.NestedField{ID: 3, Name: "x", Type: iceberg.PrimitiveTypes.Date})),
	} {
		updates := []table.Update{u}
		if u.Action() == table.UpdateAddSchema {
			updates = append(updates, table.NewSetCurrentSchemaUpdate(-1))
		}
		if _, err := w.IcebergCommit(t.Context(), engine.IcebergCommitRequest{Dataset: name(t, "d"), Updates: updates}); err != nil {
			t.Fatal(err)
		}
		same()
	}
	f.want("select id, w, x from d order by id", `[5,"pending",null]`, `[10,"ten",null]`)
	if _, err := f.IcebergCommit(t.Context(), engine.IcebergCommitRequest{Dataset: name(t, "d")}); lake.CodeOf(err) != lake.CodeReadOnly {
		t.Errorf("a commit to a follower: %v", err)
	}
	w.verifyClean()
}

// outsideModel is what a dataset must hold beside what another program last loaded of it.
type outsideModel struct {
	rows    map[int]string
	pending map[int]bool // keys that changed since the last fold
}

// handle is a table as it was loaded.
type handle struct {
	t    *table.Table
	rows map[int]string
}

// snapshot is the one that the table was loaded at, "" before the first.
func (h *handle) snapshot() string {
	if s := h.t.CurrentSnapshot(); s != nil {
		return fmt.Sprint(s.SnapshotID)
	}
	return ""
}

// snapshot is a dataset's newest, "" before the first.
func (o *opened) snapshot(dataset string) string {
	o.t.Helper()
	d, err := o.Describe(context.Background(), name(o.t, dataset))
	if err != nil {
		o.t.Fatal(err)
	}
	if d.ReadPoint.Snapshot == nil {
		return ""
	}
	return *d.ReadPoint.Snapshot
}

// TestCommitsFromOutsideAgainstAMap: random changes, folds, loads, restarts, and commits of
// tables that were loaded at some time before, against a map. A commit goes in exactly if
// the table is still of the newest snapshot, adds no key that is there, and
// touches no row that has changed since; and what is pending stays.
func TestCommitsFromOutsideAgainstAMap(t *testing.T) {
	seed := testSeed(t)
	rnd := rand.New(rand.NewPCG(uint64(seed), 9))
	dir := t.TempDir()
	share, version := []float64{0, 0.4}[rnd.IntN(2)], 2+rnd.IntN(2)
	open := func() *opened {
		return openLake(t, dir, func(o *engine.Options) {
			o.Settings.CompactDeadShare, o.Settings.IcebergFold = share, []string{engine.FoldOff, engine.FoldBounded}[rnd.IntN(2)]
			o.Settings.IcebergFormatVersion = version
			noRetention(&o.Settings)
		})
	}
	o := open()
	defer func() { o.close() }()
	o.create("d", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	m := outsideModel{rows: map[int]string{}, pending: map[int]bool{}}
	var held *handle
	line := func(id int, v string) string { return fmt.Sprintf(`{"id":%d,"v":%q}`, id, v) }
	check := func(step int, what string) {
		t.Helper()
		want := []string{}
		for _, id := range slices.Sorted(maps.Keys(m.rows)) {
			want = append(want, fmt.Sprintf(`[%d,%q]`, id, m.rows[id]))
		}
		got, err := o.tryRows("select * from d order by id")
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("step %d, %s: %v\n got %v\nwant %v", step, what, err, got, want)
		}
	}
	fold := func() {
		o.compact("d")
		m.pending = map[int]bool{}
	}
	const steps, keys = 70, 12
	went, refused := 0, 0
	for i := range steps {
		what := ""
		switch n := rnd.IntN(20); {
		case n < 6:
			id, v := rnd.IntN(keys), fmt.Sprint("tarn ", i)
			what = "upsert"
			o.change("d", engine.OpUpsert, line(id, v))
			m.rows[id], m.pending[id] = v, true
		case n < 8:
			id := rnd.IntN(keys)
			what = "delete"
			o.change("d", engine.OpDelete, fmt.Sprintf(`{"id":%d}`, id))
			delete(m.rows, id)
			m.pending[id] = true
		case n < 9:
			what = "fold"
			fold()
		case n < 10:
			what = "restart"
			o.close()
			o = open()
			if held != nil {
				held.t = table.New(held.t.Identifier(), held.t.Metadata(), held.t.MetadataLocation(), held.t.FS, outsideCatalog{o, "d"})
			}
		case n < 14 || held == nil:
			what = "load"
			fold() // so that the model knows what the loaded table has
			tbl, err := loadOutside(o, "d")
			if err != nil {
				t.Fatal(err)
			}
			held = &handle{tbl, maps.Clone(m.rows)}
		default:
			kind := rnd.IntN(4)
			changed, adds := map[int]string{}, kind == 0
			may := held.snapshot() == o.snapshot("d")
			var err error
			if kind > 1 { // rows are marked dead where they are, and some written anew
				what = "marks"
				at, found := outsidePlaces(held.t)
				if found != nil && may { // else files that it knows may be gone
					t.Fatalf("step %d: %v", i, found)
				}
				if found != nil || len(held.rows) == 0 {
					continue
				}
				marks, lines := make([][]outsidePlace, 1+rnd.IntN(2)), []string{}
				ids := slices.Sorted(maps.Keys(held.rows))
				for n, id := range ids {
					if n > 0 && rnd.IntN(3) > 0 {
						continue
					}
					changed[id] = ""
					for f := range marks { // overlapping
						if f == 0 || rnd.IntN(2) == 0 {
							marks[f] = append(marks[f], at[id])
						}
					}
					if rnd.IntN(2) == 0 {
						changed[id] = fmt.Sprint("outside ", i)
						lines = append(lines, line(id, changed[id]))
					}
				}
				marks = slices.DeleteFunc(marks, func(some []outsidePlace) bool { return len(some) == 0 })
				err = markOutside(held.t, marks, lines...)
			} else if adds {
				what = "append"
				var lines []string
				for range 1 + rnd.IntN(2) {
					id := rnd.IntN(keys * 2)
					if _, twice := changed[id]; !twice {
						changed[id] = fmt.Sprint("outside ", i)
						lines = append(lines, line(id, changed[id]))
					}
				}
				err = appendOutside(held.t, lines...)
			} else {
				what = "overwrite"
				now := maps.Clone(held.rows)
				for id := range now { // some go, some get another value
					switch rnd.IntN(4) {
					case 0:
						delete(now, id)
						changed[id] = ""
					case 1:
						now[id] = fmt.Sprint("outside ", i)
						changed[id] = now[id]
					}
				}
				if len(now) == 0 {
					continue
				}
				var lines []string
				for _, id := range slices.Sorted(maps.Keys(now)) {
					lines = append(lines, line(id, now[id]))
				}
				err = overwriteOutside(held.t, lines...)
			}
			for id := range changed {
				_, there := held.rows[id]
				may = may && !m.pending[id] && (!adds || !there)
			}
			switch {
			case may && err != nil:
				t.Fatalf("step %d, %s of %v: refused: %v", i, what, changed, err)
			case !may && err == nil:
				t.Fatalf("step %d, %s of %v: taken; pending %v, of the snapshot %s", i, what, changed, m.pending, held.snapshot())
			case err != nil:
				refused++
				if code := lake.CodeOf(unwrapped(err)); code != lake.CodePreconditionFailed && code != lake.CodeKeyConflict {
					t.Fatalf("step %d, %s: %v (%s)", i, what, err, code)
				}
				// The refusal may have begun a fold.
				for o.running() {
				}
				if d, err := o.Describe(t.Context(), name(t, "d")); err != nil {
					t.Fatal(err)
				} else if len(m.pending) > 0 && d.PendingRows == 0 {
					m.pending = map[int]bool{}
				}
			default:
				went++
				for id, v := range changed {
					if v == "" {
						delete(m.rows, id)
					} else {
						m.rows[id] = v
					}
				}
			}
			held = nil
		}
		check(i, what)
	}
	o.verifyClean()
	for range 2 {
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check(steps, "tidied up")
	o.verifyClean()
	t.Logf("%d commits went in, %d were refused", went, refused)
}

// unwrapped is the error of the door in one of iceberg-go's.
func unwrapped(err error) error {
	var e *lake.Error
	if errors.As(err, &e) {
		return e
	}
	return err
}

// running says whether a job runs.
func (o *opened) running() bool {
	return slices.ContainsFunc(o.Jobs(), func(j engine.JobInfo) bool { return j.Ended == nil })
}

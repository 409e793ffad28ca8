package base_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/catalog"
	"tarn/internal/delta"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/storetest"
)

// TestPowerLoss: I1 and I4 of the durable floors. A scripted history of creates,
// deltas, folds, a rename, a replace and drops runs on a disk whose power is cut
// at every write; after each cut the lake opens, every byte verifies, and it is
// as after the last acknowledged step or the one after it, which then can be
// taken again.
func TestPowerLoss(t *testing.T) {
	var states []string // states[i] is the lake after step i
	h := history{t: t, dir: t.TempDir()}
	storetest.CutPower(t, func(d *storetest.Disk[int]) {
		s, err := store.OpenLocal("/lake", store.LocalOptions{FS: d.FS, SkipProbe: true, Scratch: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		l, err := openLake(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		states = append(states, "")
		d.Acknowledge(0)
		for i, step := range h.steps() {
			// What the step leads to is known before it is acknowledged.
			states = append(states, step.leadsTo)
			if err := step.do(t.Context(), l); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			d.Acknowledge(i + 1)
		}
	}, func(after vfs.FS, acknowledged []int) error {
		last := 0
		if len(acknowledged) > 0 {
			last = acknowledged[len(acknowledged)-1]
		}
		s, err := store.OpenLocal("/lake", store.LocalOptions{FS: after, SkipProbe: true, Scratch: h.dir})
		if err != nil {
			return err
		}
		defer s.Close()
		l, err := openLake(t.Context(), s)
		if err != nil {
			return err
		}
		defer l.close()
		got, err := l.describe(t.Context())
		if err != nil {
			return err
		}
		allowed := states[min(last, len(states)):min(last+2, len(states))]
		if len(acknowledged) == 0 {
			allowed = []string{""}
		}
		if !slices.Contains(allowed, got) {
			return fmt.Errorf("after step %d the lake is\n%s\nwhich is none of\n%s", last, got, strings.Join(allowed, "\nor\n"))
		}
		// It goes on from there: the next commit goes in.
		_, err = l.catalog.Commit(t.Context(), func(*format.Version) error { return nil })
		return err
	})
	if len(states) < 14 {
		t.Errorf("only %d steps", len(states))
	}
}

// crashLake is a lake open on a disk in memory.
type crashLake struct {
	store   store.Store
	fs      *base.FS
	catalog *catalog.Catalog
	tables  map[string]*base.Table // by dataset name
	logs    map[string]*delta.Log
}

func openLake(ctx context.Context, s store.Store) (*crashLake, error) {
	c, err := catalog.Open(ctx, s, catalog.Options{})
	if err != nil {
		return nil, err
	}
	l := &crashLake{store: s, fs: base.NewFS(s, nil), catalog: c, tables: map[string]*base.Table{}, logs: map[string]*delta.Log{}}
	for _, d := range c.Current().Datasets {
		if l.tables[d.Name], err = base.Load(ctx, l.fs, d.Metadata); err != nil {
			return nil, err
		}
		if l.logs[d.Name], _, err = delta.Open(ctx, s, d.TableUUID, d.TrimmedThrough, 0); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *crashLake) close() {
	for _, log := range l.logs {
		log.Close()
	}
}

// describe reads and verifies everything, and says it in a line a dataset.
func (l *crashLake) describe(ctx context.Context) (string, error) {
	var out []string
	for _, d := range l.catalog.Current().Datasets {
		t := l.tables[d.Name]
		reach, err := t.Reachable(ctx)
		if err != nil {
			return "", err
		}
		for _, key := range reach {
			if err := base.VerifyFile(ctx, l.store, key); err != nil {
				return "", err
			}
		}
		files, err := t.Files(ctx)
		if err != nil {
			return "", err
		}
		rows := int64(0)
		for _, f := range files {
			rows += f.Rows
		}
		out = append(out, line(d.Name, rows, len(files), t.FoldedThrough(), l.logs[d.Name].Last()))
	}
	return strings.Join(out, "\n"), nil
}

func line(name string, rows int64, files int, folded, sequence int64) string {
	return fmt.Sprintf("%s: %d rows in %d files, folded through %d of %d", name, rows, files, folded, sequence)
}

// history scripts the steps. Each is one acknowledgement.
type history struct {
	t   *testing.T
	dir string
	n   int
}

type crashStep struct {
	do      func(ctx context.Context, l *crashLake) error
	leadsTo string
}

func (h *history) steps() []crashStep {
	a := func(rows int64, files int, folded, seq int64) string { return line("a", rows, files, folded, seq) }
	b := func(seq int64) string { return line("b", 5, 1, 0, seq) }
	return []crashStep{
		{h.create("a", 10, 10), a(20, 2, 0, 0)},
		{h.delta("a"), a(20, 2, 0, 1)},
		{h.delta("a"), a(20, 2, 0, 2)},
		{h.create("b", 5), a(20, 2, 0, 2) + "\n" + b(0)},
		{h.fold("a", 2, 1, 13), a(23, 2, 2, 2) + "\n" + b(0)},
		{h.delta("b"), a(23, 2, 2, 2) + "\n" + b(1)},
		{h.delta("a"), a(23, 2, 2, 3) + "\n" + b(1)},
		{h.fold("a", 3, 0), a(23, 2, 3, 3) + "\n" + b(1)},
		{h.trim("a", 2), a(23, 2, 3, 3) + "\n" + b(1)},
		{h.rename("a", "z"), b(1) + "\n" + line("z", 23, 2, 3, 3)},
		{h.delta("z"), b(1) + "\n" + line("z", 23, 2, 3, 4)},
		{h.fold("z", 4, 2), b(1) + "\n" + line("z", 0, 0, 4, 4)},
		{h.drop("b"), line("z", 0, 0, 4, 4)},
		{h.create("b", 5), b(0) + "\n" + line("z", 0, 0, 4, 4)},
	}
}

// output writes a job's file of n rows.
func (h *history) output(s lake.Schema, n int64) string {
	h.n++
	path := filepath.Join(h.dir, fmt.Sprintf("out-%d.parquet", h.n))
	writeParquet(h.t, path, s, func(b *array.RecordBuilder) {
		for i := range n {
			b.Field(0).(*array.Int64Builder).Append(i)
			b.Field(1).(*array.StringBuilder).Append("x")
		}
	})
	return path
}

func (h *history) takeIn(ctx context.Context, t *base.Table, rows []int64) ([]base.NewFile, error) {
	var out []base.NewFile
	for i, n := range rows {
		f, err := t.TakeIn(ctx, h.output(t.Schema(), n), int64(i))
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (h *history) create(name string, rows ...int64) func(context.Context, *crashLake) error {
	return func(ctx context.Context, l *crashLake) error {
		id := uuid.NewString()
		t, err := base.Create(ctx, l.fs, "base/main/"+name+"-"+id, keyed(h.t), id)
		if err != nil {
			return err
		}
		added, err := h.takeIn(ctx, t, rows)
		if err != nil {
			return err
		}
		l.tables[name], err = t.Commit(ctx, base.Change{Kind: base.KindAppend, Add: added}, func(ctx context.Context, key string) error {
			_, err := l.catalog.Commit(ctx, func(v *format.Version) error {
				v.Datasets = append(v.Datasets, format.DatasetEntry{Namespace: "main", Name: name, TableUUID: id, Metadata: key})
				return nil
			})
			return err
		})
		if err != nil {
			return err
		}
		l.logs[name], _, err = delta.Open(ctx, l.store, id, 0, 0)
		return err
	}
}

func (h *history) delta(name string) func(context.Context, *crashLake) error {
	return func(ctx context.Context, l *crashLake) error {
		t, log := l.tables[name], l.logs[name]
		b := array.NewRecordBuilder(memory.DefaultAllocator, format.ChangesSchema(t.Schema()))
		defer b.Release()
		b.Field(0).(*array.Int64Builder).Append(rand.Int64())
		b.Field(1).AppendNull()
		id, sequence := uuid.NewString(), log.Last()+1
		body, err := format.EncodeDelta(format.DeltaHeader{
			TableUUID: t.UUID(), First: sequence, Sequence: sequence, UUID: id, Epoch: l.catalog.Current().Epoch,
		}, t.Schema(), []format.Changes{{Rows: b.NewRecordBatch(), Ops: []uint8{format.OpUpsert}}})
		if err != nil {
			return err
		}
		if sequence%2 == 1 {
			return log.Create(ctx, sequence, body, id)
		}
		h.n++
		path := filepath.Join(h.dir, fmt.Sprintf("delta-%d.parquet", h.n))
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return err
		}
		return log.CreateFrom(ctx, sequence, path, id)
	}
}

// fold replaces the first n files of a dataset by one of each of the rows given.
func (h *history) fold(name string, through int64, n int, rows ...int64) func(context.Context, *crashLake) error {
	return func(ctx context.Context, l *crashLake) error {
		t := l.tables[name]
		files, err := t.Files(ctx)
		if err != nil {
			return err
		}
		added, err := h.takeIn(ctx, t, rows)
		if err != nil {
			return err
		}
		l.tables[name], err = t.Commit(ctx, base.Change{Kind: base.KindFold, FoldedThrough: through, Remove: files[:n], Add: added}, func(ctx context.Context, key string) error {
			return l.edit(ctx, t.UUID(), func(e *format.DatasetEntry) { e.Metadata = key })
		})
		return err
	}
}

func (l *crashLake) edit(ctx context.Context, tableUUID string, f func(*format.DatasetEntry)) error {
	_, err := l.catalog.Commit(ctx, func(v *format.Version) error {
		f(v.Find(tableUUID))
		return nil
	})
	return err
}

func (h *history) trim(name string, through int64) func(context.Context, *crashLake) error {
	return func(ctx context.Context, l *crashLake) error {
		if err := l.edit(ctx, l.tables[name].UUID(), func(e *format.DatasetEntry) { e.TrimmedThrough = through }); err != nil {
			return err
		}
		return l.logs[name].Trim(ctx, through)
	}
}

func (h *history) rename(from, to string) func(context.Context, *crashLake) error {
	return func(ctx context.Context, l *crashLake) error {
		l.tables[to], l.logs[to] = l.tables[from], l.logs[from]
		delete(l.tables, from)
		delete(l.logs, from)
		return l.edit(ctx, l.tables[to].UUID(), func(e *format.DatasetEntry) { e.Name = to })
	}
}

func (h *history) drop(name string) func(context.Context, *crashLake) error {
	return func(ctx context.Context, l *crashLake) error {
		id := l.tables[name].UUID()
		l.logs[name].Close()
		delete(l.tables, name)
		delete(l.logs, name)
		_, err := l.catalog.Commit(ctx, func(v *format.Version) error {
			v.Datasets = slices.DeleteFunc(v.Datasets, func(e format.DatasetEntry) bool { return e.TableUUID == id })
			return nil
		})
		return err
	}
}

package base_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/iceberg-go"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// TestTake: snapshots of an owner follow each other with other files and other dead rows, folds
// of tarn's own between them, and new roots. The table has exactly the files and dead rows of each, rows
// keep their ids, what is on top can be told, and Detach forgets none of it.
func TestTake(t *testing.T) {
	l := newLab(t)
	rnd := rand.New(rand.NewPCG(7, 7))
	had := iceberg.NewSchema(0, iceberg.NestedField{ID: 40, Name: "was", Type: iceberg.PrimitiveTypes.Int64})
	schema := keyed(t)
	tbl, err := base.CreateAttached(t.Context(), l.fs, "base/main/owned-0190d9a8-0000-7000-8000-000000000077", schema, "0190d9a8-0000-7000-8000-000000000077", base.VersionVectors, []*iceberg.Schema{had}, 50)
	if err != nil {
		t.Fatal(err)
	}
	if tbl.LastColumnID() != 50 || !tbl.Evolved() || tbl.FormatVersion() != base.VersionVectors {
		t.Fatalf("last column %d, evolved %t, version %d", tbl.LastColumnID(), tbl.Evolved(), tbl.FormatVersion())
	}
	n := int64(0)
	fresh := func() base.NewFile {
		n++
		return l.ints(tbl, n, n*10, n*10+5)
	}
	var ids map[string]int64
	dead := map[string]int64{}
	ours := 0
	for i := range 40 {
		files := l.files(tbl)
		switch {
		case i%4 == 3: // on top
			c := base.Change{Kind: base.KindFold, Add: []base.NewFile{fresh()}}
			for _, f := range files {
				if rnd.IntN(2) == 0 && f.Dead < f.Rows {
					c.Deletes = append(c.Deletes, l.dead(tbl, f, f.Dead+1))
				}
			}
			tbl = l.commit(tbl, c)
			ours++
			over, err := tbl.Overlay(t.Context())
			if err != nil || len(over.Own) != ours || len(over.Now) != len(over.Before) || len(over.Now) < len(c.Deletes) {
				t.Fatalf("%d files of ours, %d marked: the overlay is %+v, %v", ours, len(c.Deletes), over, err)
			}
		case i%9 == 8:
			next, err := tbl.Reroot(t.Context(), tbl.Root())
			if err != nil {
				t.Fatal(err)
			}
			tbl, l.current = next, next.MetadataKey()
		default:
			k := base.Taken{Attached: &base.Attachment{Location: "/elsewhere", UUID: "u", Metadata: fmt.Sprint(i), Snapshot: int64(i)}}
			clear(dead)
			for _, f := range files {
				if rnd.IntN(3) == 0 {
					continue // leaves
				}
				k.Keep = append(k.Keep, f)
				if d := rnd.Int64N(3); d > 0 {
					k.Deletes = append(k.Deletes, l.dead(tbl, f, d))
					dead[f.Key] = d
				}
			}
			for range rnd.IntN(3) {
				k.Add = append(k.Add, fresh())
			}
			k.Attached.Files, ours = len(k.Keep)+len(k.Add), 0
			next, err := tbl.Take(t.Context(), k, l.makeCurrent)
			if err != nil {
				t.Fatal(err)
			}
			tbl = next
			if a := tbl.Attached(); a == nil || *a != *k.Attached {
				t.Fatalf("attached to %+v", a)
			}
			got := l.files(tbl)
			if len(got) != k.Attached.Files {
				t.Fatalf("%d files, and the owner has %d", len(got), k.Attached.Files)
			}
			for _, f := range got {
				if f.Dead != dead[f.Key] {
					t.Fatalf("%s has %d dead rows, and the owner's %d", f.Key, f.Dead, dead[f.Key])
				}
			}
			if over, err := tbl.Overlay(t.Context()); err != nil || len(over.Own)+len(over.Now) > 0 {
				t.Fatalf("right after a sync the overlay is %+v, %v", over, err)
			}
		}
		ids = l.rowIDs(tbl, ids)
	}
	files := l.files(tbl)
	tbl, err = tbl.Detach(t.Context(), l.makeCurrent)
	if err != nil || tbl.Attached() != nil || l.reload().Attached() != nil {
		t.Fatalf("detached: %+v, %v", tbl.Attached(), err)
	}
	if got := l.files(tbl); !slices.EqualFunc(got, files, func(a, b lake.BaseFile) bool { return a.Key == b.Key && a.Dead == b.Dead }) {
		t.Errorf("it has the files %v, and had %v", got, files)
	}
	if _, err := tbl.Overlay(t.Context()); lake.CodeOf(err) != lake.CodeDamaged {
		t.Errorf("the overlay of a table that is tarn's own: %v", err)
	}
}

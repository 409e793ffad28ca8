package base_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// evolved applies operations to a table and gives the schema that it is to have.
func evolved(t *testing.T, table *base.Table, ops ...lake.SchemaOperation) lake.Schema {
	t.Helper()
	next, err := table.Schema().Evolve(ops, table.LastColumnID())
	if err != nil {
		t.Fatal(err)
	}
	return next.Schema
}

func TestEvolve(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindFold, Add: []base.NewFile{l.ints(table, 0, 1, 9)}, FoldedThrough: 3})
	if table.Evolved() || table.Through() != 3 {
		t.Fatalf("evolved %v, through %d", table.Evolved(), table.Through())
	}
	evolve := func(sequence int64, ops ...lake.SchemaOperation) {
		t.Helper()
		want := evolved(t, table, ops...)
		next, err := table.Evolve(l.Context(), want, sequence, l.makeCurrent)
		if err != nil {
			t.Fatal(err)
		}
		again := l.reload()
		for _, got := range []*base.Table{next, again} {
			s := got.Schema()
			want.ID = s.ID
			if !reflect.DeepEqual(s, want) || got.FoldedThrough() != 3 || got.Through() != sequence || !got.Evolved() ||
				*got.SnapshotID() != *table.SnapshotID() || len(l.files(got)) != 1 {
				t.Fatalf("%+v, folded through %d, through %d\nwant %+v", s, got.FoldedThrough(), got.Through(), want)
			}
		}
		table = again
	}
	bigint := lake.Type{Kind: lake.Bigint}
	first := table.Schema()
	evolve(5, lake.SchemaOperation{Op: lake.OpDropColumn, Name: "name"}, lake.SchemaOperation{Op: lake.OpAddColumn, Name: "n", Type: bigint})
	if got := table.Schema().Columns[1].ID; got != 3 {
		t.Errorf("the added column has the field id %d", got)
	}
	evolve(6, lake.SchemaOperation{Op: lake.OpDropColumn, Name: "n"}, lake.SchemaOperation{Op: lake.OpAddColumn, Name: "n", Type: bigint})
	if got := table.Schema().Columns[1].ID; got != 4 {
		t.Errorf("the column that came again has the field id %d", got)
	}
	second := table.Schema()
	evolve(9, lake.SchemaOperation{Op: lake.OpRenameColumn, Name: "id", To: "key"})
	evolve(12, lake.SchemaOperation{Op: lake.OpRenameColumn, Name: "key", To: "id"})
	if table.Schema().ID != second.ID {
		t.Errorf("the schema that came again has the id %d and not %d", table.Schema().ID, second.ID)
	}
	for sequence, want := range map[int64]lake.Schema{0: first, 4: first, 6: second, 8: second, 12: second, 99: second} {
		if got, err := table.SchemaAt(sequence); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("at %d: %+v, %v", sequence, got, err)
		}
	}
	if at, err := table.SchemaAt(10); err != nil || at.Key[0] != "key" {
		t.Errorf("at 10: %+v, %v", at, err)
	}
	if at, err := table.SchemaByID(first.ID); err != nil || !reflect.DeepEqual(at, first) {
		t.Errorf("%+v, %v", at, err)
	}
	// A commit goes on from there.
	table = l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 20})
	if table.Through() != 20 || !table.Evolved() || !reflect.DeepEqual(table.Schema(), second) {
		t.Errorf("through %d, %+v", table.Through(), table.Schema())
	}
	if _, err := table.Evolve(l.Context(), first, 12, l.makeCurrent); err == nil {
		t.Error("a schema changed twice at a sequence")
	}
	refused := errors.New("refused")
	_, err := table.Evolve(l.Context(), first, 21, func(context.Context, string) error { return refused })
	if !errors.Is(err, refused) || l.reload().Through() != 20 {
		t.Errorf("%v", err)
	}
}

// TestEvolveWidensBounds: the key ranges of files are of the key's type as it is now.
func TestEvolveWidensBounds(t *testing.T) {
	l := newLab(t)
	narrow := schemaOf(t, []string{"id"}, column(t, "id", "INTEGER", false))
	wide := schemaOf(t, []string{"id"}, column(t, "id", "BIGINT", false))
	bounds := func(s lake.Schema, widen bool) (lower, upper []byte) {
		table := l.create(s)
		table = l.commit(table, base.Change{Kind: base.KindFold, Add: []base.NewFile{l.oneColumn(table, -7, 300)}})
		if widen {
			var err error
			ops := lake.SchemaOperation{Op: lake.OpSetType, Name: "id", Type: lake.Type{Kind: lake.Bigint}}
			if table, err = table.Evolve(l.Context(), evolved(t, table, ops), 1, l.makeCurrent); err != nil {
				t.Fatal(err)
			}
		}
		f := l.files(table)[0]
		return f.Lower, f.Upper
	}
	wantLower, wantUpper := bounds(wide, false)
	gotLower, gotUpper := bounds(narrow, true)
	if len(wantLower) != 8 || !reflect.DeepEqual([][]byte{gotLower, gotUpper}, [][]byte{wantLower, wantUpper}) {
		t.Errorf("%x to %x, and not %x to %x", gotLower, gotUpper, wantLower, wantUpper)
	}
}

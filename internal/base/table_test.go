package base_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"

	"tarn/internal/base"
	"tarn/internal/lake"
	"tarn/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func everyType(t testing.TB) lake.Schema {
	return schemaOf(t, []string{"code", "id"},
		column(t, "id", "BIGINT", false), column(t, "b", "BOOLEAN", true), column(t, "i", "INTEGER", true),
		column(t, "f", "FLOAT", true), column(t, "d", "DOUBLE", true), column(t, "dec", "DECIMAL(38,10)", true),
		column(t, "code", "VARCHAR", false), column(t, "bl", "BLOB", true), column(t, "u", "UUID", true),
		column(t, "day", "DATE", true), column(t, "tm", "TIME", true), column(t, "ts", "TIMESTAMP", true),
		column(t, "tz", "TIMESTAMPTZ", false), column(t, "l", "STRUCT(a BIGINT, b VARCHAR[])[]", true),
		column(t, "m", "MAP(VARCHAR, STRUCT(x DECIMAL(9,2)))", true), column(t, "last", "BIGINT", true))
}

func TestCreateKeepsTheSchema(t *testing.T) {
	for name, s := range map[string]lake.Schema{
		"every type": everyType(t), "keyed": keyed(t),
		"no key": schemaOf(t, nil, column(t, "a", "BIGINT[]", true), column(t, "b", "BIGINT", false)),
	} {
		l := newLab(t)
		table := l.create(s)
		again := l.reload()
		if !reflect.DeepEqual(again.Schema(), s) || !reflect.DeepEqual(table.Schema(), s) {
			t.Errorf("%s: %+v\nwant %+v", name, again.Schema(), s)
		}
		if again.UUID() != table.UUID() || again.SnapshotID() != nil || again.FoldedThrough() != 0 || len(l.files(again)) != 0 {
			t.Errorf("%s: %+v", name, again)
		}
		reach, err := again.Reachable(t.Context())
		if err != nil || !reflect.DeepEqual(reach, []string{l.current}) {
			t.Errorf("%s: reachable %v, %v", name, reach, err)
		}
	}
}

func TestCommits(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	check := func(what string, rows, folded int64, ordinals ...int64) {
		t.Helper()
		for _, tab := range []*base.Table{table, l.reload()} {
			var got []int64
			n := int64(0)
			for _, f := range l.files(tab) {
				got = append(got, f.Ordinal)
				n += f.Rows
				if f.Foreign || f.Path != "" || f.Identity != "" || f.Bytes == 0 {
					t.Errorf("%s: %+v", what, f)
				}
			}
			if n != rows || tab.FoldedThrough() != folded || !reflect.DeepEqual(got, ordinals) {
				t.Errorf("%s: %d rows, folded through %d, ordinals %v", what, n, tab.FoldedThrough(), got)
			}
		}
		reach, err := table.Reachable(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range reach {
			if _, ok := base.HashInName(key); !ok {
				t.Errorf("%s: %s has no hash in its name", what, key)
			}
			if err := base.VerifyFile(t.Context(), l.store, key); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	table = l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 3})
	check("a fold that changes no file of an empty table", 0, 3)
	table = l.commit(table, base.Change{Kind: base.KindAppend, FoldedThrough: 3, Add: []base.NewFile{l.ints(table, 0, 1, 10), l.ints(table, 1, 11, 20)}})
	check("append", 20, 3, 0, 1)
	table = l.commit(table, base.Change{Kind: base.KindAppend, FoldedThrough: 3, Add: []base.NewFile{l.ints(table, 2, 21, 30)}})
	check("append again", 30, 3, 0, 1, 2)
	snapshot := *table.SnapshotID()
	table = l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 5})
	check("a fold that changes no file", 30, 5, 0, 1, 2)
	if *table.SnapshotID() != snapshot {
		t.Error("a commit without files made a snapshot")
	}
	table = l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 9, Remove: l.files(table)[1:2], Add: []base.NewFile{l.ints(table, 1, 11, 25)}})
	check("fold", 35, 9, 0, 1, 2)
	table = l.commit(table, base.Change{Kind: base.KindFold, FoldedThrough: 10, Remove: l.files(table)[:1]})
	check("remove", 25, 10, 1, 2)
	table = l.commit(table, base.Change{Kind: base.KindReplace, FoldedThrough: 11, Remove: l.files(table)})
	check("replace by nothing", 0, 11)
	table = l.commit(table, base.Change{Kind: base.KindAppend, FoldedThrough: 11, Add: []base.NewFile{l.ints(table, 3, 1, 2)}})
	check("append to what became empty", 2, 11, 3)
	table = l.commit(table, base.Change{Kind: base.KindReplace, FoldedThrough: 12, Remove: l.files(table), Add: []base.NewFile{l.ints(table, 0, 1, 5)}})
	check("replace", 5, 12, 0)
}

func TestCommitRefuses(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindAppend, FoldedThrough: 4, Add: []base.NewFile{l.ints(table, 0, 1, 10)}})
	was := l.current
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		change  base.Change
		current func(context.Context, string) error
		is      func(error) bool
	}{
		"folded-through back": {base.Change{FoldedThrough: 3}, l.makeCurrent, internal},
		"unknown file":        {base.Change{FoldedThrough: 4, Remove: []lake.BaseFile{{Key: "base/x"}}}, l.makeCurrent, internal},
		"a file twice":        {base.Change{FoldedThrough: 4, Remove: append(l.files(table), l.files(table)...)}, l.makeCurrent, internal},
		"makeCurrent refuses": {base.Change{FoldedThrough: 4, Remove: l.files(table)}, func(context.Context, string) error { return refused }, func(err error) bool { return err == refused }},
	} {
		if _, err := table.Commit(t.Context(), c.change, c.current); err == nil || !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l.current != was || len(l.files(l.reload())) != 1 {
		t.Error("a refused commit changed something")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := table.Commit(ctx, base.Change{FoldedThrough: 5}, l.makeCurrent); lake.CodeOf(err) != lake.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
	// The same Table commits after all that.
	table = l.commit(table, base.Change{FoldedThrough: 4, Remove: l.files(table)})
	if len(l.files(table)) != 0 {
		t.Error("files are left")
	}
}

func internal(err error) bool { return lake.CodeOf(err) == lake.CodeInternal }

// TestManyCommits: 80 commits with expiry and merging of manifests keep the
// metadata small and every row and reference right.
func TestManyCommits(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	rows := int64(0)
	ever := map[string]bool{} // all files that the table had at any time
	for i := range int64(80) {
		c := base.Change{Kind: base.KindFold, FoldedThrough: i + 1, KeepFor: time.Nanosecond, KeepLast: 5}
		switch {
		case i%3 == 2: // rewrite the oldest file with one row more
			old := l.files(table)[0]
			c.Remove = []lake.BaseFile{old}
			c.Add = []base.NewFile{l.ints(table, old.Ordinal, 1, old.Rows+1)}
			rows++
		default:
			c.Add = []base.NewFile{l.ints(table, i, i*100, i*100+9)}
			rows += 10
		}
		table = l.commit(table, c)
		got := int64(0)
		for _, f := range l.files(l.reload()) {
			got += f.Rows
			ever[f.Key] = true
		}
		if got != rows || l.reload().FoldedThrough() != i+1 {
			t.Fatalf("commit %d: %d rows where %d are due", i, got, rows)
		}
	}
	body, err := l.store.Get(t.Context(), l.current)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(body), `"manifest-list"`); n > 8 {
		t.Errorf("%d snapshots are kept", n)
	}
	if len(body) > 32<<10 {
		t.Errorf("metadata of %d bytes", len(body))
	}
	for key := range ever { // expiry deletes nothing by itself
		if _, err := l.store.Stat(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	reach, err := table.Reachable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	manifests := 0
	for _, key := range reach {
		if err := base.VerifyFile(t.Context(), l.store, key); err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(key, ".avro") {
			manifests++
		}
	}
	if manifests > 60 {
		t.Errorf("%d manifests and lists are reachable", manifests)
	}
}

// TestDamage: I7, a flipped bit or a cut in any file of a table is found, and
// the error names the file.
func TestDamage(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 1, 10)}})
	reach, err := table.Reachable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, key := range reach {
		good, err := l.store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		kinds[key[strings.LastIndex(key, "."):]] = true
		for name, bad := range map[string][]byte{"flip": flip(good, len(good)/2), "first": flip(good, 0), "cut": good[:len(good)-1], "gone": nil} {
			if err := l.store.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if bad != nil {
				if err := l.store.Create(t.Context(), key, bad); err != nil {
					t.Fatal(err)
				}
			}
			err := readAll(t.Context(), l, l.current)
			if !errors.Is(err, lake.ErrDamaged) && !(name == "gone" && key == l.current && errors.Is(err, lake.ErrNotFound)) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s of %s: %v", name, key, err)
			}
			if err := base.VerifyFile(t.Context(), l.store, key); !errors.Is(err, lake.ErrDamaged) {
				t.Errorf("%s of %s: VerifyFile: %v", name, key, err)
			}
		}
		if err := errors.Join(l.store.Delete(t.Context(), key), l.store.Create(t.Context(), key, good)); err != nil {
			t.Fatal(err)
		}
	}
	if len(kinds) != 3 {
		t.Errorf("kinds of files: %v", kinds)
	}
	if err := readAll(t.Context(), l, l.current); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func flip(b []byte, i int) []byte {
	out := append([]byte{}, b...)
	out[i] ^= 4
	return out
}

// readAll reads a table as a server does that starts: metadata, then every data
// file verified.
func readAll(ctx context.Context, l *lab, metadataKey string) error {
	t, err := base.Load(ctx, base.NewFS(l.store, nil), metadataKey)
	if err != nil {
		return err
	}
	files, err := t.Files(ctx)
	if err != nil {
		return err
	}
	_, err = l.verifier.Files(ctx, files)
	return err
}

// TestMovedLake: a copy of the folder opens where it is, and commits there.
func TestMovedLake(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 1, 10)}})
	moved := newLab(t)
	for info, err := range l.store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := l.store.Get(t.Context(), info.Key)
		if err == nil {
			err = moved.store.Create(t.Context(), info.Key, body)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := l.store.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	moved.current = l.current
	there := moved.reload()
	there = moved.commit(there, base.Change{Kind: base.KindFold, FoldedThrough: 2, Add: []base.NewFile{moved.ints(there, 1, 11, 15)}})
	moved.commit(there, base.Change{Kind: base.KindFold, FoldedThrough: 3, Remove: moved.files(there)[:1], Add: []base.NewFile{moved.ints(there, 0, 1, 12)}})
	if files := moved.files(moved.reload()); len(files) != 2 || files[0].Rows != 12 || files[1].Rows != 5 {
		t.Errorf("%+v", files)
	}
	if err := readAll(t.Context(), moved, moved.current); err != nil {
		t.Error(err)
	}
}

func TestTakeInRefusesOtherColumns(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	other := schemaOf(t, nil, column(t, "a", "BIGINT", true), column(t, "b", "DOUBLE", true), column(t, "c", "DOUBLE", true))
	path := t.TempDir() + "/x.parquet"
	writeParquet(t, path, other, func(b *array.RecordBuilder) {
		for _, f := range b.Fields() {
			f.AppendEmptyValue()
		}
	})
	if _, err := table.TakeIn(t.Context(), path, 0); !internal(err) || err == nil {
		t.Errorf("%v", err)
	}
	if _, err := table.TakeIn(t.Context(), t.TempDir()+"/none", 0); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	l := newLab(t)
	l.create(keyed(t))
	if _, err := base.Load(t.Context(), l.fs, "base/main/x/metadata/v1.metadata.json"); lake.CodeOf(err) != lake.CodeUnsupported {
		t.Errorf("%v", err)
	}
	body, err := l.store.Get(t.Context(), l.current)
	if err != nil {
		t.Fatal(err)
	}
	hash := store.HashBytes(body)
	elsewhere := "base/main/other/metadata/00000-" + hash[:8] + "-" + hash[8:12] + "-" + hash[12:16] + "-" + hash[16:20] + "-" + hash[20:] + ".metadata.json"
	if err := l.store.Create(t.Context(), elsewhere, body); err != nil {
		t.Fatal(err)
	}
	if _, err := base.Load(t.Context(), l.fs, elsewhere); !errors.Is(err, lake.ErrDamaged) {
		t.Errorf("another folder: %v", err)
	}
}

// TestTheClockWentBack: a table whose times lie in the future takes commits all the
// same, and has none of these times afterwards.
func TestTheClockWentBack(t *testing.T) {
	l := newLab(t)
	table := l.create(keyed(t))
	table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, 0, 0, 100)}})
	table, err := table.Ahead(t.Context(), 365*24*time.Hour, l.makeCurrent)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := *table.SnapshotID()
	for i := range int64(3) {
		table = l.commit(table, base.Change{Kind: base.KindAppend, Add: []base.NewFile{l.ints(table, i+1, 100*(i+1), 100*(i+2))}})
		for _, tab := range []*base.Table{table, l.reload()} {
			if ahead := time.Until(tab.Latest()); ahead > time.Second {
				t.Errorf("commit %d: a time is %s ahead", i, ahead)
			}
			if n := len(l.files(tab)); n != int(i)+2 || *tab.SnapshotID() == snapshot {
				t.Errorf("commit %d: %d files, snapshot %s", i, n, *tab.SnapshotID())
			}
		}
	}
	if n := table.OldSnapshots(time.Now().Add(time.Second)); n != 3 { // they age again
		t.Errorf("%d old snapshots", n)
	}
}

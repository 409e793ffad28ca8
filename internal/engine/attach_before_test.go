package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"tarn/internal/engine"
)

// TestAttachFromAndToNothing: an owner's table without a snapshot, and one that all rows left.
func TestAttachFromAndToNothing(t *testing.T) {
	for _, key := range [][]string{{"id"}, nil} {
		t.Run(fmt.Sprint(key), func(t *testing.T) {
			dir, here := t.TempDir(), t.TempDir()
			owner := openLake(t, dir, noRetentionOf)
			defer owner.close()
			owner.create("t", schema(t, key, "id BIGINT", "v VARCHAR"))
			o := openLake(t, here, attaches(t, dir), noRetentionOf)
			defer func() { o.close() }()
			if r := o.attach("a", folderOf(t, dir, "t")); r.Files != 0 || r.Attached.Snapshot != "" {
				t.Errorf("attached nothing: %+v", r)
			}
			o.change("a", engine.OpUpsert, `{"id":1,"v":"mine"}`)
			o.compact("a")
			if r := o.sync("a"); r.Changed {
				t.Errorf("there is nothing new: %+v", r)
			}
			owner.change("t", engine.OpUpsert, `{"id":2,"v":"theirs"}`)
			owner.compact("t")
			o.sync("a")
			o.bothWays("select * from a order by id", "a", `[1,"mine"]`, `[2,"theirs"]`)
			o.compact("a")
			if _, err := owner.exec("delete from t"); err != nil {
				t.Fatal(err)
			}
			owner.compact("t")
			o.change("a", engine.OpUpsert, `{"id":7,"v":"pending"}`)
			o.sync("a")
			want := []string{`[1,"mine"]`, `[7,"pending"]`}
			o.bothWays("select * from a order by id", "a", want...)
			o.close()
			o = openLake(t, here, attaches(t, dir), noRetentionOf)
			o.want("select * from a order by id", want...)
			o.compact("a")
			owner.change("t", engine.OpUpsert, `{"id":3,"v":"again"}`)
			owner.compact("t")
			o.sync("a")
			o.want("select * from a order by id", `[1,"mine"]`, `[3,"again"]`, `[7,"pending"]`)
			o.compact("a")
			o.verifyClean()
		})
	}
}

// TestAttachedAsItWas: over syncs every state that was can be asked for, of the writer and of
// a follower, which is never behind it, and a reader of the feed ends with the rows there are.
func TestAttachedAsItWas(t *testing.T) {
	for _, key := range [][]string{{"id"}, nil} {
		t.Run(fmt.Sprint(key), func(t *testing.T) {
			owner, dir := ownersTable(t, key, marking)
			here := t.TempDir()
			open := func() *opened { return openLake(t, here, attaches(t, dir)) }
			o := open()
			defer func() { o.close() }()
			o.attach("a", folderOf(t, dir, "t"))
			f := follow(t, here)
			defer f.close()
			states := map[int64][]string{}
			remember := func() {
				t.Helper()
				got, head, err := o.tryAnswer("select id, v from a")
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(got)
				for _, at := range head.ReadPoints {
					if before, ok := states[at.Sequence]; ok && !slices.Equal(before, got) {
						t.Fatalf("at %d it was %v and is %v", at.Sequence, before, got)
					}
					states[at.Sequence] = got
				}
				f.caughtUp(o)
			}
			remember()
			reader := &replica{rows: map[int64]string{}}
			if key != nil {
				reader.read(o, "a")
			}
			for i := range 4 {
				o.change("a", engine.OpUpsert, fmt.Sprintf(`{"id":2,"v":"mine%d"}`, i), fmt.Sprintf(`{"id":%d,"v":"new"}`, 20+i))
				remember()
				if key != nil {
					o.change("a", engine.OpDelete, fmt.Sprintf(`{"id":%d}`, 11+i))
					remember()
				}
				if i%2 == 0 {
					o.compact("a")
					remember()
				}
				owner.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":"theirs%d"}`, i), fmt.Sprintf(`{"id":%d,"v":"theirs"}`, 12+i))
				owner.compact("t")
				o.pin("a")
				o.sync("a")
				remember()
				if key != nil {
					reader.follow(o, "a", 1000)
					var got []string
					for id, v := range reader.rows {
						got = append(got, fmt.Sprintf("[%d,%q]", id, v))
					}
					if slices.Sort(got); !slices.Equal(got, states[reader.after]) {
						t.Fatalf("the feed's reader has %v, the dataset %v", got, states[reader.after])
					}
				}
				o.change("a", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"after"}`, 40+i))
				remember()
				if i == 1 {
					o.compact("a")
					remember()
				}
				for sequence, want := range states {
					for who, l := range map[string]*opened{"the writer": o, "the follower": f} {
						got, err := l.tryRows(fmt.Sprintf("select * from a at (sequence => %d)", sequence))
						if slices.Sort(got); err != nil || !slices.Equal(got, want) {
							t.Fatalf("%s, at %d: %v, and it was %v (%v)", who, sequence, got, want, err)
						}
					}
				}
				if i == 2 {
					o.close()
					o = open()
				}
			}
			o.verifyClean()
		})
	}
}

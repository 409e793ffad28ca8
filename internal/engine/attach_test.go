package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/foreign"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// attaches lets tables be attached from a folder, and none be followed unasked.
func attaches(t testing.TB, root string) func(*engine.Options) {
	t.Helper()
	places, err := foreign.Open([]string{root}, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { places.Close() })
	return func(o *engine.Options) { o.Foreign, o.Settings.AttachInterval = places, time.Hour }
}

// folderOf is where the table of a dataset lies, as another program finds it.
func folderOf(t testing.TB, dir, dataset string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "base", "main", dataset+"-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the table of %s in %s: %v %v", dataset, dir, found, err)
	}
	return found[0]
}

func (o *opened) tryAttach(dataset, location string, key ...string) (engine.AttachResult, error) {
	return attachResult(o.Attach(context.Background(), engine.AttachRequest{Dataset: parsed(dataset), Source: foreign.Source{Location: location}, PrimaryKey: key}))
}

func (o *opened) trySync(dataset string) (engine.AttachResult, error) {
	return attachResult(o.Sync(context.Background(), parsed(dataset)))
}

func attachResult(j *engine.Job, err error) (engine.AttachResult, error) {
	if err != nil {
		return engine.AttachResult{}, err
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		return engine.AttachResult{}, err
	}
	return r.(engine.AttachResult), nil
}

func (o *opened) attach(dataset, location string, key ...string) engine.AttachResult {
	o.t.Helper()
	r, err := o.tryAttach(dataset, location, key...)
	if err != nil {
		o.t.Fatalf("attach %s: %v", dataset, err)
	}
	return r
}

func (o *opened) sync(dataset string) engine.AttachResult {
	o.t.Helper()
	r, err := o.trySync(dataset)
	if err != nil {
		o.t.Fatalf("sync %s: %v", dataset, err)
	}
	return r
}

// ownersTable is a lake whose dataset t, of two data files, others attach.
func ownersTable(t *testing.T, key []string, change ...func(*engine.Options)) (owner *opened, dir string) {
	t.Helper()
	dir = t.TempDir()
	owner = openLake(t, dir, append([]func(*engine.Options){noRetentionOf, func(o *engine.Options) { o.Settings.TargetFileBytes = 1 }}, change...)...)
	t.Cleanup(owner.close)
	owner.create("t", schema(t, key, "id BIGINT", "v VARCHAR"))
	for _, lines := range [][]string{{`{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`}, {`{"id":11,"v":"k"}`, `{"id":12,"v":"l"}`}} {
		owner.change("t", engine.OpUpsert, lines...)
		owner.compact("t")
	}
	return owner, dir
}

// TestAttach: a table of others is read, hot and cold, and changed; its owner does not see
// that, and what he commits is taken, with what was changed on top. Detached it is tarn's own.
func TestAttach(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"})
	here := t.TempDir()
	o := openLake(t, here, attaches(t, dir), noRetentionOf)
	defer func() { o.close() }()
	before := filesUnder(t, dir)
	r := o.attach("a", folderOf(t, dir, "t"))
	if r.Files != 2 || r.FilesLinked+r.FilesCopied != 2 || r.Rows != 4 || !r.Changed {
		t.Errorf("attach says %+v", r)
	}
	o.bothWays("select id, v from a order by id", "a", `[1,"a"]`, `[2,"b"]`, `[11,"k"]`, `[12,"l"]`)
	o.change("a", engine.OpUpsert, `{"id":2,"v":"mine"}`, `{"id":3,"v":"new"}`)
	o.change("a", engine.OpDelete, `{"id":11}`)
	mine := []string{`[1,"a"]`, `[2,"mine"]`, `[3,"new"]`, `[12,"l"]`}
	o.bothWays("select id, v from a order by id", "a", mine...)
	if c := o.compact("a"); c.FilesRewritten != 0 || c.DeleteFiles != 2 {
		t.Errorf("a fold of attached files: %+v", c)
	}
	o.bothWays("select id, v from a order by id", "a", mine...)
	if after := filesUnder(t, dir); !slices.Equal(before, after) {
		t.Errorf("the owner's files were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if r := o.sync("a"); r.Changed {
		t.Errorf("a sync without a commit of the owner: %+v", r)
	}
	// The owner rewrites the files of 1, 2 and 11, 12.
	owner.change("t", engine.OpUpsert, `{"id":1,"v":"theirs"}`, `{"id":2,"v":"theirs"}`, `{"id":11,"v":"theirs"}`, `{"id":13,"v":"theirs"}`)
	owner.compact("t")
	if _, err := owner.trySync("t"); lake.CodeOf(err) != lake.CodeUnsupported {
		t.Errorf("a sync of a dataset that is tarn's own: %v", err)
	}
	o.change("a", engine.OpUpsert, `{"id":12,"v":"pending"}`)
	if r := o.sync("a"); !r.Changed || r.RowsOnTop != 4 || r.Rows != 5 {
		t.Errorf("sync says %+v", r)
	}
	want := []string{`[1,"theirs"]`, `[2,"mine"]`, `[3,"new"]`, `[12,"pending"]`, `[13,"theirs"]`}
	o.bothWays("select id, v from a order by id", "a", want...)
	o.compact("a")
	o.bothWays("select id, v from a order by id", "a", want...)
	o.close()
	o = openLake(t, here, noRetentionOf) // without a place to attach from
	o.want("select id, v from a order by id", want...)
	_, err := o.trySync("a")
	wantCode(t, err, lake.CodeUnsupported)
	if d := o.describe("a"); d.Attached == nil || d.FormatVersion != 3 {
		t.Errorf("described as %+v", d)
	}
	if !newestVersionSays(t, here, `"features": [
    "attached"
  ]`) {
		t.Error("a build that knows of no attaching would open the lake")
	}
	d, err := o.Detach(t.Context(), parsed("a"))
	if err != nil || d.Attached != nil {
		t.Fatalf("detach: %+v, %v", d, err)
	}
	if !newestVersionSays(t, here, `"features": []`) {
		t.Error("the lake asks for what it has not any more")
	}
	o.alter("a add column w BIGINT")
	o.change("a", engine.OpUpsert, `{"id":1,"v":"own","w":1}`)
	o.compact("a")
	o.want("select id, v, w from a where id < 3 order by id", `[1,"own",1]`, `[2,"mine",null]`)
	if _, err := o.Detach(t.Context(), parsed("a")); lake.CodeOf(err) != lake.CodeUnsupported {
		t.Errorf("detached twice: %v", err)
	}
	o.verifyClean()
}

// TestAttachedIsMoved: a lake that is moved, backed up and restored keeps what it stands on,
// and what is on top.
func TestAttachedIsMoved(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"}, marking)
	owner.change("t", engine.OpDelete, `{"id":12}`)
	owner.compact("t")
	old, place := filepath.Join(t.TempDir(), "old"), attaches(t, dir)
	o := openLake(t, old, place, noRetentionOf)
	o.attach("a", folderOf(t, dir, "t"))
	o.change("a", engine.OpUpsert, `{"id":2,"v":"mine"}`)
	o.change("a", engine.OpDelete, `{"id":11}`)
	o.compact("a")
	want := []string{`[1,"a"]`, `[2,"mine"]`}
	o.want("select id, v from a order by id", want...)
	backup, restored, moved := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored"), filepath.Join(t.TempDir(), "new")
	o.backup(backup, 1)
	o.close()
	if err := os.Rename(old, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Restore(t.Context(), engine.RestoreRequest{Path: backup, Options: engine.Options{
		Data: restored, Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet(),
	}}, nil); err != nil {
		t.Fatal(err)
	}
	owner.change("t", engine.OpUpsert, `{"id":1,"v":"theirs"}`, `{"id":2,"v":"theirs"}`, `{"id":11,"v":"theirs"}`, `{"id":12,"v":"theirs"}`)
	owner.compact("t")
	for _, lake := range []string{moved, restored} {
		o = openLake(t, lake, place, noRetentionOf)
		o.want("select id, v from a order by id", want...)
		o.reroot()
		o.want("select id, v from a order by id", want...)
		if r := o.sync("a"); r.RowsOnTop != 2 {
			t.Errorf("sync says %+v", r)
		}
		o.compact("a")
		o.want("select id, v from a order by id", `[1,"theirs"]`, `[2,"mine"]`, `[12,"theirs"]`)
		o.verifyClean()
		o.close()
	}
}

// TestAttachedIsTheOwners: what would need the owner's files or columns to be others is
// refused, and names the way out.
func TestAttachedIsTheOwners(t *testing.T) {
	_, dir := ownersTable(t, nil)
	o := openLake(t, t.TempDir(), attaches(t, dir))
	defer o.close()
	o.attach("a", folderOf(t, dir, "t"))
	o.attach("k", folderOf(t, dir, "t"), "id")
	n := parsed("a")
	for what, try := range map[string]func() error{
		"another schema": func() error { _, err := o.tryAlter("a add column w BIGINT"); return err },
		"an import": func() error {
			_, err := o.importText("a", engine.ImportAppend, rows.CSV, nil, "", "id,v\n7,x\n")
			return err
		},
		"a replacing import": func() error {
			_, err := o.importText("k", engine.ImportReplace, rows.CSV, nil, "", "id,v\n7,x\n")
			return err
		},
		"duplicates":        func() error { _, err := o.tryCompact("a", "id"); return err },
		"places":            func() error { _, err := o.exec("delete from a where id = 1"); return err },
		"places in another": func() error { _, err := o.exec("update a set v = 'x'"); return err },
		"another program": func() error {
			tbl, err := loadOutside(o, "k")
			if err != nil {
				return err
			}
			return appendOutside(tbl, `{"id":7,"v":"x"}`)
		},
	} {
		if err := try(); lake.CodeOf(err) != lake.CodeUnsupported || !strings.Contains(lake.HintOf(err), "detach") {
			t.Errorf("%s: %v (%s)", what, err, lake.HintOf(err))
		}
	}
	if _, err := o.Compact(t.Context(), engine.CompactRequest{Dataset: &n, DryRun: true}); err != nil {
		t.Error(err)
	}
	o.did(1, "delete from k where id = 1")
	o.want("select id from k order by id", "[2]", "[11]", "[12]")
}

// TestAttachWithoutAKey: rows are appended beside the owner's, whose commits go on.
func TestAttachWithoutAKey(t *testing.T) {
	owner, dir := ownersTable(t, nil)
	o := openLake(t, t.TempDir(), attaches(t, dir), noRetentionOf)
	defer o.close()
	o.attach("a", folderOf(t, dir, "t"))
	for i := range 12 { // enough for small files to be merged
		o.change("a", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"mine"}`, 100+i))
		o.compact("a")
	}
	if files := o.describe("a").Files; files > 12 {
		t.Errorf("there are %d files", files)
	}
	if _, err := owner.exec("delete from t where id < 10"); err != nil {
		t.Fatal(err)
	}
	o.attach("touched", folderOf(t, dir, "t")) // what the owner reads next
	if _, err := owner.importText("t", engine.ImportAppend, rows.CSV, nil, "", "id,v\n50,theirs\n"); err != nil {
		t.Fatal(err)
	}
	o.change("a", engine.OpUpsert, `{"id":200,"v":"pending"}`)
	o.sync("a")
	want := []string{"[11]", "[12]", "[50]"}
	for i := range 12 {
		want = append(want, fmt.Sprintf("[%d]", 100+i))
	}
	want = append(want, "[200]")
	o.bothWays("select id from a order by id", "a", want...)
	o.compact("a")
	o.bothWays("select id from a order by id", "a", want...)
	o.verifyClean()
}

// TestAttachNumbersRows: a column that hides the numbers by which
// rows are marked dead is refused, as a fold would rewrite the owner's file.
func TestAttachNumbersRows(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"})
	o := openLake(t, t.TempDir(), attaches(t, dir), noRetentionOf)
	defer o.close()
	owner.create("n", schema(t, []string{"id"}, "id BIGINT", "File_Row_Number VARCHAR"))
	owner.change("n", engine.OpUpsert, `{"id":1,"File_Row_Number":"a"}`)
	owner.compact("n")
	_, err := o.tryAttach("a", folderOf(t, dir, "n"))
	wantCode(t, err, lake.CodeUnsupported)
}

// TestAttachByFieldIDs: columns are found in an owner's files by field id where they are called
// otherwise there, and no schema tells of it: Iceberg for Java writes a_x20b for "a b".
func TestAttachByFieldIDs(t *testing.T) {
	_, dir := ownersTable(t, nil)
	here := t.TempDir()
	o := openLake(t, here, attaches(t, dir), noRetentionOf)
	defer func() { o.close() }()
	table := folderOf(t, dir, "t")
	said, err := os.ReadFile(o.attach("told", table).Attached.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(said), `"name":"v"`, `"name":"v v"`)
	if err := os.WriteFile(filepath.Join(table, "metadata", "00099-other.metadata.json"), []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{`[1,"a"]`, `[2,"b"]`, `[11,"k"]`, `[12,"l"]`}
	for dataset, key := range map[string][]string{"a": nil, "k": {"id"}} {
		o.attach(dataset, table, key...)
		o.bothWays(`select id, "v v" from `+dataset+` order by id`, dataset, want...)
		o.change(dataset, engine.OpUpsert, `{"id":20,"v v":"mine"}`)
		o.compact(dataset)
		o.bothWays(`select id, "v v" from `+dataset+` order by id`, dataset, append(want, `[20,"mine"]`)...)
		if _, err := o.Detach(t.Context(), parsed(dataset)); err != nil {
			t.Fatal(err)
		}
	}
	o.close()
	o = openLake(t, here, noRetentionOf)
	for _, dataset := range []string{"a", "k"} {
		o.bothWays(`select id, "v v" from `+dataset+` order by id`, dataset, append(want, `[20,"mine"]`)...)
	}
	o.verifyClean()
}

// TestAttachFollowsColumns: the owner's schema changes are followed, and files of before them
// read on; one that cannot be followed is refused.
func TestAttachFollowsColumns(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"})
	owner.alter("t add column gone INTEGER")
	owner.alter("t drop column gone")
	owner.alter("t add column n INTEGER")
	owner.change("t", engine.OpUpsert, `{"id":2,"v":"b","n":2}`)
	owner.compact("t")
	o := openLake(t, t.TempDir(), attaches(t, dir), noRetentionOf)
	defer o.close()
	o.attach("a", folderOf(t, dir, "t"))
	o.bothWays("select * from a order by id", "a", `[1,"a",null]`, `[2,"b",2]`, `[11,"k",null]`, `[12,"l",null]`)
	o.change("a", engine.OpUpsert, `{"id":12,"v":"mine","n":12}`)
	o.compact("a")
	owner.alter("t rename column v to w")
	owner.alter("t alter column n type BIGINT")
	owner.alter("t add column passing INTEGER")
	owner.alter("t drop column passing") // its field id is gone as well
	owner.alter("t add column more VARCHAR")
	owner.change("t", engine.OpUpsert, `{"id":1,"w":"theirs","n":5000000000,"more":"m"}`)
	owner.compact("t")
	o.sync("a")
	want := []string{`[1,"theirs",5000000000,"m"]`, `[2,"b",2,null]`, `[11,"k",null,null]`, `[12,"mine",12,null]`}
	o.bothWays("select id, w, n, more from a order by id", "a", want...)
	o.compact("a")
	o.bothWays("select id, w, n, more from a order by id", "a", want...)
	o.verifyClean()
}

// TestAttachRefuses: what is no table, or none that can be a base, leaves nothing behind.
func TestAttachRefuses(t *testing.T) {
	owner, dir := ownersTable(t, nil)
	here := t.TempDir()
	o := openLake(t, here, attaches(t, dir), noRetentionOf)
	defer o.close()
	owner.change("t", engine.OpUpsert, `{"id":1,"v":"again"}`)
	owner.change("t", engine.OpUpsert, `{"id":null,"v":"null"}`)
	owner.compact("t")
	table := folderOf(t, dir, "t")
	for _, c := range []struct {
		location string
		key      []string
		code     lake.Code
		text     string
	}{
		{table, []string{"id"}, lake.CodeRowsInvalid, "null"},
		{table, []string{"nothing"}, lake.CodeInvalidRequest, "nothing"},
		{filepath.Join(dir, "absent"), nil, lake.CodeNotFound, "absent"},
		{here, nil, lake.CodeUnsupported, "attach_roots"},
	} {
		if _, err := o.tryAttach("a", c.location, c.key...); lake.CodeOf(err) != c.code || !strings.Contains(err.Error()+lake.HintOf(err), c.text) {
			t.Errorf("%s %v: %v (%s)", c.location, c.key, err, lake.CodeOf(err))
		}
	}
	owner.did(1, "delete from t where id is null")
	owner.compact("t")
	if _, err := o.tryAttach("a", table, "id"); lake.CodeOf(err) != lake.CodeKeyConflict {
		t.Errorf("a key twice: %v", err)
	}
	if _, err := o.Describe(t.Context(), parsed("a")); lake.CodeOf(err) != lake.CodeDatasetNotFound {
		t.Errorf("the dataset is there: %v", err)
	}
	owner.did(1, "delete from t where v = 'again'")
	owner.compact("t")
	o.attach("a", table, "id")
	if _, err := o.tryAttach("a", table); lake.CodeOf(err) != lake.CodeDatasetExists {
		t.Errorf("attached twice under one name: %v", err)
	}
	owner.change("t", engine.OpUpsert, `{"id":12,"v":"again"}`)
	owner.compact("t")
	if _, err := o.trySync("a"); lake.CodeOf(err) != lake.CodeKeyConflict {
		t.Errorf("a commit that breaks the key: %v", err)
	}
	o.want("select id, v from a order by id", `[1,"a"]`, `[2,"b"]`, `[11,"k"]`, `[12,"l"]`)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	o.want("select count(*) from a", "[4]")
	o.verifyClean()
}

// TestAttachFollowsByItself: the owner's commits are taken without being asked for; one that
// cannot be is left, and the next is taken.
func TestAttachFollowsByItself(t *testing.T) {
	owner, dir := ownersTable(t, nil)
	o := openLake(t, t.TempDir(), attaches(t, dir), func(o *engine.Options) { o.Settings.AttachInterval = 50 * time.Millisecond })
	defer o.close()
	o.attach("a", folderOf(t, dir, "t"), "id")
	o.change("a", engine.OpUpsert, `{"id":2,"v":"mine"}`)
	until := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("there never is %s; there is %v", what, o.rows("select id, v from a order by id"))
			}
		}
	}
	shows := func(want ...string) {
		t.Helper()
		until(strings.Join(want, " "), func() bool { return slices.Equal(o.rows("select id, v from a order by id"), want) })
	}
	owner.change("t", engine.OpUpsert, `{"id":20,"v":"theirs"}`)
	owner.compact("t")
	shows(`[1,"a"]`, `[2,"mine"]`, `[11,"k"]`, `[12,"l"]`, `[20,"theirs"]`)
	owner.change("t", engine.OpUpsert, `{"id":20,"v":"twice"}`, `{"id":21,"v":"theirs"}`)
	owner.compact("t")
	until("a sync that fails", func() bool {
		return slices.ContainsFunc(o.Jobs(), func(j engine.JobInfo) bool { return j.Kind == "sync" && j.State == engine.JobFailed })
	})
	owner.did(1, "delete from t where v = 'twice'")
	owner.compact("t")
	shows(`[1,"a"]`, `[2,"mine"]`, `[11,"k"]`, `[12,"l"]`, `[20,"theirs"]`, `[21,"theirs"]`)
}

// TestAttachedIsTidied: upkeep lets go of what the owner's newest snapshot has not, and leaves it
// at that: the snapshot itself, which stays, is none to expire.
func TestAttachedIsTidied(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"})
	here := t.TempDir()
	o := openLake(t, here, attaches(t, dir), noRetentionOf)
	defer o.close()
	o.attach("a", folderOf(t, dir, "t"))
	tidied := func() []string {
		t.Helper()
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		return filesUnder(t, filepath.Join(here, "base"))
	}
	for i := range 3 {
		owner.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":"theirs%d"}`, i), fmt.Sprintf(`{"id":12,"v":"theirs%d"}`, i))
		owner.compact("t")
		o.sync("a")
		o.change("a", engine.OpUpsert, `{"id":2,"v":"mine"}`)
		o.compact("a")
		tidied()
		once := tidied()
		if again := tidied(); !slices.Equal(once, again) {
			t.Fatalf("upkeep goes on: there was\n%s\nand is\n%s", strings.Join(once, "\n"), strings.Join(again, "\n"))
		}
		attached := slices.DeleteFunc(once, func(key string) bool { return !strings.Contains(key, "attached-") })
		if len(attached) != 2 {
			t.Fatalf("of the owner's two files there are %v", attached)
		}
		o.bothWays("select id, v from a order by id", "a", fmt.Sprintf(`[1,"theirs%d"]`, i), `[2,"mine"]`, `[11,"k"]`, fmt.Sprintf(`[12,"theirs%d"]`, i))
	}
	o.verifyClean()
}

// TestSyncWaits: a sync that waited for another job takes what the owner has committed by then.
func TestSyncWaits(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"})
	o := openLake(t, t.TempDir(), attaches(t, dir), noRetentionOf)
	defer o.close()
	table := folderOf(t, dir, "t")
	o.attach("a", table)
	theirs := func(v string) {
		owner.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":1,"v":%q}`, v))
		owner.compact("t")
	}
	theirs("first")
	at, goOn := make(chan struct{}), make(chan struct{})
	atFirst(t, "attach.ready", func() { close(at); <-goOn })
	first, err := o.Attach(t.Context(), engine.AttachRequest{Dataset: parsed("other"), Source: foreign.Source{Location: table}})
	if err != nil {
		t.Fatal(err)
	}
	<-at
	waits, err := o.Sync(t.Context(), parsed("a"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // it comes to where it waits
	theirs("second")
	close(goOn)
	if _, err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := attachResult(waits, nil); err != nil {
		t.Fatal(err)
	}
	o.want("select v from a where id = 1", `["second"]`)
}

// TestSyncOfATableThatGotAUUID: in format version 1 a table need not have one.
func TestSyncOfATableThatGotAUUID(t *testing.T) {
	owner, dir := ownersTable(t, []string{"id"})
	o := openLake(t, t.TempDir(), attaches(t, dir), noRetentionOf)
	defer o.close()
	table := folderOf(t, dir, "t")
	said, err := os.ReadFile(o.attach("told", table).Attached.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(said))
	d.UseNumber() // a snapshot's id is no float
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	doc["format-version"], doc["schema"], doc["partition-spec"] = 1, doc["schemas"].([]any)[0], []any{}
	delete(doc, "table-uuid")
	delete(doc, "last-sequence-number")
	if said, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(table, "metadata", "00050-other.metadata.json")
	if err := os.WriteFile(first, said, 0o644); err != nil {
		t.Fatal(err)
	}
	if a := o.attach("a", table); a.Attached.Table != "" {
		t.Fatalf("it has the uuid %s", a.Attached.Table)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	owner.change("t", engine.OpUpsert, `{"id":1,"v":"theirs"}`)
	owner.compact("t")
	if a := o.sync("a"); a.Attached.Table == "" {
		t.Error("it has no uuid yet")
	}
	o.want("select v from a where id = 1", `["theirs"]`)
}

// attachHistory is an owner, a dataset on top of his table, and what both should hold.
type attachHistory struct {
	t        *testing.T
	rnd      *rand.Rand
	owner, o *opened
	here     string
	options  []func(*engine.Options)
	theirs   map[int]int // as the owner's newest snapshot has it
	taken    map[int]int // as the dataset took it last
	mine     map[int]int // upserts of ours
	tombs    map[int]bool
	value    int
}

const attachKeys = 60

func (h *attachHistory) lines(n int, into map[int]int) (lines []string) {
	for range n {
		k := h.rnd.IntN(attachKeys)
		h.value++
		into[k] = h.value
		lines = append(lines, fmt.Sprintf(`{"id":%d,"v":%d}`, k, h.value))
	}
	return lines
}

// theirsChange changes rows of the owner and folds them.
func (h *attachHistory) theirsChange() {
	h.owner.change("t", engine.OpUpsert, h.lines(1+h.rnd.IntN(6), h.theirs)...)
	var gone []string
	for range h.rnd.IntN(5) {
		k := h.rnd.IntN(attachKeys)
		delete(h.theirs, k)
		gone = append(gone, fmt.Sprintf(`{"id":%d}`, k))
	}
	if len(gone) > 0 {
		h.owner.change("t", engine.OpDelete, gone...)
	}
	h.owner.compact("t")
}

func (h *attachHistory) upsert() {
	set := map[int]int{}
	h.o.change("a", engine.OpUpsert, h.lines(1+h.rnd.IntN(5), set)...)
	for k, v := range set {
		h.mine[k] = v
		delete(h.tombs, k)
	}
}

func (h *attachHistory) remove() {
	var gone []string
	for range 1 + h.rnd.IntN(4) {
		k := h.rnd.IntN(attachKeys)
		delete(h.mine, k)
		h.tombs[k] = true
		gone = append(gone, fmt.Sprintf(`{"id":%d}`, k))
	}
	h.o.change("a", engine.OpDelete, gone...)
}

func (h *attachHistory) sync() {
	if r := h.o.sync("a"); !r.Changed {
		return
	}
	maps.DeleteFunc(h.tombs, func(k int, _ bool) bool { _, had := h.taken[k]; return !had })
	h.taken = maps.Clone(h.theirs)
}

func (h *attachHistory) reopen() {
	h.o.close()
	h.o = openLake(h.t, h.here, h.options...)
}

// check compares the dataset with the maps.
func (h *attachHistory) check(step string) {
	h.t.Helper()
	all := maps.Clone(h.taken)
	maps.Copy(all, h.mine)
	for k := range h.tombs {
		delete(all, k)
	}
	var want []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		want = append(want, fmt.Sprintf("[%d,%d]", k, all[k]))
	}
	if got := h.o.rows("select id, v from a order by id"); !slices.Equal(got, want) {
		h.t.Fatalf("after %s:\n got %v\nwant %v", step, got, want)
	}
}

// TestAttachAgainstAMap: an owner of either format version, who rewrites files or marks rows,
// and a dataset on top of his table; both change rows, compact, restart.
func TestAttachAgainstAMap(t *testing.T) {
	seeds := 2
	if testing.Short() {
		seeds = 1
	}
	for i := range seeds {
		seed := testSeed(t) + int64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := &attachHistory{
				t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 7)), here: t.TempDir(),
				theirs: map[int]int{}, mine: map[int]int{}, tombs: map[int]bool{},
			}
			dir := t.TempDir()
			h.owner = openLake(t, dir, noRetentionOf, func(o *engine.Options) {
				o.Settings.TargetFileBytes, o.Settings.IcebergFormatVersion = 1, 2+h.rnd.IntN(2)
				if h.rnd.IntN(3) > 0 {
					o.Settings.CompactDeadShare = 0.2 + 0.7*h.rnd.Float64()
				}
			})
			defer h.owner.close()
			h.owner.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
			for range 1 + h.rnd.IntN(5) {
				h.theirsChange()
			}
			h.options = []func(*engine.Options){attaches(t, dir), noRetentionOf, func(o *engine.Options) {
				o.Settings.TargetFileBytes = []int64{1, 0}[h.rnd.IntN(2)]
				if h.rnd.IntN(2) > 0 {
					o.Settings.CompactDeadShare = h.rnd.Float64()
				}
			}}
			h.o = openLake(t, h.here, h.options...)
			defer func() { h.o.close() }()
			h.o.attach("a", folderOf(t, dir, "t"))
			h.taken = maps.Clone(h.theirs)
			h.check("attach")
			steps := []struct {
				name string
				do   func()
			}{
				{"the owner's change", h.theirsChange}, {"the owner's change", h.theirsChange}, {"upsert", h.upsert}, {"upsert", h.upsert}, {"delete", h.remove},
				{"fold", func() { h.o.compact("a") }}, {"sync", h.sync}, {"sync", h.sync}, {"restart", h.reopen},
				{"pin", func() { h.o.pin("a") }}, {"evict", func() { h.o.evict("a") }},
			}
			for range 60 {
				s := steps[h.rnd.IntN(len(steps))]
				s.do()
				h.check(s.name)
			}
			h.sync()
			h.check("the last sync")
			h.o.compact("a")
			h.check("the last fold")
			h.o.verifyClean()
			if _, err := h.o.Detach(t.Context(), parsed("a")); err != nil {
				t.Fatal(err)
			}
			h.upsert()
			h.o.compact("a")
			h.check("detach")
			h.o.verifyClean()
		})
	}
}

// tableOf is the folder of a table, by the location of a metadata file.
func tableOf(metadata string) string {
	table, _, _ := strings.Cut(metadata, "/metadata/")
	return table
}

// newestVersionSays looks for a text in the newest catalog version.
func newestVersionSays(t *testing.T, dir, text string) bool {
	t.Helper()
	versions, err := filepath.Glob(filepath.Join(dir, "catalog", "*.json"))
	if err != nil || len(versions) == 0 {
		t.Fatal(versions, err)
	}
	body, err := os.ReadFile(slices.Max(versions))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(body), text)
}

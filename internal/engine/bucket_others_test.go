package engine_test

import (
	"fmt"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
	"tarn/internal/store/s3test"
)

// TestLakeInGoogleCloudStorage and TestLakeInAzure take a lake in the stand-in of each
// through changes, an import, a compaction, a follower, a take-over and a backup.
func TestLakeInGoogleCloudStorage(t *testing.T) {
	lakeAt(t, "gs://"+s3test.StartGCS(t)+"/team/lake")
}

func TestLakeInAzure(t *testing.T) {
	lakeAt(t, "azblob://"+s3test.StartAzure(t)+"/team/lake")
}

func lakeAt(t *testing.T, data string) {
	t.Helper()
	at := func(state string) func(*engine.Options) {
		return func(o *engine.Options) {
			o.Data, o.State = data, state
			o.Settings.DiskCacheBytes = 1 << 30
		}
	}
	o := openLake(t, "", at(t.TempDir()), func(o *engine.Options) { noRetention(&o.Settings) })
	o.create("people", schema(t, []string{"id"}, "id BIGINT", "name VARCHAR"))
	o.change("people", engine.OpUpsert, `{"id":1,"name":"Ann"}`, `{"id":2,"name":"Bob"}`)
	if _, err := o.importText("log", "", rows.CSV, nil, "", "n,what\n1,a\n2,b\n"); err != nil {
		t.Fatal(err)
	}
	o.change("people", engine.OpUpsert, `{"id":2,"name":"Bo"}`)
	if c := o.compact("people"); c.FinalRows != 2 {
		t.Fatalf("%+v", c)
	}
	o.change("people", engine.OpDelete, `{"id":1}`)
	for range 2 {
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	o.verifyClean()
	f := follow(t, "", at(t.TempDir()))
	f.caughtUp(o)
	o.change("people", engine.OpUpsert, `{"id":3,"name":"Cid"}`)
	f.caughtUp(o)

	// Another machine takes the lake over.
	next := openLake(t, "", at(t.TempDir()))
	if _, err := o.tryChange("people", engine.OpUpsert, `{"id":4,"name":"late"}`); err == nil {
		t.Error("the former server acknowledged a change")
	}
	o.close()
	next.want("select * from people order by id", `[2,"Bo"]`, `[3,"Cid"]`)
	next.want("select * from log order by n", `[1,"a"]`, `[2,"b"]`)
	next.change("people", engine.OpUpsert, `{"id":9,"name":"Zoe"}`)
	next.compact("people")
	f.caughtUp(next)
	content := next.mustContent()
	to := t.TempDir() + "/backups"
	next.backup(to, 0)
	restored(t, to, 0, content)
	next.close()
	f.close()

	var opts engine.Options
	at(t.TempDir())(&opts)
	opts.Log, opts.MemoryBytes = quiet(), 2<<30
	r, err := engine.VerifyLake(t.Context(), opts, nil)
	if err != nil || len(r.Findings) > 0 || r.Datasets != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	last := openLake(t, "", at(t.TempDir()))
	if got := last.mustContent(); got != content {
		t.Errorf("after another opening:\n%s\nwas\n%s", got, content)
	}
	last.close()
	for _, bad := range []string{data + "/no", fmt.Sprintf("%s-no/x", data[:len(data)-len("/team/lake")])} {
		at(t.TempDir())(&opts)
		opts.Data, opts.ReadOnly = bad, true
		if _, err := engine.Open(t.Context(), opts); err == nil {
			t.Errorf("a follower of %s was opened", bad)
		}
	}
}

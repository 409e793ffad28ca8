package engine_test

import (
	"context"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

func TestWholeWay(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("people", schema(t, []string{"id"}, "id BIGINT", "name VARCHAR", "pay DECIMAL(10,2)"))
	r := o.change("people", engine.OpUpsert, `{"id":1,"name":"Ann","pay":"10.50"}`, `{"id":2,"name":"Bob","pay":1}`)
	if r.Rows != 2 || r.Sequence != 1 || !strings.HasSuffix(r.ETag, `.1.1"`) {
		t.Fatalf("%+v", r)
	}
	o.want("select id, name, pay from people order by id", `[1,"Ann","10.50"]`, `[2,"Bob","1.00"]`)
	o.change("people", engine.OpDelete, `{"id":1}`)
	o.change("people", engine.OpChanges, `{"op":"upsert","row":{"id":3,"name":"Cid","pay":null}}`, `{"op":"delete","key":{"id":2}}`, `{"op":"upsert","row":{"id":2,"name":"Bo","pay":2}}`)
	want := []string{`[2,"Bo","2.00"]`, `[3,"Cid",null]`}
	o.want("select * from people order by id", want...)

	c := o.compact("people")
	if c.BaseRows != 0 || c.DeltaRows != 5 || c.FinalRows != 2 || c.DeltasMerged != 3 {
		t.Fatalf("%+v", c)
	}
	o.want("select * from people order by id", want...)
	if c = o.compact("people"); c.DeltasMerged != 0 || c.FinalRows != 2 {
		t.Fatalf("a second compaction: %+v", c)
	}
	o.change("people", engine.OpUpsert, `{"id":9,"name":"Zoe","pay":9}`)
	o.verifyClean()
	o.close()

	o = openLake(t, dir)
	o.want("select * from people order by id", append(want, `[9,"Zoe","9.00"]`)...)
	d, err := o.Describe(context.Background(), name(t, "people"))
	if err != nil || d.Rows != 3 || d.PendingDeltas != 1 || d.ReadPoint.Sequence != 4 {
		t.Fatalf("%+v, %v", d, err)
	}
	row, etag, err := o.Row(context.Background(), name(t, "people"), "9")
	if err != nil || string(row) != `{"id":9,"name":"Zoe","pay":"9.00"}` || etag != d.ETag {
		t.Fatalf("%s %s %v", row, etag, err)
	}
	_, _, err = o.Row(context.Background(), name(t, "people"), "1")
	wantCode(t, err, lake.CodeRowNotFound)
	o.verifyClean()
	o.close()
}

func TestImportModes(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	r, err := o.importText("t", "", rows.CSV, []string{"id"}, "", "id,v\n1,a\n2,b\n", "id,v\n3,c\n")
	if err != nil || r.Rows != 3 || r.Files != 2 || r.Sequence != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	_, err = o.importText("t", "", rows.CSV, []string{"id"}, "", "id,v\n1,a\n")
	wantCode(t, err, lake.CodeDatasetExists)
	_, err = o.importText("dup", "", rows.CSV, []string{"id"}, "", "id,v\n1,a\n1,b\n")
	wantCode(t, err, lake.CodeKeyConflict)
	o.change("t", engine.OpUpsert, `{"id":2,"v":"B"}`, `{"id":7,"v":"g"}`)
	_, err = o.importText("t", engine.ImportAppend, rows.CSV, nil, "", "id,v\n7,x\n")
	wantCode(t, err, lake.CodeKeyConflict)
	o.want("select * from t order by id", `[1,"a"]`, `[2,"B"]`, `[3,"c"]`, `[7,"g"]`)
	r, err = o.importText("t", engine.ImportAppend, rows.NDJSON, nil, engine.DuplicateLast, `{"id":7,"v":"x"}`+"\n"+`{"id":8,"v":"y"}`+"\n")
	if err != nil || r.Rows != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	o.want("select * from t order by id", `[1,"a"]`, `[2,"B"]`, `[3,"c"]`, `[7,"x"]`, `[8,"y"]`)
	o.change("t", engine.OpDelete, `{"id":1}`)
	r, err = o.importText("t", engine.ImportReplace, rows.CSV, nil, "", "id,v\n5,e\n")
	if err != nil || r.Rows != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	o.want("select * from t order by id", `[5,"e"]`)
	o.change("t", engine.OpUpsert, `{"id":5,"v":"E"}`)
	o.want("select * from t order by id", `[5,"E"]`)
	_, err = o.importText("t", engine.ImportAppend, rows.CSV, []string{"v"}, "", "id,v\n9,x\n")
	wantCode(t, err, lake.CodeKeyMismatch)
	o.verifyClean()
}

func TestKeyless(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("log", schema(t, nil, "who VARCHAR", "n BIGINT"))
	o.change("log", engine.OpUpsert, `{"who":"a","n":1}`, `{"who":"b","n":1}`)
	o.compact("log")
	o.change("log", engine.OpUpsert, `{"who":"a","n":2}`)
	_, err := o.importText("log", engine.ImportAppend, rows.CSV, nil, "", "who,n\nb,5\n,7\n")
	if err != nil {
		t.Fatal(err)
	}
	o.change("log", engine.OpUpsert, `{"who":null,"n":8}`)
	o.want("select * from log", `["a",1]`, `["b",1]`, `["a",2]`, `["b",5]`, `[null,7]`, `[null,8]`)
	_, err = o.tryChange("log", engine.OpDelete, `{"who":"a"}`)
	wantCode(t, err, lake.CodeNoPrimaryKey)
	c := o.compact("log", "who")
	if c.FinalRows != 3 || c.Deleted != 3 || c.DeltaRows != 1 || c.BaseRows != 5 {
		t.Fatalf("%+v", c)
	}
	o.want("select * from log", `["a",2]`, `["b",5]`, `[null,8]`)
	o.verifyClean()
}

func TestRenameAndDrop(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	ctx := context.Background()
	o.create("a", schema(t, []string{"id"}, "id BIGINT"))
	o.change("a", engine.OpUpsert, `{"id":1}`)
	if _, err := o.Rename(ctx, name(t, "a"), name(t, "ns.b"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	_, err := o.tryRows("select * from a")
	wantCode(t, err, lake.CodeDatasetNotFound)
	o.want("select * from ns.b", `[1]`)
	_, err = o.tryChange("a", engine.OpUpsert, `{"id":2}`)
	wantCode(t, err, lake.CodeDatasetNotFound)
	o.create("a", schema(t, nil, "x VARCHAR"))
	_, err = o.Rename(ctx, name(t, "a"), name(t, "NS.B"), engine.Idempotency{})
	wantCode(t, err, lake.CodeDatasetExists)
	if err := o.Drop(ctx, name(t, "ns.b"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	_, err = o.tryRows("select * from ns.b")
	wantCode(t, err, lake.CodeDatasetNotFound)
	o.want("select * from a")
	o.verifyClean()
}

func TestConditions(t *testing.T) {
	dir := t.TempDir()
	o := openLake(t, dir)
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
	send := func(ifMatch, key, body string) (engine.ChangeResult, error) {
		return o.Change(context.Background(), engine.ChangeRequest{
			Dataset: name(t, "t"), Op: engine.OpUpsert, Format: rows.NDJSON, Body: strings.NewReader(body),
			IfMatch: ifMatch, Idempotency: engine.Idempotency{Key: key, Scope: "POST\n/datasets/t/rows\n\napplication/x-ndjson"},
		})
	}
	first, err := send("", "k1", `{"id":1,"v":1}`)
	if err != nil {
		t.Fatal(err)
	}
	again, err := send("", "k1", `{"id":1,"v":1}`)
	if err != nil || again != first {
		t.Fatalf("%+v %v", again, err)
	}
	_, err = send("", "k1", `{"id":1,"v":2}`)
	wantCode(t, err, lake.CodeIdempotencyReused)
	second, err := send(first.ETag, "", `{"id":1,"v":3}`)
	if err != nil || second.ETag == first.ETag {
		t.Fatalf("%+v %v", second, err)
	}
	_, err = send(first.ETag, "", `{"id":1,"v":4}`)
	wantCode(t, err, lake.CodePreconditionFailed)
	// The key is looked up before If-Match.
	if again, err = send(`"stale"`, "k1", `{"id":1,"v":1}`); err != nil || again != first {
		t.Fatalf("%+v %v", again, err)
	}
	o.compact("t")
	o.close()

	o = openLake(t, dir)
	defer o.close()
	if again, err = send("", "k1", `{"id":1,"v":1}`); err != nil || again != first {
		t.Fatalf("after a restart: %+v %v", again, err)
	}
	if _, err = send(second.ETag, "", `{"id":1,"v":5}`); err != nil {
		t.Fatal(err)
	}
	o.want("select * from t", `[1,5]`)
}

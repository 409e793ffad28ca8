package engine_test

import (
	"fmt"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
	"tarn/internal/store/s3test"
)

// onBucket makes a test's lake one in a bucket of its own, with a state folder of
// the machine's own.
func onBucket(url, bucket, state string) func(*engine.Options) {
	return func(o *engine.Options) {
		o.Data, o.State = "s3://"+bucket+"/team/lake", state
		o.Bucket = engine.Bucket{Endpoint: url, PathStyle: true}
		o.Settings.DiskCacheBytes = 1 << 30
	}
}

func TestBucketIsAWholeLake(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	o := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	o.create("people", schema(t, []string{"id"}, "id BIGINT", "name VARCHAR"))
	o.change("people", engine.OpUpsert, `{"id":1,"name":"Ann"}`, `{"id":2,"name":"Bob"}`)
	if _, err := o.importText("log", "", rows.CSV, nil, "", "n,what\n1,a\n2,b\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.importText("people", engine.ImportAppend, rows.CSV, nil, "", "id,name\n3,Cid\n"); err != nil {
		t.Fatal(err)
	}
	want := []string{`[1,"Ann"]`, `[2,"Bob"]`, `[3,"Cid"]`}
	o.want("select * from people order by id", want...)
	o.change("people", engine.OpUpsert, `{"id":2,"name":"Bo"}`)
	want[1] = `[2,"Bo"]`
	c := o.compact("people")
	if c.Updated != 1 || c.FinalRows != 3 {
		t.Fatalf("%+v", c)
	}
	o.want("select * from people order by id", want...)
	o.change("people", engine.OpDelete, `{"id":1}`)
	o.want("select count(*) from people p, log l", `[4]`)
	o.verifyClean()
	o.close()

	// A machine that has nothing of it goes on.
	o = openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	o.want("select * from people order by id", want[1:]...)
	o.want("select * from log order by n", `[1,"a"]`, `[2,"b"]`)
	o.change("people", engine.OpUpsert, `{"id":9,"name":"Zoe"}`)
	o.want("select count(*) from people", `[3]`)
	o.verifyClean()
	o.close()
}

// A bucket that was restored from a backup goes on from there, also on the machine
// whose disk cache has files of the time after it.
func TestRestoredBucketIsNotMixedWithWhatCameAfter(t *testing.T) {
	s, backup, state := memoryBucket(t), memoryBucket(t), t.TempDir()
	o := openLake(t, "", inMemory(s, state))
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	o.change("t", engine.OpUpsert, `{"id":1,"v":"before"}`)
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := backup.Create(t.Context(), info.Key, body); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"after"}`, i))
	}
	o.close()
	o = openLake(t, "", inMemory(backup, state))
	o.want("select * from t", `[1,"before"]`)
	o.change("t", engine.OpUpsert, `{"id":2,"v":"again"}`)
	o.want("select * from t order by id", `[1,"before"]`, `[2,"again"]`)
	o.verifyClean()
	o.close()
}

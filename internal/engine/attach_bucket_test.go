package engine_test

import (
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/foreign"
	"tarn/internal/store/s3test"
)

// TestAttachInABucket: the table lies in a bucket, and the lake in another; its files are
// copied.
func TestAttachInABucket(t *testing.T) {
	s := s3test.Start(t)
	theirs, ours := s.NewBucket(t), s.NewBucket(t)
	in := func(bucket string) func(*engine.Options) {
		return func(o *engine.Options) {
			o.Data, o.State = "s3://"+bucket+"/lake", t.TempDir()
			o.Bucket = engine.Bucket{Endpoint: s.URL, PathStyle: true}
			o.Settings.DiskCacheBytes, o.Settings.FenceCheckInterval = 1<<30, time.Hour
		}
	}
	owner := openLake(t, "", in(theirs), noRetentionOf)
	defer owner.close()
	owner.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	owner.change("t", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
	owner.compact("t")
	places, err := foreign.Open([]string{"s3://" + theirs + "/lake?endpoint=" + s.URL + "&path_style=true"}, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer places.Close()
	o := openLake(t, "", in(ours), func(o *engine.Options) { o.Foreign, o.Settings.AttachInterval = places, time.Hour })
	defer o.close()
	d, err := owner.IcebergLoad(t.Context(), engine.IcebergLoadRequest{Dataset: parsed("t")})
	if err != nil {
		t.Fatal(err)
	}
	if r := o.attach("file", d.MetadataLocation); r.FilesCopied != 1 || r.FilesLinked != 0 || r.BytesCopied == 0 {
		t.Errorf("attach says %+v", r)
	}
	o.attach("a", tableOf(d.MetadataLocation))
	o.change("a", engine.OpUpsert, `{"id":2,"v":"mine"}`)
	o.compact("a")
	owner.change("t", engine.OpUpsert, `{"id":2,"v":"theirs"}`, `{"id":3,"v":"theirs"}`)
	owner.compact("t")
	o.sync("a")
	o.bothWays("select id, v from a order by id", "a", `[1,"a"]`, `[2,"mine"]`, `[3,"theirs"]`)
	if r := o.sync("file"); r.Changed {
		t.Errorf("a metadata file became another: %+v", r)
	}
	o.want("select id, v from file order by id", `[1,"a"]`, `[2,"b"]`)
	o.verifyClean()
}

package bucket_test

import (
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob/memblob"

	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

func TestPlaces(t *testing.T) {
	t.Setenv("AZURE_STORAGE_ACCOUNT", "acme")
	for data, root := range map[string]string{
		"s3://b":                    "s3://b",
		"s3://b/":                   "s3://b",
		"s3://my.bucket/team/lake/": "s3://my.bucket/team/lake",
		"gs://b/a=1,b@c+d":          "gs://b/a=1,b@c+d",
		"azblob://c/lake":           "abfss://c@acme.dfs.core.windows.net/lake",
	} {
		p, err := bucket.ParsePlace(data)
		if err != nil || p.Root() != root || !bucket.IsURL(data) {
			t.Errorf("%s: %s, %v", data, p.Root(), err)
		}
	}
	for _, data := range []string{"s3://", "s3:///x", "http://b/x", "s3://b/a b", "s3://b/50%", "s3://b/ä", "s3://b/.hidden", "s3://b/a//b", "s3://b/a?x=1", "s3://b?x=1", "s3://us er/x"} {
		if _, err := bucket.ParsePlace(data); lake.CodeOf(err) != lake.CodeInvalidRequest || lake.HintOf(err) == "" || strings.Contains(lake.HintOf(err), "%!") {
			t.Errorf("%s: %v", data, err)
		}
	}
	t.Setenv("AZURE_STORAGE_ACCOUNT", "")
	if p, err := bucket.ParsePlace("azblob://c/lake"); err != nil || p.Root() != "azblob://c/lake" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, data := range []string{"./tarn-data", "/srv/lake", "lake"} {
		if bucket.IsURL(data) {
			t.Errorf("%s is a folder", data)
		}
	}
	_, err := bucket.Open(t.Context(), bucket.Place{Scheme: bucket.SchemeS3, Bucket: "b"}, bucket.Options{Endpoint: "minio:9000"})
	if lake.CodeOf(err) != lake.CodeInvalidRequest {
		t.Errorf("an endpoint that is no URL: %v", err)
	}
	_, err = bucket.Open(t.Context(), bucket.Place{Scheme: bucket.SchemeGCS, Bucket: "b"}, bucket.Options{Endpoint: "http://minio:9000"})
	if lake.CodeOf(err) != lake.CodeInvalidRequest {
		t.Errorf("an endpoint for gs: %v", err)
	}
}

// TestOthersKeys: what others named is read as it is named, and no key is a way elsewhere.
func TestOthersKeys(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	b := bucket.New(mem, bucket.Place{Scheme: "s3", Bucket: "mem"}, bucket.Options{Others: true})
	keys := []string{"state/t/a b.parquet", "state/t/.hidden/k=100%25/ü.parquet"}
	for _, key := range keys {
		if err := mem.WriteAll(t.Context(), key, []byte(key), nil); err != nil {
			t.Fatal(err)
		}
		if body, err := b.Get(t.Context(), key); err != nil || string(body) != key {
			t.Errorf("%s: %q, %v", key, body, err)
		}
	}
	var listed []string
	for info, err := range b.List(t.Context(), "state/t/", "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, info.Key)
	}
	slices.Sort(keys)
	if !slices.Equal(listed, keys) {
		t.Errorf("%q", listed)
	}
	for _, key := range []string{"", "state/../x", "./x", "x/..", "a\x00b"} {
		if _, err := b.Get(t.Context(), key); lake.CodeOf(err) != lake.CodeInvalidRequest {
			t.Errorf("%q: %v", key, err)
		}
	}
}

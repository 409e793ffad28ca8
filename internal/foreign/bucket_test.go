package foreign

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tarn/internal/lake"
	"tarn/internal/store/s3test"
)

// TestBucket: a table in a bucket, with keys that a lake's cannot have, is read, and its
// files are downloaded.
func TestBucket(t *testing.T) {
	s := s3test.Start(t)
	name := s.NewBucket(t)
	o := newTheirs(t, 3)
	const prefix = "state/.their lake/k=1%20/orders"
	o.uri = "s3a://" + name + "/" + prefix
	a := o.file("a b.parquet", 5, 1)
	all := append([]live{a}, o.vectors("dv.puffin", 3, map[string][]int64{a.df.FilePath(): {0, 4}})...)
	upload := func() {
		t.Helper()
		o.must(filepath.WalkDir(o.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(o.dir, path)
			if err != nil {
				return err
			}
			_, err = s.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: aws.String(prefix + "/" + filepath.ToSlash(rel)), Body: bytes.NewReader(body)})
			return err
		}))
	}
	o.entries("00001-a.metadata.json", all...)
	o.entries("00002-b.gz.metadata.json", all...)
	o.put("metadata/00002-b.gz.metadata.json", gzipped(readFile(t, filepath.Join(o.dir, "metadata", "00002-b.gz.metadata.json"))))
	upload()
	root := "s3://" + name + "/state?path_style=true&region=" + s3test.Region + "&endpoint=" + url.QueryEscape(s.URL)
	p := places(t, root)
	load := func(location string) *Table {
		t.Helper()
		got, err := p.Load(t.Context(), Source{Location: location})
		if err != nil {
			t.Fatal(err)
		}
		if said(got) != "a b.parquet -dv.puffin(2)\n" {
			t.Fatal(said(got))
		}
		return got
	}
	got := load("s3://" + name + "/" + prefix + "/")
	if nameOf(got.Metadata) != "00002-b.gz.metadata.json" {
		t.Error(got.Metadata)
	}
	load(o.uri + "/metadata/00001-a.metadata.json")

	dir := t.TempDir()
	linked, err := p.Fetch(t.Context(), got.Files[0].URI, filepath.Join(dir, "1"), got.Files[0].Data.FileSizeBytes())
	if err != nil || linked {
		t.Fatalf("linked %v, %v", linked, err)
	}
	wantFile(t, filepath.Join(dir, "1"), "the bytes of a b.parquet")
	_, err = p.Fetch(t.Context(), got.Files[0].URI, filepath.Join(dir, "2"), 5)
	wantRefused(t, err, lake.CodeRowsInvalid, got.Files[0].URI)
	_, err = p.Fetch(t.Context(), o.uri+"/data/gone", filepath.Join(dir, "2"), 5)
	wantRefused(t, err, lake.CodeNotFound, "gone")
	o.must(p.Positions(t.Context(), got.Deletes[0], filepath.Join(dir, "3")))
	if paths, at := readPositions(t, filepath.Join(dir, "3")); len(at) != 2 || paths[0] != got.Files[0].URI || at[1] != 4 {
		t.Errorf("%q %d", paths, at)
	}

	o.put("metadata/version-hint.text", []byte("1"))
	o.entries("v1.metadata.json", all...)
	o.entries("v2.metadata.json", all...)
	upload()
	if got := load(o.uri); nameOf(got.Metadata) != "v2.metadata.json" {
		t.Error(got.Metadata)
	}
	_, err = p.Load(t.Context(), Source{Location: "s3://" + name + "/elsewhere"})
	wantRefused(t, err, lake.CodeUnsupported, "attach_roots")
	_, err = p.Load(t.Context(), Source{Location: o.uri + "/nothing"})
	wantRefused(t, err, lake.CodeNotFound, "no metadata file")
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestNoBucket: a bucket that does not answer is said when it is needed, not when it is
// configured.
func TestNoBucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	p := places(t, "s3://b?region=eu&path_style=true&endpoint=http://127.0.0.1:1")
	_, err := p.Load(t.Context(), Source{Location: "s3://b/t"})
	wantRefused(t, err, lake.CodeUnavailable, "s3://b/t", "127.0.0.1:1")
}

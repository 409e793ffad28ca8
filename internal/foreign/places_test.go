package foreign

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/iceberg-go"

	"tarn/internal/lake"
)

// TestURIs: one place under all its spellings, and nothing decoded.
func TestURIs(t *testing.T) {
	for uri, want := range map[string]address{
		"/a/b":                                   {scheme: "file", path: "/a/b"},
		"file:/a/b":                              {scheme: "file", path: "/a/b"},
		"file:///a/b":                            {scheme: "file", path: "/a/b"},
		"file:///a b/%20/c=1?":                   {scheme: "file", path: "/a b/%20/c=1?"},
		"file:///a/./b/../c/":                    {scheme: "file", path: "/a/c"},
		"/a/../../b":                             {scheme: "file", path: "/b"},
		"/a:b/c":                                 {scheme: "file", path: "/a:b/c"},
		"s3://b/k":                               {scheme: "s3", bucket: "b", path: "k"},
		"s3a://b/k%20x/ y":                       {scheme: "s3", bucket: "b", path: "k%20x/ y"},
		"s3n://b":                                {scheme: "s3", bucket: "b"},
		"gs://b/k//x/":                           {scheme: "gs", bucket: "b", path: "k//x/"},
		"azblob://c/k":                           {scheme: "azblob", bucket: "c", path: "k"},
		"abfss://c@acme.dfs.core.windows.net/k":  {scheme: "azblob", bucket: "c", account: "acme", path: "k"},
		"wasbs://c@acme.blob.core.windows.net/k": {scheme: "azblob", bucket: "c", account: "acme", path: "k"},
	} {
		if got, err := parse(uri); err != nil || got != want {
			t.Errorf("%s: %+v, %v", uri, got, err)
		}
	}
	for _, uri := range []string{"", "a/b", "./a", "../a", "file:a", "file://host/a", "file:", "http://h/x", "hdfs://h/x", "s3:b/k", "s3:///k", "C:\\x"} {
		_, err := parse(uri)
		wantRefused(t, err, lake.CodeUnsupported)
	}
}

// TestRoots: what is configured is said in its own words when it makes no sense.
func TestRoots(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_STORAGE_ACCOUNT", "acme")
	for _, c := range []struct {
		roots []string
		words []string
	}{
		{[]string{"lake"}, []string{"lake", "absolute"}},
		{[]string{dir, dir + "/absent"}, []string{dir + "/absent"}},
		{[]string{file}, []string{file, "no folder"}},
		{[]string{dir, "file://" + dir + "/"}, []string{dir, "same place"}},
		{[]string{"s3a://b/x", "s3://b/x/?region=eu"}, []string{"same place"}},
		{[]string{"ftp://h/x"}, []string{"ftp"}},
		{[]string{"s3://"}, []string{"bucket"}},
		{[]string{"s3://b?colour=red"}, []string{"colour", "path_style"}},
		{[]string{"s3://b?path_style=maybe"}, []string{"path_style=maybe"}},
		{[]string{"gs://b?region=eu"}, []string{"region", "s3://"}},
		{[]string{"abfss://c@other.dfs.core.windows.net/x"}, []string{"other", "AZURE_STORAGE_ACCOUNT"}},
	} {
		_, err := Open(c.roots, nil, nil)
		wantRefused(t, err, lake.CodeInvalidRequest, append(c.words, "attach_roots")...)
	}
	p := places(t, dir, "file://"+dir+"/../", "s3://b/x?endpoint=http://127.0.0.1:1&region=eu&path_style=true", "gs://b", "azblob://c/x")
	for uri, want := range map[string]string{
		dir + "/t/f": "t/f", filepath.Dir(dir) + "/f": "f", "s3a://b/x/t": "x/t", "gs://b/t": "t",
		"azblob://c/x/t": "x/t", "abfss://c@acme.dfs.core.windows.net/x/t": "x/t",
	} {
		if _, name, err := p.find(uri); err != nil || name != want {
			t.Errorf("%s: %s, %v", uri, name, err)
		}
	}
	for _, uri := range []string{"s3://b/xy/t", "s3://b/t", "s3://c/x/t", "gs://c/t", "abfss://c@other.dfs.core.windows.net/x/t", "/etc/passwd", filepath.Dir(filepath.Dir(dir)) + "/f", "s3://b/x/../t", "s3://b/x/t/.."} {
		_, _, err := p.find(uri)
		wantRefused(t, err, lake.CodeUnsupported, uri)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestOutside: whatever metadata names, nothing outside of the roots is read.
func TestOutside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.parquet")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		make  func(o *theirs)
		words []string
	}{
		"a data file": {func(o *theirs) {
			o.entries("v1.metadata.json", live{o.described(iceberg.EntryContentData, o.format, outside, 1, nil), 0})
		}, []string{outside, "attach_roots"}},
		"a data file by a way up": {func(o *theirs) {
			o.entries("v1.metadata.json", live{o.described(iceberg.EntryContentData, o.format, o.uri+"/../../../../../../../../../../etc/passwd", 1, nil), 0})
		}, []string{"/etc/passwd", "attach_roots"}},
		"a delete file": {func(o *theirs) {
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0), live{o.described(iceberg.EntryContentPosDeletes, o.format, "s3://other/x", 1, nil), 2})
		}, []string{"s3://other/x", "attach_roots"}},
		"a manifest list": {func(o *theirs) {
			o.metadata("v1.metadata.json", map[string]any{"snapshot-id": 7, "timestamp-ms": 1700000000000, "manifest-list": outside})
		}, []string{outside, "attach_roots"}},
		"a manifest": {func(o *theirs) {
			m := iceberg.NewManifestFile(2, outside, 6, 0, 7).Content(iceberg.ManifestContentData).SequenceNum(1, 1).Build()
			o.commit("v1.metadata.json", m)
		}, []string{outside, "attach_roots"}},
		"a symbolic link to a file": {func(o *theirs) {
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
			m := filepath.Join(o.dir, "metadata", "m1.avro")
			o.must(os.Remove(m))
			o.must(os.Symlink(outside, m))
		}, []string{"m1.avro", "symbolic link", "attach_roots"}},
		"a symbolic link to a folder": {func(o *theirs) {
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
			away := filepath.Join(filepath.Dir(outside), "away")
			o.must(os.Rename(filepath.Join(o.dir, "metadata"), away))
			back, err := filepath.Rel(o.dir, away)
			o.must(err)
			o.must(os.Symlink(back, filepath.Join(o.dir, "metadata")))
		}, []string{"symbolic link", "attach_roots"}},
		"a pipe": {func(o *theirs) {
			o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
			m := filepath.Join(o.dir, "metadata", "m1.avro")
			o.must(os.Remove(m))
			o.must(syscall.Mkfifo(m, 0o644))
		}, []string{"m1.avro", "regular file"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newTheirs(t, 2)
			c.make(o)
			_, err := o.load(o.uri)
			wantRefused(t, err, lake.CodeUnsupported, c.words...)
		})
	}
	o := newTheirs(t, 2)
	o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	_, err := places(t, t.TempDir()).Load(t.Context(), Source{Location: o.uri})
	wantRefused(t, err, lake.CodeUnsupported, o.uri, "attach_roots")
	_, err = places(t).Load(t.Context(), Source{Location: o.uri})
	wantRefused(t, err, lake.CodeUnsupported, o.uri, "attach_roots")
}

// TestLinksInside: a symbolic link that stays below the root is followed.
func TestLinksInside(t *testing.T) {
	o := newTheirs(t, 2)
	o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	if err := os.Symlink("orders", filepath.Join(o.root(), "current")); err != nil {
		t.Fatal(err)
	}
	o.wantLoaded(strings.TrimSuffix(o.uri, "orders")+"current", "a.parquet")
}

// TestNotReadable: a file that tarn may not read is said to be one.
func TestNotReadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads all")
	}
	o := newTheirs(t, 2)
	o.entries("v1.metadata.json", o.file("a.parquet", 1, 0))
	if err := os.Chmod(filepath.Join(o.dir, "metadata", "m1.avro"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := o.load(o.uri)
	wantRefused(t, err, lake.CodeUnavailable, "m1.avro", "permission")
}

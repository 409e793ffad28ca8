package foreign

import (
	"path"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

// schemeFile is the scheme of files on this machine.
const schemeFile = "file"

// address is where a URI leads, whatever spelling it has.
type address struct {
	scheme  string // file, s3, gs or azblob
	bucket  string // or container
	account string // of azblob; "" where the URI does not say it
	path    string // of a file: absolute and clean; in a bucket: the key, as it is written
}

// spelledAs are the schemes that others write, and which of ours each is.
var spelledAs = map[string]string{
	"s3": bucket.SchemeS3, "s3a": bucket.SchemeS3, "s3n": bucket.SchemeS3, "gs": bucket.SchemeGCS, "gcs": bucket.SchemeGCS,
	"azblob": bucket.SchemeAzure, "abfs": bucket.SchemeAzure, "abfss": bucket.SchemeAzure, "wasb": bucket.SchemeAzure, "wasbs": bucket.SchemeAzure,
}

// parse reads a URI, and decodes nothing in it.
func parse(uri string) (address, error) {
	scheme, rest, isURI := strings.Cut(uri, ":")
	if strings.HasPrefix(uri, "/") {
		scheme, rest, isURI = schemeFile, uri, true
	}
	switch at, known := spelledAs[scheme]; {
	case isURI && scheme == schemeFile:
		if strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///") && rest != uri {
			return address{}, lake.Errorf(lake.CodeUnsupported, "%s names a file of another machine", uri).WithHint("write file:///path, with three slashes")
		}
		if !strings.HasPrefix(rest, "/") {
			return address{}, notAbsolute(uri)
		}
		return address{scheme: schemeFile, path: path.Clean(rest)}, nil
	case known && strings.HasPrefix(rest, "//"):
		a := address{scheme: at}
		a.bucket, a.path, _ = strings.Cut(rest[2:], "/")
		if at == bucket.SchemeAzure {
			var host string
			a.bucket, host, _ = strings.Cut(a.bucket, "@")
			a.account, _, _ = strings.Cut(host, ".")
		}
		if a.bucket == "" {
			return address{}, lake.Errorf(lake.CodeUnsupported, "%s names no bucket", uri)
		}
		return a, nil
	case !isURI || !strings.HasPrefix(rest, "//"):
		return address{}, notAbsolute(uri)
	}
	return address{}, lake.Errorf(lake.CodeUnsupported, "%s: the scheme %s is not known", uri, scheme).
		WithHint("tables lie in folders (file:///…) or buckets (s3://…, gs://…, azblob://…)")
}

func notAbsolute(uri string) error {
	return lake.Errorf(lake.CodeUnsupported, "%q is neither an absolute path nor a URI", uri).
		WithHint("write /path, file:///path, s3://bucket/path, gs://bucket/path or azblob://container/path")
}

// below says whether an address lies below another one, and how its path goes on there.
func (a address) below(root address) (rest string, ok bool) {
	if a.scheme != root.scheme || a.bucket != root.bucket || a.account != "" && a.account != root.account {
		return "", false
	}
	prefix := root.path
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	rest, ok = strings.CutPrefix(a.path, prefix)
	return rest, ok && rest != ""
}

// join is the URI of what lies below another one.
func join(uri string, more ...string) string {
	return strings.TrimRight(uri, "/") + "/" + strings.Join(more, "/")
}

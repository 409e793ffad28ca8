package bucket

import (
	"net/url"
	"os"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Place is a bucket, and where in it a lake is.
type Place struct {
	Scheme string // s3, gs or azblob
	Bucket string
	Prefix string // without a slash at either end; may be empty
	// Account is the storage account of an azblob place.
	Account string
}

// The schemes of buckets.
const (
	SchemeS3     = "s3"
	SchemeGCS    = "gs"
	SchemeAzure  = "azblob"
	azureDomain  = "dfs.core.windows.net"
	azureAccount = "AZURE_STORAGE_ACCOUNT"
)

// IsURL says whether the data of a lake are named as a URL rather than a folder.
func IsURL(data string) bool { return strings.Contains(data, "://") }

// ParsePlace reads s3://bucket/prefix, gs://bucket/prefix or
// azblob://container/prefix. Another scheme, and a prefix with characters that
// other Iceberg readers break on, is lake.CodeInvalidRequest.
func ParsePlace(data string) (Place, error) {
	scheme, rest, _ := strings.Cut(data, "://")
	p := Place{Scheme: scheme}
	switch scheme {
	case SchemeS3, SchemeGCS:
	case SchemeAzure:
		p.Account = os.Getenv(azureAccount)
	default:
		return p, lake.Errorf(lake.CodeInvalidRequest, "the lake %q: the scheme %q is not known", data, scheme).
			WithHint("name a folder, or s3://bucket/prefix, gs://bucket/prefix, azblob://container/prefix")
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	p.Bucket, p.Prefix = bucket, strings.Trim(prefix, "/")
	if bucket == "" || url.PathEscape(bucket) != bucket {
		return p, lake.Errorf(lake.CodeInvalidRequest, "the lake %q names no bucket", data).
			WithHint("write it like %s://bucket/prefix; endpoint, region and path_style are settings of their own", scheme)
	}
	if p.Prefix == "" {
		return p, nil
	}
	if strings.ContainsFunc(p.Prefix, badInPrefix) || store.CheckKey("x/"+p.Prefix) != nil {
		return p, lake.Errorf(lake.CodeInvalidRequest, "the lake %q has a prefix that other Iceberg readers break on", data).
			WithHint("choose a prefix of letters, digits, and - _ . = + @ , between slashes, no part of which starts with a dot")
	}
	return p, nil
}

func badInPrefix(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("%?#*[]{}\"'`\\<>|^&;:!$()~", r)
}

// Root is the place as other engines write it: abfss for Azure, where the account
// is known.
func (p Place) Root() string {
	base := p.Scheme + "://" + p.Bucket
	if p.Scheme == SchemeAzure && p.Account != "" {
		base = "abfss://" + p.Bucket + "@" + p.Account + "." + azureDomain
	}
	return strings.TrimSuffix(base+"/"+p.Prefix, "/")
}

// key is where the object of a key is in the bucket.
func (p Place) key(key string) string {
	if p.Prefix == "" {
		return key
	}
	return p.Prefix + "/" + key
}

// cut is the key of an object in the bucket; ok is false for one elsewhere.
func (p Place) cut(name string) (key string, ok bool) {
	if p.Prefix == "" {
		return name, true
	}
	return strings.CutPrefix(name, p.Prefix+"/")
}

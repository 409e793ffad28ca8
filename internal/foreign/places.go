package foreign

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

// Places are the folders and buckets from which tables may be attached, and the catalogs.
// They never change, and may be used by many goroutines at once.
type Places struct {
	roots     []root // those that lie deeper first
	catalogs  map[string]Catalog
	client    *http.Client // of catalogs
	transport *http.Transport
}

// root is a folder or bucket that is configured.
type root struct {
	address
	text  string // as it is configured
	place place
}

// Open takes the settings: roots are absolute folders, file:///folder, or s3://bucket/prefix,
// gs://bucket/prefix, azblob://container/prefix. An S3 bucket that is not AWS has the
// parameters endpoint, region and path_style: s3://bucket/prefix?endpoint=URL&path_style=true.
// Of roots that lie in each other the deeper one counts. A bucket is reached when it is
// first asked for something; a folder must be there. Errors are CodeInvalidRequest, and name
// the root or catalog.
func Open(roots []string, catalogs []Catalog, log *slog.Logger) (*Places, error) {
	p := &Places{catalogs: map[string]Catalog{}}
	for _, text := range roots {
		r, err := newRoot(text, log)
		if err != nil {
			return nil, lake.Step("attach_roots: "+text, err)
		}
		if at := slices.IndexFunc(p.roots, func(o root) bool { return o.address == r.address }); at >= 0 {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "attach_roots: %s and %s are the same place", p.roots[at].text, text)
		}
		p.roots = append(p.roots, r)
	}
	slices.SortStableFunc(p.roots, func(a, b root) int { return cmp.Compare(len(b.path), len(a.path)) })
	for _, c := range catalogs {
		if err := checkCatalog(c); err != nil {
			return nil, err
		}
		if _, twice := p.catalogs[c.Name]; twice {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the catalog %s is configured twice", c.Name)
		}
		p.catalogs[c.Name] = c
	}
	p.transport = http.DefaultTransport.(*http.Transport).Clone()
	p.client = &http.Client{Transport: p.transport, Timeout: catalogTimeout}
	return p, nil
}

// catalogTimeout is for one call of a catalog, with its answer.
const catalogTimeout = 30 * time.Second

// Close lets go of connections. It may be called twice.
func (p *Places) Close() error {
	var errs []error
	for _, r := range p.roots {
		errs = append(errs, r.place.close())
	}
	p.transport.CloseIdleConnections()
	return errors.Join(errs...)
}

func newRoot(text string, log *slog.Logger) (root, error) {
	bare, query := text, ""
	if bucket.IsURL(text) && !strings.HasPrefix(text, schemeFile+":") {
		bare, query, _ = strings.Cut(text, "?")
	}
	a, err := parse(bare)
	if err != nil {
		return root{}, lake.Errorf(lake.CodeInvalidRequest, "%w", err).WithHint("%s", lake.HintOf(err))
	}
	r := root{address: a, text: text}
	if a.scheme == schemeFile {
		fi, err := os.Stat(a.path)
		if err == nil && !fi.IsDir() {
			err = errors.New("it is no folder")
		}
		if err != nil {
			return root{}, lake.Errorf(lake.CodeInvalidRequest, "%w", err).WithHint("name a folder that is there, or take the root away")
		}
		r.place = folder{a.path}
		return r, nil
	}
	r.path = strings.TrimRight(a.path, "/")
	b, err := newBucketPlace(a, query, log)
	if err != nil {
		return root{}, err
	}
	r.account, r.place = b.at.Account, b
	return r, nil
}

func newBucketPlace(a address, query string, log *slog.Logger) (*bucketPlace, error) {
	at, err := bucket.ParsePlace(a.scheme + "://" + a.bucket)
	if err != nil {
		return nil, err
	}
	at.Account = cmp.Or(a.account, at.Account)
	if env := os.Getenv("AZURE_STORAGE_ACCOUNT"); a.scheme == bucket.SchemeAzure && at.Account != env {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "it is of the storage account %s, and the environment names %q", at.Account, env).
			WithHint("set AZURE_STORAGE_ACCOUNT to the account of the container")
	}
	b := &bucketPlace{at: at, options: bucket.Options{Others: true, Log: log}}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "its parameters do not parse: %w", err)
	}
	for name, all := range values {
		value := all[len(all)-1]
		switch {
		case a.scheme != bucket.SchemeS3:
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the parameter %s: only s3:// has parameters", name)
		case name == "endpoint":
			b.options.Endpoint = value
		case name == "region":
			b.options.Region = value
		case name == "path_style" && (value == "true" || value == "false"):
			b.options.PathStyle = value == "true"
		default:
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the parameter %s=%s is not known", name, value).
				WithHint("there are endpoint=URL, region=NAME and path_style=true")
		}
	}
	return b, nil
}

// find gives the place of a URI, and the name that it has there.
func (p *Places) find(uri string) (place, string, error) {
	a, err := parse(uri)
	if err != nil {
		return nil, "", err
	}
	for _, r := range p.roots {
		name, ok := a.below(r.address)
		switch {
		case !ok:
			continue
		case a.scheme == schemeFile:
			return r.place, name, nil
		case slices.ContainsFunc(strings.Split(a.path, "/"), func(s string) bool { return s == "." || s == ".." }):
			return nil, "", lake.Errorf(lake.CodeUnsupported, "%s has . or .. in its path, which is no way in a bucket", uri)
		}
		return r.place, a.path, nil
	}
	return nil, "", lake.Errorf(lake.CodeUnsupported, "%s lies outside of the places from which tables may be attached", uri).
		WithHint("list the folder or bucket that holds it in the setting attach_roots; metadata of a table that was moved names where it was")
}

// open opens the file of a URI for reading. Absent is lake.CodeNotFound.
func (p *Places) open(ctx context.Context, uri string) (file, error) {
	at, name, err := p.find(uri)
	if err != nil {
		return nil, err
	}
	f, err := at.open(ctx, name)
	if err != nil {
		return nil, lake.Step(uri, err)
	}
	return f, nil
}

// exists says whether there is a file.
func (p *Places) exists(ctx context.Context, uri string) (bool, error) {
	f, err := p.open(ctx, uri)
	switch {
	case lake.CodeOf(err) == lake.CodeNotFound:
		return false, nil
	case err != nil:
		return false, err
	}
	return true, f.Close()
}

// names gives what lies in the folder of a URI; none where there is no such folder.
func (p *Places) names(ctx context.Context, uri string) ([]string, error) {
	at, name, err := p.find(uri)
	if err != nil {
		return nil, err
	}
	names, err := at.names(ctx, name)
	slices.Sort(names)
	return names, lake.Step(uri, err)
}

package cli

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tarn/internal/foreign"
	"tarn/internal/lake"
)

// attachFlags say from where tables of others may be attached.
type attachFlags struct {
	AttachRoots    []string `setting:"" placeholder:"PLACE" help:"Folders and buckets (s3://bucket/prefix, gs://…, azblob://…) from which tables may be attached; without, none may be."`
	AttachCatalogs []string `setting:"" placeholder:"NAME=URI" help:"Iceberg REST catalogs whose tables may be attached, each as prod=https://host/path;warehouse=…;token_file=… and with its files below --attach-roots."`
}

// places opens them; nil where there are none.
func (f *attachFlags) places(log *slog.Logger) (*foreign.Places, error) {
	roots, err := f.roots()
	if err != nil {
		return nil, err
	}
	catalogs, err := f.catalogs()
	if err != nil {
		return nil, err
	}
	if len(roots) == 0 {
		if len(catalogs) > 0 {
			return nil, usagef("--attach-catalogs without --attach-roots: no table of theirs could be attached").
				withHint("name the folders or buckets where the tables' files are with --attach-roots")
		}
		return nil, nil
	}
	places, err := foreign.Open(roots, catalogs, log)
	if err != nil {
		return nil, usagef("%w", err).withHint("%s", lake.HintOf(err))
	}
	return places, nil
}

func closePlaces(p *foreign.Places, log *slog.Logger) {
	if p == nil {
		return
	}
	if err := p.Close(); err != nil {
		log.Warn("close the places that tables are attached from", "error", err)
	}
}

// roots gives the places; folders of this machine become absolute.
func (f *attachFlags) roots() ([]string, error) {
	var out []string
	for _, root := range f.AttachRoots {
		root = strings.TrimSpace(root)
		switch {
		case root == "":
			return nil, usagef("--attach-roots has an empty place")
		case isURI(root):
		default:
			dir, err := filepath.Abs(root)
			if err != nil {
				return nil, usagef("--attach-roots %s: %w", root, err)
			}
			if info, err := os.Stat(dir); err != nil {
				return nil, usagef("--attach-roots: %w", err)
			} else if !info.IsDir() {
				return nil, usagef("--attach-roots %s: this is no folder", root)
			}
			root = dir
		}
		out = append(out, root)
	}
	return out, nil
}

// isURI says whether a place is no path of this machine's shell.
func isURI(place string) bool {
	return strings.Contains(place, "://") || strings.HasPrefix(place, "file:")
}

// catalogName is what a catalog can be called: it stands in the source of a dataset.
var catalogName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// catalogs reads NAME=URI;warehouse=…;token_file=….
func (f *attachFlags) catalogs() ([]foreign.Catalog, error) {
	const example = "such as prod=https://host:8181/api/catalog;warehouse=main;token_file=/etc/tarn/prod.token"
	var out []foreign.Catalog
	for _, text := range f.AttachCatalogs {
		name, rest, ok := strings.Cut(strings.TrimSpace(text), "=")
		if !ok || !catalogName.MatchString(name) {
			return nil, usagef("--attach-catalogs %q: a name and the catalog's URI are needed", text).withHint(example)
		}
		if slices.ContainsFunc(out, func(c foreign.Catalog) bool { return c.Name == name }) {
			return nil, usagef("--attach-catalogs names %s twice", name)
		}
		parts := strings.Split(rest, ";")
		c := foreign.Catalog{Name: name, URI: parts[0]}
		if err := checkCatalogURI(c); err != nil {
			return nil, err
		}
		for _, part := range parts[1:] {
			key, value, _ := strings.Cut(part, "=")
			into := map[string]*string{"warehouse": &c.Warehouse, "token_file": &c.TokenFile}[key]
			switch {
			case into == nil:
				return nil, usagef("--attach-catalogs %s: %q is not known", name, key).withHint("known are warehouse and token_file: %s", example)
			case value == "" || *into != "":
				return nil, usagef("--attach-catalogs %s: %s has no value, or two", name, key).withHint(example)
			}
			*into = value
		}
		if c.TokenFile != "" {
			if _, err := os.Stat(c.TokenFile); err != nil {
				return nil, usagef("--attach-catalogs %s: token_file: %w", name, err)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// checkCatalogURI refuses what is no address, and secrets in it: it is shown in errors.
func checkCatalogURI(c foreign.Catalog) error {
	u, err := url.Parse(c.URI)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return usagef("--attach-catalogs %s: the URI must begin with http:// or https://", c.Name)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return usagef("--attach-catalogs %s: the URI has more than an address and a path", c.Name).withHint("a token goes into the file that token_file names")
	}
	return nil
}

package serving

import (
	"tarn/internal/fileid"
	"tarn/internal/lake"
)

// guard is the set of files that a dataset's view reads, each with the identity
// it had when its bytes were verified. It does not change; another set of files
// is another guard.
type guard struct {
	version int64 // as in lake._tarn.datasets.files
	files   []guardedFile
	// absent says that files may not be on this machine: the view shows nothing, and
	// no query gets past the check.
	absent bool
	// image is the table with all rows of a hot dataset, which the view selects from.
	image string
	// columns are those that the view shows, as names("d").
	columns string
}

type guardedFile struct{ kind, key, path, identity string }

// newGuard lists the files of a view. Files whose identity nobody recorded get
// the one that they have now.
func newGuard(version int64, v coldView) (*guard, error) {
	g := &guard{version: version, absent: v.absent(), columns: v.names("d")}
	if g.absent {
		return g, nil
	}
	add := func(f guardedFile) error {
		if f.identity == "" {
			id, err := fileid.Of(f.path)
			if err != nil {
				return f.missing(err)
			}
			f.identity = id
		}
		g.files = append(g.files, f)
		return nil
	}
	for _, f := range v.files {
		if err := add(guardedFile{"base file", f.Key, f.Path, f.Identity}); err != nil {
			return nil, err
		}
		for _, d := range f.Deletes {
			if err := add(guardedFile{"delete file", d.Key, d.Path, d.Identity}); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range v.large {
		if err := add(guardedFile{"delta", d.delta.Key, d.delta.Path, d.identity}); err != nil {
			return nil, err
		}
	}
	return g, g.check()
}

// check fails with CodeDamaged, naming the key, when a file is gone or is not
// the one that was verified, and with CodeNotLocal where files have to be brought
// first.
func (g *guard) check() error {
	if g.absent {
		return lake.Errorf(lake.CodeNotLocal, "files of the dataset are not on this machine")
	}
	for _, f := range g.files {
		id, err := fileid.Of(f.path)
		if err != nil {
			return f.missing(err)
		}
		if id != f.identity {
			return lake.Errorf(lake.CodeDamaged, "%s %s is not the file that was verified", f.kind, f.key).
				WithHint("something outside tarn changed it: run tarn verify; restore it from a backup")
		}
	}
	return nil
}

func (f guardedFile) missing(error) error { // its words hold the path
	return lake.Errorf(lake.CodeDamaged, "%s %s cannot be read", f.kind, f.key).
		WithHint("something outside tarn removed it: run tarn verify; restore it from a backup")
}

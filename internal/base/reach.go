package base

import (
	"context"
	"maps"
	"slices"

	"tarn/internal/lake"
)

// Reachable gives the keys of all files that the metadata file reaches, itself
// included: manifest lists, manifests, data and delete files of every snapshot
// that it retains, and positions files of deletion vectors, sorted.
func (t *Table) Reachable(ctx context.Context) ([]string, error) {
	v := t.fs.view(ctx, t.root)
	found := map[string]bool{t.key: true}
	add := func(uri string) error {
		key, err := v.key(uri)
		found[key] = true
		if positions, _, ok := positionsOf(key); ok {
			found[positions] = true
		}
		return err
	}
	seen := map[string]bool{} // manifests that were read
	for _, s := range t.meta.Snapshots() {
		if err := add(s.ManifestList); err != nil {
			return nil, err
		}
		manifests, err := s.Manifests(v)
		if err != nil {
			return nil, lake.Step(t.key, readFailed(s.ManifestList, err))
		}
		for _, m := range manifests {
			if seen[m.FilePath()] {
				continue
			}
			seen[m.FilePath()] = true
			if err := add(m.FilePath()); err != nil {
				return nil, err
			}
			for entry, err := range m.Entries(v, true) {
				if err == nil {
					err = ctx.Err()
				}
				if err == nil {
					err = add(entry.DataFile().FilePath())
				}
				if err != nil {
					return nil, lake.Step(t.key, readFailed(m.FilePath(), err))
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

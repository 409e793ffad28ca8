package backup

import (
	"context"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// prune lets go of all but the newest backups, their manifests first, and then of
// the files that none of the others needs. all are in order.
func (f *Folder) prune(ctx context.Context, all []format.Backup, keep int) (removed int, err error) {
	old := all[:max(0, len(all)-keep)]
	for _, b := range old {
		if err := f.store.Delete(ctx, Key(b.Number)); err != nil {
			return 0, lake.Step("let go of an old backup", err)
		}
	}
	needed := map[string]bool{}
	for _, b := range all[len(old):] {
		for _, one := range b.Files {
			needed[FileKey(one.Key)] = true
		}
	}
	var garbage []string
	for info, err := range f.store.List(ctx, filesPrefix, "") {
		if err != nil {
			return 0, lake.Step("list the folder's files", err)
		}
		if !needed[info.Key] {
			garbage = append(garbage, info.Key)
		}
	}
	for _, key := range garbage {
		f.verifier.Forget(key)
		if err := f.store.Delete(ctx, key); err != nil {
			return removed, lake.Step("remove what no backup needs", err)
		}
		removed++
	}
	return removed, nil
}

package store

import (
	"context"
	"iter"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// List implements Store. Folders are read as the walk comes to them.
func (l *Local) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		folder := folderOf(prefix)
		if folder != "" {
			if err := checkSegments(prefix, folder); err != nil {
				yield(Info{}, err)
				return
			}
		}
		w := walk{l: l, prefix: prefix, after: after, yield: yield}
		w.folder(ctx, folder)
	}
}

type walk struct {
	l             *Local
	prefix, after string
	yield         func(Info, error) bool
}

// entry is one name in a folder. sort is what its keys start with, so that the
// order of entries is the order of keys: "a-b" stands before "a/…".
type entry struct {
	sort string
	info Info // of an object
	dir  bool
}

// folder lists what is under a folder and says whether to go on.
func (w *walk) folder(ctx context.Context, folder string) bool {
	entries, err := w.entries(ctx, folder)
	if err != nil {
		w.yield(Info{}, err)
		return false
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			w.yield(Info{}, lake.Step("list "+w.prefix, err))
			return false
		}
		if e.dir {
			if !w.folder(ctx, strings.TrimSuffix(e.sort, "/")) {
				return false
			}
		} else if !w.yield(e.info, nil) {
			return false
		}
	}
	return true
}

// entries reads a folder. Names that cannot lead to a key asked for are left
// out before they are stat'ed.
func (w *walk) entries(ctx context.Context, folder string) ([]entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, lake.Step("list "+w.prefix, err)
	}
	names, err := w.l.fs.List(w.l.path(folder))
	if err != nil {
		if absent(err) {
			return nil, nil
		}
		return nil, readError(folder, "list", err)
	}
	var out []entry
	for _, name := range names {
		key := name
		if folder != "" {
			key = folder + "/" + name
		}
		asObject, asFolder := w.wantsObject(key), w.wantsFolder(key+"/")
		if !asObject && !asFolder || CheckKey(key) != nil {
			continue
		}
		fi, err := w.l.fs.Stat(w.l.path(key))
		switch {
		case absent(err): // gone meanwhile
		case err != nil:
			return nil, readError(key, "list", err)
		case fi.IsDir():
			if asFolder {
				out = append(out, entry{sort: key + "/", dir: true})
			}
		case asObject:
			out = append(out, entry{sort: key, info: infoOf(key, fi)})
		}
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.sort, b.sort) })
	return out, nil
}

func (w *walk) wantsObject(key string) bool {
	return strings.HasPrefix(key, w.prefix) && key > w.after
}

// wantsFolder says whether keys that start with start can be asked for.
func (w *walk) wantsFolder(start string) bool {
	if !strings.HasPrefix(start, w.prefix) && !strings.HasPrefix(w.prefix, start) {
		return false
	}
	return start > w.after || strings.HasPrefix(w.after, start)
}

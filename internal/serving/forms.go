package serving

import (
	"tarn/internal/format"
	"tarn/internal/lake"
)

// forms is how the columns of a dataset are called in its files, by path, where the
// dataset had other schemas than the present one: a file keeps the names and types
// that it was written with, and columns are found in it by field id. nil: all files
// have the schema's own names.
type forms map[string]*form

// form is the columns of one file.
type form struct {
	print string         // the same for files of the same Parquet schema
	names map[int]string // by field id
}

// fill reads the footers of files that are not known yet, and forgets the others.
func (f forms) fill(files []lake.BaseFile, large []largeDelta) error {
	if f == nil {
		return nil
	}
	now := forms{}
	for _, b := range files {
		if b.Identity == lake.NotLocal {
			continue
		}
		if err := now.take(f, "base file", b.Key, b.Path); err != nil {
			return err
		}
	}
	for _, d := range large {
		if err := now.take(f, "delta", d.delta.Key, d.delta.Path); err != nil {
			return err
		}
	}
	clear(f)
	for path, one := range now {
		f[path] = one
	}
	return nil
}

func (f forms) take(known forms, kind, key, path string) error {
	if one := known[path]; one != nil {
		f[path] = one
		return nil
	}
	columns, print, err := format.FileColumns(path)
	if err != nil {
		return lake.Step(kind+" "+key, err)
	}
	one := &form{print: print, names: map[int]string{}}
	for _, c := range columns {
		if c.FieldID < 0 {
			return lake.Errorf(lake.CodeUnsupported, "%s %s has no field ids, and the dataset's schema changed", kind, key)
		}
		one.names[c.FieldID] = c.Name
	}
	f[path] = one
	return nil
}

// alike says whether one scan can read both files.
func (f forms) alike(a, b string) bool {
	return f == nil || f[a] != nil && f[b] != nil && f[a].print == f[b].print
}

// parted parts files, by their positions, into those that one scan can read each. The
// order of the files stays where ordered says that it is the order of rows.
func (f forms) parted(which []int, files []lake.BaseFile, ordered bool) [][]int {
	var out [][]int
next:
	for _, i := range which {
		from := 0
		if ordered {
			from = max(0, len(out)-1)
		}
		for n := from; n < len(out); n++ {
			if f.alike(files[out[n][0]].Path, files[i].Path) {
				out[n] = append(out[n], i)
				continue next
			}
		}
		out = append(out, []int{i})
	}
	return out
}

// unknownForm is no column of any file: a scan of one that fill did not see fails.
const unknownForm = lake.ReservedColumnPrefix + "unknown_form"

// column is how a scan of a file names a column; ok is false where the file lacks it.
func (f forms) column(path string, c lake.Column) (name string, ok bool) {
	if f == nil {
		return c.Name, true
	}
	one := f[path]
	if one == nil {
		return unknownForm, true
	}
	name, ok = one.names[c.ID]
	return name, ok
}

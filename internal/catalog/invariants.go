package catalog

import (
	"cmp"
	"slices"
	"strings"

	"tarn/internal/format"
	"tarn/internal/lake"
)

// check says whether next may follow before. What a caller can cause by a
// request is an error of that request; the rest is a defect.
func check(before, next format.Version) error {
	if next.Number != before.Number+1 || next.Epoch < before.Epoch || next.LakeUUID == "" {
		return defect("version %d of epoch %d after version %d of epoch %d", next.Number, next.Epoch, before.Number, before.Epoch)
	}
	names, tables := map[string]bool{}, map[string]bool{}
	for _, d := range next.Datasets {
		name := d.LakeName()
		if parsed, err := lake.ParseName(d.Namespace + "." + d.Name); err != nil || parsed != name {
			return defect("the name %q.%q", d.Namespace, d.Name)
		}
		if names[name.Key()] {
			return Exists(name)
		}
		names[name.Key()] = true
		if d.TableUUID == "" || tables[d.TableUUID] {
			return defect("%s: the table uuid %q is empty or used twice", name, d.TableUUID)
		}
		tables[d.TableUUID] = true
		if !strings.HasPrefix(d.Metadata, "base/") || strings.Contains(d.Metadata, "..") {
			return defect("%s: the metadata key %q", name, d.Metadata)
		}
		least := int64(0)
		if old := before.Find(d.TableUUID); old != nil {
			least = old.TrimmedThrough
		}
		if d.TrimmedThrough < least {
			return defect("%s: trimmed-through goes back from %d to %d", name, least, d.TrimmedThrough)
		}
	}
	transactions := map[string]bool{}
	for _, id := range next.Transactions {
		if id == "" || transactions[id] {
			return defect("the transaction %q is empty or there twice", id)
		}
		transactions[id] = true
	}
	requests := map[string]bool{}
	for _, r := range next.Requests {
		if r.Key == "" || requests[r.Key] {
			return defect("the request key %q is empty or there twice", r.Key)
		}
		requests[r.Key] = true
	}
	return nil
}

// Exists is the error of a name that is taken.
func Exists(name lake.Name) error {
	return lake.Errorf(lake.CodeDatasetExists, "the dataset %s exists already", name).
		WithHint("names are unique without regard to case; choose another, or drop that one first")
}

func defect(format string, args ...any) error {
	e := lake.Errorf(lake.CodeInternal, format, args...)
	e.Step = "check the catalog version"
	return e
}

// sortEntries gives a version the order that its format asks for.
func sortEntries(v *format.Version) {
	slices.SortFunc(v.Datasets, func(a, b format.DatasetEntry) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(v.Requests, func(a, b format.RequestEntry) int { return a.Time.Compare(b.Time) })
}

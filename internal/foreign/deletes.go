package foreign

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// maxPairs bounds how many delete files may be of how many data files together: each pair is
// looked at by itself.
const maxPairs = 1 << 20

// deletes are the delete files of a snapshot by what they can be of, so that few have to be
// held against a data file.
type deletes struct {
	all    []entry
	reach  []base.Reach
	byFile map[string][]int // those of one data file, by its location
	// byPartition are those of several data files, which are of one partition; anywhere are
	// those whose partition does not say enough.
	byPartition map[string][]int
	anywhere    []int
}

func newDeletes(all []entry) *deletes {
	d := &deletes{all: all, reach: make([]base.Reach, len(all)), byFile: map[string][]int{}, byPartition: map[string][]int{}}
	for i, e := range all {
		d.reach[i] = base.ReachOf(e.data, e.sequence)
		if of, one := d.reach[i].OneFile(); one {
			d.byFile[of] = append(d.byFile[of], i)
		} else if key, known := partitionOf(e.data); known {
			d.byPartition[key] = append(d.byPartition[key], i)
		} else {
			d.anywhere = append(d.anywhere, i)
		}
	}
	return d
}

// of gives the delete files that may have rows of a data file, ascending. A deletion vector
// stands for all position deletes.
func (d *deletes) of(e entry) ([]int, error) {
	location := e.data.FilePath()
	may := slices.Concat(d.byFile[location], d.anywhere)
	if key, known := partitionOf(e.data); known {
		may = append(may, d.byPartition[key]...)
	} else {
		for _, some := range d.byPartition {
			may = append(may, some...)
		}
	}
	may = slices.DeleteFunc(may, func(i int) bool { return !d.reach[i].Has(location, e.sequence) })
	slices.Sort(may)
	vector := -1
	for _, i := range may {
		if !base.IsVector(d.all[i].data) {
			continue
		}
		switch rows := d.all[i].data.Count(); {
		case vector >= 0:
			return nil, wrong(location, "it has two deletion vectors, in %s and %s", d.all[vector].data.FilePath(), d.all[i].data.FilePath())
		case rows > e.data.Count():
			return nil, wrong(location, "its deletion vector in %s has %d rows, and it has %d", d.all[i].data.FilePath(), rows, e.data.Count())
		}
		vector = i
	}
	if vector >= 0 {
		return []int{vector}, nil
	}
	return may, nil
}

// fill puts what the manifests name into the table, in their order.
func (t *Table) fill(ctx context.Context, manifests [][]entry) error {
	var data, dead []entry
	seen := map[string]bool{}
	for _, m := range manifests {
		for _, e := range m {
			if e.data.ContentType() != iceberg.EntryContentData {
				dead = append(dead, e)
				continue
			}
			if seen[e.data.FilePath()] {
				return wrong(e.data.FilePath(), "the table has this data file twice")
			}
			seen[e.data.FilePath()] = true
			data = append(data, e)
		}
	}
	d := newDeletes(dead)
	used, pairs := make([]bool, len(dead)), 0
	t.Files = make([]File, len(data))
	for i, e := range data {
		if err := ctx.Err(); err != nil {
			return err
		}
		of, err := d.of(e)
		if err != nil {
			return err
		}
		if pairs += len(of); pairs > maxPairs {
			return lake.Errorf(lake.CodeTooLarge, "the table has too many delete files: %d, which may be of %d data files", len(dead), len(data)).
				WithHint("have its owner compact it: in Spark CALL system.rewrite_position_delete_files, or rewrite_data_files")
		}
		for _, k := range of {
			used[k] = true
		}
		t.Files[i] = File{URI: e.data.FilePath(), Data: e.data, Deletes: of}
	}
	t.keepDeletes(dead, used)
	return nil
}

// keepDeletes lists the delete files that are of some data file, and has the files name them
// by their place in the list.
func (t *Table) keepDeletes(all []entry, used []bool) {
	place := make([]int, len(all))
	for i, e := range all {
		if !used[i] {
			continue
		}
		place[i] = len(t.Deletes)
		t.Deletes = append(t.Deletes, Delete{URI: e.data.FilePath(), Vector: base.IsVector(e.data), Rows: e.data.Count(), Data: e.data})
	}
	for _, f := range t.Files {
		for i, k := range f.Deletes {
			f.Deletes[i] = place[k]
		}
	}
}

// partitionOf writes the partition of a file as a text that is the same for the same spec and
// values; known is false where there is no partition, or a value whose text may differ. A
// column may have become wider between two files: whole numbers are alike, and so are others.
func partitionOf(df iceberg.DataFile) (text string, known bool) {
	values := df.Partition()
	if len(values) == 0 {
		return "", false
	}
	ids := make([]int, 0, len(values))
	for id := range values {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var b strings.Builder
	fmt.Fprint(&b, df.SpecID())
	for _, id := range ids {
		value, known := partitionValue(values[id])
		if !known {
			return "", false
		}
		fmt.Fprintf(&b, " %d=%s", id, value)
	}
	return b.String(), true
}

func partitionValue(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "null", true
	case string:
		return strconv.Quote(v), true
	case []byte:
		return fmt.Sprintf("%x", v), true
	case bool:
		return strconv.FormatBool(v), true
	case iceberg.Decimal:
		return v.Val.ToString(int32(v.Scale)), true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(r.Int(), 10), true
	case reflect.Float32, reflect.Float64:
		if f := r.Float(); f != 0 && !math.IsNaN(f) {
			return strconv.FormatFloat(f, 'g', -1, 64), true
		}
	}
	return "", false
}

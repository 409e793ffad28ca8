package serving

import (
	"bytes"
	"slices"
	"sort"

	"tarn/internal/lake"
)

// fileIndex finds the base files whose range of the first key column holds a
// value. Ranges are closed, may overlap and may be unbounded.
type fileIndex struct {
	order []int    // positions in the dataset's files, by lower bound
	lower [][]byte // of order[i]; nil is unbounded
	upper [][]byte // likewise
	reach []reach  // the highest upper bound of order[0..i]
}

type reach struct {
	upper     []byte
	unbounded bool
}

func newFileIndex(files []lake.BaseFile) fileIndex {
	x := fileIndex{order: make([]int, len(files)), lower: make([][]byte, len(files)), upper: make([][]byte, len(files)), reach: make([]reach, len(files))}
	for i := range files {
		x.order[i] = i
	}
	slices.SortStableFunc(x.order, func(a, b int) int {
		// bytes.Compare puts nil first, as unbounded has to be.
		return bytes.Compare(files[a].Lower, files[b].Lower)
	})
	var top reach
	for i, f := range x.order {
		up := files[f].Upper
		x.lower[i], x.upper[i] = files[f].Lower, up
		if up == nil {
			top = reach{unbounded: true}
		} else if !top.unbounded && (i == 0 || bytes.Compare(up, top.upper) > 0) {
			top = reach{upper: up}
		}
		x.reach[i] = top
	}
	return x
}

// span calls fn with the position of every file whose range meets [low, high];
// more than those are possible where ranges overlap each other.
func (x fileIndex) span(low, high []byte, fn func(file int)) {
	end := sort.Search(len(x.order), func(i int) bool {
		return x.lower[i] != nil && bytes.Compare(x.lower[i], high) > 0
	})
	for i := end - 1; i >= 0; i-- {
		if r := x.reach[i]; !r.unbounded && bytes.Compare(r.upper, low) < 0 {
			return
		}
		if up := x.upper[i]; up == nil || bytes.Compare(up, low) >= 0 {
			fn(x.order[i])
		}
	}
}

// touchedSet is which of a dataset's files the tail touches.
type touchedSet struct {
	files []bool
	count int
}

func newTouchedSet(n int) touchedSet { return touchedSet{files: make([]bool, n)} }

func (t *touchedSet) add(file int) {
	if !t.files[file] {
		t.files[file] = true
		t.count++
	}
}

func (t *touchedSet) all() bool { return t.count == len(t.files) }

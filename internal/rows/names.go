package rows

import (
	"strings"

	"tarn/internal/lake"
)

// names finds columns by name: exactly, else without regard to case where that
// is one column only.
type names struct {
	list  []string
	exact map[string]int
	fold  map[string]int // -1: several
}

func newNames(cols []lake.Column) *names {
	n := &names{list: make([]string, len(cols)), exact: map[string]int{}, fold: map[string]int{}}
	for i, c := range cols {
		n.list[i] = c.Name
		n.exact[c.Name] = i
		low := strings.ToLower(c.Name)
		if _, twice := n.fold[low]; twice {
			n.fold[low] = -1
		} else {
			n.fold[low] = i
		}
	}
	return n
}

// find gives a column's position, -1 for an unknown name. The hint is tried
// first: rows of one body mostly have their columns in one order.
func (n *names) find(name []byte, hint int) int {
	if hint < len(n.list) && string(name) == n.list[hint] {
		return hint
	}
	if i, ok := n.exact[string(name)]; ok {
		return i
	}
	if i, ok := n.fold[strings.ToLower(string(name))]; ok {
		return i
	}
	return -1
}

// assign maps the columns that a body's header names to those expected:
// from[i] is the place in the header of column i, -1 where it is missing. It
// fails with CodeRowsInvalid where a name is unknown or comes twice, and where
// a column is missing that must not be.
func assign(header []string, cols []lake.Column, missing MissingPolicy, inKey []bool) (from []int, err error) {
	n := newNames(cols)
	from = make([]int, len(cols))
	for i := range from {
		from[i] = -1
	}
	for at, name := range header {
		i := n.find([]byte(name), at)
		if i < 0 {
			return nil, unfit(misfitf(name, "there is no such column; the columns are %s", clip(strings.Join(n.list, ", "), 300)))
		}
		if from[i] >= 0 {
			return nil, unfit(misfitf(name, "it comes twice"))
		}
		from[i] = at
	}
	for i, at := range from {
		if at < 0 {
			if why := missingWhy(cols[i], missing); why != "" && !(missing == MissingKeep && !inKey[i]) {
				return nil, unfit(misfitf(cols[i].Name, "%s", why))
			}
		}
	}
	return from, nil
}

// missingWhy says why a column may not be missing, "" where it may.
func missingWhy(c lake.Column, policy MissingPolicy) string {
	switch {
	case policy != MissingNull:
		return "it is missing"
	case !c.Nullable:
		return "it is missing and cannot be null"
	}
	return ""
}

// unfit is the error of a whole body whose columns do not fit.
func unfit(why error) error {
	return lake.Errorf(lake.CodeRowsInvalid, "%s", why).
		WithHint("nothing was taken: send the dataset's columns by their names (missing=null takes missing ones as null)")
}

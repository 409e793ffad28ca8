package rows

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/lake"
)

// mapCheck finds maps that hold a key twice, in a column or a part of one. It
// looks at finished arrays, so that one check serves every format.
type mapCheck struct {
	path  string
	kind  lake.Kind
	arr   arrow.Array
	keys  *render     // Map: of the keys
	parts []*mapCheck // nil where a part holds no map
	buf   []byte
	ends  []int // in buf, of the keys of one map
}

// newMapCheck gives nil for a type without maps.
func newMapCheck(t lake.Type, path string) (*mapCheck, error) {
	m := &mapCheck{path: path, kind: t.Kind, parts: make([]*mapCheck, len(t.Fields))}
	used := t.Kind == lake.Map
	for i, f := range t.Fields {
		name := path + "[]"
		switch t.Kind {
		case lake.Struct:
			name = path + "." + f.Name
		case lake.Map:
			name = path + "{" + f.Name + "}"
		}
		var err error
		if m.parts[i], err = newMapCheck(f.Type, name); err != nil {
			return nil, err
		}
		used = used || m.parts[i] != nil
	}
	if !used {
		return nil, nil
	}
	if t.Kind == lake.Map {
		var err error
		if m.keys, err = newRender(t.Fields[0].Type.Arrow()); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// bind sets the array to look at; nil lets it go.
func (m *mapCheck) bind(arr arrow.Array) {
	if m == nil {
		return
	}
	m.arr = arr
	parts := make([]arrow.Array, len(m.parts))
	switch a := arr.(type) {
	case *array.List:
		parts[0] = a.ListValues()
	case *array.Map:
		parts[0], parts[1] = a.Keys(), a.Items()
	case *array.Struct:
		for i := range parts {
			parts[i] = a.Field(i)
		}
	}
	if m.keys != nil {
		m.keys.bind(parts[0])
	}
	for i, p := range m.parts {
		p.bind(parts[i])
	}
}

// at gives the path of a map in value i that holds a key twice, "" for none.
func (m *mapCheck) at(i int) string {
	if m == nil || m.arr.IsNull(i) {
		return ""
	}
	start, end := i, i+1
	if l, ok := m.arr.(array.ListLike); ok {
		s, e := l.ValueOffsets(i)
		start, end = int(s), int(e)
	}
	if m.keys != nil && m.double(start, end) {
		return m.path
	}
	for j := start; j < end; j++ {
		for _, p := range m.parts {
			if path := p.at(j); path != "" {
				return path
			}
		}
	}
	return ""
}

// double says whether two keys of start to end are the same value.
func (m *mapCheck) double(start, end int) bool {
	if end-start < 2 {
		return false
	}
	m.buf, m.ends = m.buf[:0], append(m.ends[:0], 0)
	for j := start; j < end; j++ {
		m.buf = m.keys.value(m.buf, j)
		m.ends = append(m.ends, len(m.buf))
	}
	key := func(j int) []byte { return m.buf[m.ends[j]:m.ends[j+1]] }
	if n := end - start; n > 16 {
		seen := make(map[string]struct{}, n)
		for j := range n {
			seen[string(key(j))] = struct{}{}
		}
		return len(seen) < n
	}
	for j := 1; j < end-start; j++ {
		for k := range j {
			if bytes.Equal(key(j), key(k)) {
				return true
			}
		}
	}
	return false
}

// mapChecks has one check a column, nil where there is nothing to check.
type mapChecks []*mapCheck

func newMapChecks(cols []lake.Column) (mapChecks, error) {
	out := make(mapChecks, len(cols))
	for i, c := range cols {
		var err error
		if out[i], err = newMapCheck(c.Type, c.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tally notes the rows of a batch that have a map with a double key; first is
// the number of the batch's first row.
func (ms mapChecks) tally(rec arrow.RecordBatch, first int64, t *tally) (found bool) {
	for col, m := range ms {
		if m == nil {
			continue
		}
		m.bind(rec.Column(col))
		for i := range int(rec.NumRows()) {
			if path := m.at(i); path != "" {
				t.add(first+int64(i), misfitf(path, "a map has one key twice"))
				found = true
			}
		}
		m.bind(nil)
	}
	return found
}

package rows

import (
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// renderList writes a list as an array.
func renderList(t arrow.ListLikeType) (*render, error) {
	elem, err := newRender(t.Elem())
	if err != nil {
		return nil, err
	}
	var a array.ListLike
	r := &render{style: nested, set: func(arr arrow.Array) {
		if arr == nil {
			a = nil
			elem.bind(nil)
			return
		}
		a = arr.(array.ListLike)
		elem.bind(a.ListValues())
	}}
	r.put = func(dst []byte, i int) []byte {
		dst = append(dst, '[')
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			if j > start {
				dst = append(dst, ',')
			}
			dst = elem.value(dst, int(j))
		}
		return append(dst, ']')
	}
	return r, nil
}

// renderMap writes a map as an array of [key, value].
func renderMap(t *arrow.MapType) (*render, error) {
	key, err := newRender(t.KeyType())
	if err != nil {
		return nil, err
	}
	item, err := newRender(t.ItemType())
	if err != nil {
		return nil, err
	}
	var a *array.Map
	r := &render{style: nested, set: func(arr arrow.Array) {
		if arr == nil {
			a = nil
			key.bind(nil)
			item.bind(nil)
			return
		}
		a = arr.(*array.Map)
		key.bind(a.Keys())
		item.bind(a.Items())
	}}
	r.put = func(dst []byte, i int) []byte {
		dst = append(dst, '[')
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			if j > start {
				dst = append(dst, ',')
			}
			dst = append(dst, '[')
			dst = key.value(dst, int(j))
			dst = append(dst, ',')
			dst = item.value(dst, int(j))
			dst = append(dst, ']')
		}
		return append(dst, ']')
	}
	return r, nil
}

// renderStruct writes a struct as an object. Fields without a name, as in
// row(1, 2), are named by their position, from 1.
func renderStruct(t *arrow.StructType) (*render, error) {
	names := make([]string, t.NumFields())
	for i, f := range t.Fields() {
		if names[i] = f.Name; names[i] == "" {
			names[i] = strconv.Itoa(i + 1)
		}
	}
	fields := make([]*render, len(names))
	for i, f := range t.Fields() {
		var err error
		if fields[i], err = newRender(f.Type); err != nil {
			return nil, err
		}
	}
	heads := memberHeads(uniqueNames(names))
	r := &render{style: nested, set: func(arr arrow.Array) {
		for i, f := range fields {
			if arr == nil {
				f.bind(nil)
			} else {
				f.bind(arr.(*array.Struct).Field(i))
			}
		}
	}}
	r.put = func(dst []byte, i int) []byte { return appendObject(dst, heads, fields, i) }
	return r, nil
}

// appendObject writes row i of the fields as an object.
func appendObject(dst []byte, heads [][]byte, fields []*render, i int) []byte {
	if len(fields) == 0 {
		return append(dst, "{}"...)
	}
	for k, f := range fields {
		dst = append(dst, heads[k]...)
		dst = f.value(dst, i)
	}
	return append(dst, '}')
}

// memberHeads gives what stands before each value of an object: {"a": and
// ,"b":
func memberHeads(names []string) [][]byte {
	out := make([][]byte, len(names))
	for i, n := range names {
		b := []byte{','}
		if i == 0 {
			b[0] = '{'
		}
		b = appendString(b, n)
		out[i] = append(b, ':')
	}
	return out
}

// uniqueNames makes names unique without regard to case as DuckDB does where
// it must: the second a becomes a_1, the third a_2.
func uniqueNames(names []string) []string {
	out := make([]string, len(names))
	count := map[string]int{}
	for i, n := range names {
		low := strings.ToLower(n)
		if _, taken := count[low]; !taken {
			count[low] = 1
			out[i] = n
			continue
		}
		for {
			next := n + "_" + strconv.Itoa(count[low])
			count[low]++
			if _, taken := count[strings.ToLower(next)]; !taken {
				count[strings.ToLower(next)] = 1
				out[i] = next
				break
			}
		}
	}
	return out
}

// renderDictionary writes a dictionary's values.
func renderDictionary(t *arrow.DictionaryType) (*render, error) {
	values, err := newRender(t.ValueType)
	if err != nil {
		return nil, err
	}
	var a *array.Dictionary
	r := &render{style: values.style}
	r.set = func(arr arrow.Array) {
		if arr == nil {
			a = nil
			values.bind(nil)
			return
		}
		a = arr.(*array.Dictionary)
		values.bind(a.Dictionary())
	}
	r.put = func(dst []byte, i int) []byte { return values.put(dst, a.GetValueIndex(i)) }
	return r, nil
}

// renderExtension writes an extension type as its storage.
func renderExtension(t arrow.ExtensionType) (*render, error) {
	storage, err := newRender(t.StorageType())
	if err != nil {
		return nil, err
	}
	r := &render{style: storage.style, put: storage.put}
	r.set = func(arr arrow.Array) {
		if arr == nil {
			storage.bind(nil)
			return
		}
		storage.bind(arr.(array.ExtensionArray).Storage())
	}
	return r, nil
}

package lake

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Column is a column of a dataset, or a part of a nested type.
type Column struct {
	ID       int    `json:"id"` // Iceberg field id; 0 until the base is created
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Nullable bool   `json:"nullable"`
}

// Schema is a dataset's columns and, if it has one, its primary key.
type Schema struct {
	ID      int      `json:"id"` // Iceberg schema id
	Columns []Column `json:"columns"`
	Key     []string `json:"key,omitempty"` // names of key columns, in key order; empty: rows are told by their places alone
}

// ReservedColumnPrefix starts the names that tarn keeps for itself.
const ReservedColumnPrefix = "_tarn_"

// Column finds a column by name without regard to case; ok is false when there
// is none.
func (s Schema) Column(name string) (i int, ok bool) {
	for i, c := range s.Columns {
		if strings.EqualFold(c.Name, name) {
			return i, true
		}
	}
	return 0, false
}

// Keyed says whether the dataset has a primary key.
func (s Schema) Keyed() bool { return len(s.Key) > 0 }

// KeyIndexes gives the positions of the key columns, in key order.
func (s Schema) KeyIndexes() []int {
	out := make([]int, len(s.Key))
	for i, name := range s.Key {
		out[i], _ = s.Column(name)
	}
	return out
}

// KeySchema is the schema of the key columns alone, in key order.
func (s Schema) KeySchema() Schema {
	out := Schema{ID: s.ID, Key: s.Key}
	for _, i := range s.KeyIndexes() {
		out.Columns = append(out.Columns, s.Columns[i])
	}
	return out
}

// Check says whether a schema can be a dataset's: names, types, key. It makes
// key columns non-null and writes key names as the columns have them.
func (s *Schema) Check() error {
	if len(s.Columns) == 0 {
		return Errorf(CodeInvalidRequest, "a dataset needs at least one column")
	}
	seen := map[string]bool{}
	for _, c := range s.Columns {
		if err := checkColumnName(c.Name); err != nil {
			return err
		}
		if low := strings.ToLower(c.Name); seen[low] {
			return Errorf(CodeInvalidRequest, "column %q appears twice", c.Name).
				WithHint("column names are unique without regard to case")
		} else {
			seen[low] = true
		}
	}
	inKey := map[int]bool{}
	for k, name := range s.Key {
		i, ok := s.Column(name)
		if !ok {
			return Errorf(CodeInvalidRequest, "primary key column %q is not a column", name)
		}
		c := &s.Columns[i]
		if inKey[i] {
			return Errorf(CodeInvalidRequest, "primary key names column %q twice", c.Name)
		}
		if !c.Type.CanBeKey() {
			return Errorf(CodeInvalidRequest, "column %q of type %s cannot be part of a primary key", c.Name, c.Type).
				WithHint("keys are booleans, integers, decimals, varchar, blob, uuid, dates and times")
		}
		inKey[i] = true
		c.Nullable = false
		s.Key[k] = c.Name
	}
	return nil
}

func checkColumnName(name string) error {
	switch {
	case name == "" || len(name) > 255 || !utf8.ValidString(name):
		return Errorf(CodeInvalidRequest, "column name %q: must be 1 to 255 bytes of UTF-8", name)
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return Errorf(CodeInvalidRequest, "column name %q has a control character", name)
	case strings.HasPrefix(strings.ToLower(name), ReservedColumnPrefix):
		return Errorf(CodeInvalidRequest, "column name %q: names starting with %s are reserved", name, ReservedColumnPrefix)
	}
	return nil
}

// SameKey says whether names are the schema's key columns in its order,
// without regard to case.
func (s Schema) SameKey(names []string) bool {
	if len(names) != len(s.Key) {
		return false
	}
	for i := range names {
		if !strings.EqualFold(names[i], s.Key[i]) {
			return false
		}
	}
	return true
}

// WithFieldIDs numbers all columns and parts afresh, in the order Iceberg
// numbers a new table: the columns of one level first, then each one's parts.
func (s Schema) WithFieldIDs() Schema {
	next := 0
	s.Columns = numbered(s.Columns, &next)
	return s
}

func numbered(cols []Column, next *int) []Column {
	out := make([]Column, len(cols))
	for i, c := range cols {
		*next++
		c.ID = *next
		out[i] = c
	}
	for i := range out {
		if len(out[i].Type.Fields) > 0 {
			out[i].Type.Fields = numbered(out[i].Type.Fields, next)
		}
	}
	return out
}

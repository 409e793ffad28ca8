package sqlddl

import "tarn/internal/lake"

// Verb is what a statement does.
type Verb string

// The verbs.
const (
	Create Verb = "create"
	Drop   Verb = "drop"
)

// Statement is one statement.
type Statement struct {
	Verb   Verb
	Target lake.Name

	IfNotExists bool     // of CREATE: a dataset of that name is no error
	IfExists    bool     // of DROP: no dataset of that name is no error
	Columns     []Column // of CREATE; with a Query, new names for its columns, or none
	Key         []string // of CREATE: the primary key's columns, in key order
	Query       string   // of CREATE TABLE AS; "" for none
}

// Column is a column to be made.
type Column struct {
	Name     string
	Type     lake.Type // zero with a Query, which has the types
	Nullable bool
}

// Schema is what a CREATE without a query makes, checked.
func (s *Statement) Schema() (lake.Schema, error) {
	out := lake.Schema{Key: append([]string(nil), s.Key...)}
	for _, c := range s.Columns {
		out.Columns = append(out.Columns, lake.Column{Name: c.Name, Type: c.Type, Nullable: c.Nullable})
	}
	return out, out.Check()
}

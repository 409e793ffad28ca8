package base

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// Evolves gives the operations that a commit of another program asks for of the columns,
// in tarn's own terms; nil where it leaves them as they are.
func (p *Proposal) Evolves() []lake.SchemaOperation { return p.operations }

// readSchema finds what the schema updates of a commit do to the columns, by their field
// ids, and refuses what tarn's own schema changes cannot do.
func (p *Proposal) readSchema(all []table.Update) error {
	was := p.meta.CurrentSchema()
	var updates []table.Update
	rows, nameless := false, false
	for _, u := range all {
		switch u.Action() {
		case table.UpdateAddSchema, table.UpdateSetCurrentSchema:
			// DuckDB knows of no identifier fields, and leaves them out of every schema. A
			// schema that says nothing of the key leaves it as it is.
			if add, ok := as(u, table.NewAddSchemaUpdate(nil)); ok && len(add.Schema.IdentifierFieldIDs) == 0 && len(was.IdentifierFieldIDs) > 0 {
				u, nameless = table.NewAddSchemaUpdate(iceberg.NewSchemaWithIdentifiers(add.Schema.ID, was.IdentifierFieldIDs, add.Schema.Fields()...)), true
			}
			updates = append(updates, u)
		case table.UpdateAddSnapshot:
			rows = true
		}
	}
	if len(updates) == 0 {
		return nil
	}
	meta, err := table.UpdateTableMetadata(p.meta, updates, p.view.uri(p.table.key))
	if err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "%w", err)
	}
	now := meta.CurrentSchema()
	if was.Equals(now) {
		if nameless { // nothing else was asked for
			return refused("no identifier fields: they are the primary key, which stays what it is")
		}
		if slices.ContainsFunc(updates, func(u table.Update) bool { return u.Action() == table.UpdateAddSchema }) && len(meta.Schemas()) > len(p.meta.Schemas()) {
			return refused("a schema that is not made current")
		}
		return nil
	}
	if rows {
		return refused("other columns and rows at once: commit the schema first, and then the rows")
	}
	wanted, err := p.wanted(was, now)
	if err != nil {
		return err
	}
	operations := difference(p.table.schema, wanted)
	if len(operations) == 0 {
		return p.notThat(wanted)
	}
	got, err := p.table.schema.Evolve(operations, p.meta.LastColumnID())
	if err != nil {
		return err
	}
	if !SameSchema(got.Schema, wanted) {
		return p.notThat(wanted)
	}
	p.operations = operations
	return nil
}

// wanted is the schema of a commit as a dataset's.
func (p *Proposal) wanted(was, now *iceberg.Schema) (lake.Schema, error) {
	ids := func(s *iceberg.Schema) []int { return slices.Sorted(slices.Values(s.IdentifierFieldIDs)) }
	if a, b := ids(was), ids(now); !slices.Equal(a, b) {
		return lake.Schema{}, refused("other identifier fields (%v for %v): they are the primary key, which stays what it is", b, a)
	}
	for _, f := range now.Fields() {
		if f.InitialDefault != nil || f.WriteDefault != nil {
			return lake.Schema{}, refused("a default, as column %q has: tables of tarn have none", f.Name)
		}
		if commented(f) {
			return lake.Schema{}, refused("comments on columns, as %q has: tarn would not keep them", f.Name)
		}
	}
	s, err := lakeSchema(now, p.meta.Properties())
	if err != nil {
		return lake.Schema{}, err
	}
	return s, s.Check()
}

// commented says whether a field has a comment, or a part of it has.
func commented(f iceberg.NestedField) bool {
	if f.Doc != "" {
		return true
	}
	if n, ok := f.Type.(iceberg.NestedType); ok {
		return slices.ContainsFunc(n.Fields(), commented)
	}
	return false
}

// notThat refuses a schema that no operations of tarn's make of the present one.
func (p *Proposal) notThat(wanted lake.Schema) error {
	have := p.table.schema
	at := map[int]int{}
	for i, c := range wanted.Columns {
		at[c.ID] = i
	}
	last := -1
	for _, c := range have.Columns {
		if i, ok := at[c.ID]; ok {
			if i < last {
				return refused("another order of columns")
			}
			last = i
		}
	}
	for i, c := range wanted.Columns {
		old, ok := have.ColumnByID(c.ID)
		switch {
		case !ok && c.ID <= p.meta.LastColumnID():
			return refused("the column %q, which was dropped, once more: a column that is added gets a field id of its own", c.Name)
		case !ok && i < last:
			return refused("another order of columns: %q is added, and is the last then", c.Name)
		case !ok:
			return refused("the field ids of the column %q, which are not the next free ones (from %d on)", c.Name, p.meta.LastColumnID()+1)
		case !sameParts(old.Type.Fields, c.Type.Fields):
			return refused("a change within the nested column %q", c.Name)
		}
	}
	return refused("this change of the schema")
}

// difference is the operations that make one schema of another, where there are such:
// columns are told by their field ids. What goes is first, so that names are free.
func difference(was, now lake.Schema) []lake.SchemaOperation {
	var out []lake.SchemaOperation
	left := []lake.Column{}
	for _, c := range was.Columns {
		if _, ok := now.ColumnByID(c.ID); ok {
			left = append(left, c)
		} else {
			out = append(out, lake.SchemaOperation{Op: lake.OpDropColumn, Name: c.Name})
		}
	}
	out = append(out, renames(left, now)...)
	var added []lake.Column
	for _, c := range now.Columns {
		old, there := was.ColumnByID(c.ID)
		switch {
		case !there:
			added = append(added, c)
			continue
		case !old.Type.Equal(c.Type):
			out = append(out, lake.SchemaOperation{Op: lake.OpSetType, Name: c.Name, Type: c.Type})
		}
		if old.Nullable && !c.Nullable {
			out = append(out, lake.SchemaOperation{Op: lake.OpSetNotNull, Name: c.Name})
		}
		if !old.Nullable && c.Nullable {
			out = append(out, lake.SchemaOperation{Op: lake.OpDropNotNull, Name: c.Name})
		}
	}
	slices.SortFunc(added, func(a, b lake.Column) int { return cmp.Compare(a.ID, b.ID) })
	for _, c := range added {
		out = append(out, lake.SchemaOperation{Op: lake.OpAddColumn, Name: c.Name, Type: c.Type})
		if !c.Nullable {
			out = append(out, lake.SchemaOperation{Op: lake.OpSetNotNull, Name: c.Name})
		}
	}
	return out
}

// renames orders renames so that each name is free when it is given: where names go round
// in a circle, one of the columns is called otherwise for a moment.
func renames(columns []lake.Column, now lake.Schema) []lake.SchemaOperation {
	var out []lake.SchemaOperation
	names := map[int]string{} // present, by id
	taken := map[string]int{} // id, by present name without regard to case
	for _, c := range columns {
		names[c.ID] = c.Name
		taken[strings.ToLower(c.Name)] = c.ID
	}
	give := func(id int, to string) {
		out = append(out, lake.SchemaOperation{Op: lake.OpRenameColumn, Name: names[id], To: to})
		delete(taken, strings.ToLower(names[id]))
		names[id], taken[strings.ToLower(to)] = to, id
	}
	for {
		waiting, moved := 0, false
		for _, c := range columns {
			to, _ := now.ColumnByID(c.ID)
			if names[c.ID] == to.Name {
				continue
			}
			if by, ok := taken[strings.ToLower(to.Name)]; ok && by != c.ID {
				waiting = c.ID
				continue
			}
			give(c.ID, to.Name)
			moved = true
		}
		if waiting == 0 {
			return out
		}
		if !moved {
			give(waiting, fmt.Sprintf("renamed for a moment %d", waiting))
		}
	}
}

package lake

import (
	"slices"
	"strings"
)

// SchemaOp names what one operation does to a schema.
type SchemaOp string

// The operations, which are those of Iceberg that need no base file to be written.
const (
	OpAddColumn    SchemaOp = "add_column"    // Name, Type: at the end, null in every row that is there
	OpDropColumn   SchemaOp = "drop_column"   // Name
	OpRenameColumn SchemaOp = "rename_column" // Name, To
	OpSetType      SchemaOp = "set_type"      // Name, Type: a wider one
	OpSetNotNull   SchemaOp = "set_not_null"  // Name
	OpDropNotNull  SchemaOp = "drop_not_null" // Name
)

// SchemaOperation is one step of a schema change.
type SchemaOperation struct {
	Op   SchemaOp
	Name string // of the column, without regard to case
	To   string // OpRenameColumn: its new name
	Type Type   // OpAddColumn, OpSetType
	// ID is the field id of an OpAddColumn, where those before it were given out elsewhere; 0:
	// the next one.
	ID int `json:",omitempty"`
	// Unless makes an OpAddColumn of a column that there is, and an OpDropColumn of
	// one that there is not, nothing to do instead of an error.
	Unless bool
}

// Evolved is what a schema becomes by operations.
type Evolved struct {
	Schema  Schema // ID is that of the schema it was made of
	LastID  int    // the highest field id that was ever given out
	Changed bool
}

// Evolve applies operations in their order; all or none. lastID is the highest field
// id that the dataset ever gave out: a column that is added gets one of its own, so
// that nothing of a column that had its name before comes back. Whether rows hold
// what OpSetNotNull says is the caller's to find out.
func (s Schema) Evolve(ops []SchemaOperation, lastID int) (Evolved, error) {
	if len(ops) == 0 {
		return Evolved{}, Errorf(CodeInvalidRequest, "a schema change of no operation")
	}
	e := Evolved{LastID: lastID, Schema: s}
	e.Schema.Columns, e.Schema.Key = slices.Clone(s.Columns), slices.Clone(s.Key)
	for _, op := range ops {
		changed, err := e.apply(op)
		if err != nil {
			return Evolved{}, err
		}
		e.Changed = e.Changed || changed
	}
	e.Changed = e.Changed && !sameSchema(e.Schema, s)
	return e, nil
}

func (e *Evolved) apply(op SchemaOperation) (changed bool, err error) {
	if err := op.Op.Check(); err != nil {
		return false, err
	}
	s := &e.Schema
	at, there := s.Column(op.Name)
	if op.Op == OpAddColumn {
		if there && op.Unless {
			return false, nil
		}
		return true, e.add(op)
	}
	if !there {
		if op.Op == OpDropColumn && op.Unless {
			return false, nil
		}
		return false, Errorf(CodeInvalidRequest, "there is no column %q", op.Name)
	}
	c := &s.Columns[at]
	inKey := slices.Contains(s.Key, c.Name)
	switch op.Op {
	case OpDropColumn:
		switch {
		case inKey:
			return false, Errorf(CodeInvalidRequest, "column %q is part of the primary key and cannot be dropped", c.Name)
		case len(s.Columns) == 1:
			return false, Errorf(CodeInvalidRequest, "column %q is the only one and cannot be dropped", c.Name)
		}
		if err := checkNumberName(c.Name); err != nil {
			return false, err
		}
		s.Columns = slices.Delete(s.Columns, at, at+1)
		return true, nil
	case OpRenameColumn:
		return e.rename(at, op.To)
	case OpSetType:
		if c.Type.Equal(op.Type) {
			return false, nil
		}
		if err := c.Type.widens(op.Type); err != nil {
			return false, Step("column "+c.Name, err)
		}
		c.Type = op.Type
		return true, nil
	case OpSetNotNull:
		changed, c.Nullable = c.Nullable, false
		return changed, nil
	default: // OpDropNotNull
		if inKey {
			return false, Errorf(CodeInvalidRequest, "column %q is part of the primary key and cannot be null", c.Name)
		}
		changed, c.Nullable = !c.Nullable, true
		return changed, nil
	}
}

// Check refuses what is no operation.
func (o SchemaOp) Check() error {
	switch o {
	case OpAddColumn, OpDropColumn, OpRenameColumn, OpSetType, OpSetNotNull, OpDropNotNull:
		return nil
	}
	return Errorf(CodeInvalidRequest, "unknown operation %q", o).
		WithHint("add_column, drop_column, rename_column, set_type, set_not_null or drop_not_null")
}

func (e *Evolved) add(op SchemaOperation) error {
	if err := e.free(op.Name, -1); err != nil {
		return err
	}
	e.LastID = max(e.LastID, op.ID-1)
	added := numbered([]Column{{Name: op.Name, Type: op.Type, Nullable: true}}, &e.LastID)
	e.Schema.Columns = append(e.Schema.Columns, added...)
	return nil
}

func (e *Evolved) rename(at int, to string) (changed bool, err error) {
	c := &e.Schema.Columns[at]
	if c.Name == to {
		return false, nil
	}
	if err := checkNumberName(c.Name); err != nil {
		return false, err
	}
	if err := e.free(to, at); err != nil {
		return false, err
	}
	for k, name := range e.Schema.Key {
		if name == c.Name {
			e.Schema.Key[k] = to
		}
	}
	c.Name = to
	return true, nil
}

// free refuses a name that no column can get; except is the place of the column that
// may have it already, in other letters.
func (e *Evolved) free(name string, except int) error {
	if err := checkColumnName(name); err != nil {
		return err
	}
	if i, ok := e.Schema.Column(name); ok && i != except {
		return Errorf(CodeInvalidRequest, "there is a column %q already", e.Schema.Columns[i].Name).
			WithHint("column names are unique without regard to case")
	}
	return checkNumberName(name)
}

// numberNames are columns that DuckDB's scans of files add. Base files are read by
// them, and a file keeps the names that it was written with: so a column of such a
// name neither comes nor goes.
var numberNames = []string{"file_row_number", "file_index", "filename"}

func checkNumberName(name string) error {
	if slices.ContainsFunc(numberNames, func(n string) bool { return strings.EqualFold(n, name) }) {
		return Errorf(CodeUnsupported, "a column %q cannot be added, renamed or dropped: rows of files are numbered by that name", name)
	}
	return nil
}

// widens says why WidensTo is false.
func (t Type) widens(to Type) error {
	switch {
	case t.Kind == Integer && to.Kind == Bigint,
		t.Kind == Float && to.Kind == Double,
		t.Kind == Decimal && to.Kind == Decimal && t.Scale == to.Scale && t.Precision < to.Precision:
		return nil
	}
	return Errorf(CodeUnsupported, "type %s cannot become %s", t, to).
		WithHint("INTEGER becomes BIGINT, FLOAT becomes DOUBLE, DECIMAL(p,s) one of more digits and the same scale; for anything else add a column, fill it and drop the old one")
}

// WidensTo says whether a column of type t can be read as type to, by one of Iceberg's
// promotions.
func (t Type) WidensTo(to Type) bool { return t.widens(to) == nil }

// sameSchema compares all but the schemas' ids.
func sameSchema(a, b Schema) bool {
	return slices.Equal(a.Key, b.Key) && slices.EqualFunc(a.Columns, b.Columns, func(x, y Column) bool {
		return x.ID == y.ID && x.Name == y.Name && x.Nullable == y.Nullable && x.Type.Equal(y.Type)
	})
}

// ColumnByID finds a column by its field id.
func (s Schema) ColumnByID(id int) (Column, bool) {
	for _, c := range s.Columns {
		if c.ID == id {
			return c, true
		}
	}
	return Column{}, false
}

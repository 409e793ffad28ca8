package sqlddl

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Alter is one ALTER TABLE: another name, or operations on the schema.
type Alter struct {
	Table      lake.Name
	IfExists   bool
	RenameTo   *lake.Name // nil: Operations
	Operations []lake.SchemaOperation
}

// ParseAlter reads an ALTER TABLE. It gives nil where the text begins otherwise.
// Errors: CodeSQLInvalid, CodeSQLRefused, CodeUnsupported.
func ParseAlter(sql string) (*Alter, error) {
	if first := sqltext.New(sql); !first.Next() || !first.Is("alter") {
		return nil, nil
	}
	toks, err := sqltext.Tokens(sql)
	if err != nil {
		return nil, invalid("%w", err)
	}
	p := &alterParser{parser{sqltext.Cursor{SQL: sql, Toks: toks}}}
	if err := p.oneStatement(); err != nil {
		return nil, err
	}
	a, err := p.statement()
	return a, lake.Step("ALTER TABLE", err)
}

// alterParser reads what stands behind ALTER.
type alterParser struct{ parser }

func (p *alterParser) statement() (*Alter, error) {
	p.Take("alter")
	if !p.Take("table") {
		return nil, lake.Errorf(lake.CodeSQLRefused, "of ALTER only ALTER TABLE is served")
	}
	a := &Alter{IfExists: p.Take("if", "exists")}
	var err error
	if a.Table, err = p.dataset(lake.DefaultNamespace); err != nil {
		return nil, err
	}
	if p.Take("rename", "to") {
		to, err := p.dataset(a.Table.Namespace)
		if err != nil {
			return nil, err
		}
		if !p.Ended() {
			return nil, p.expected("the end of RENAME TO")
		}
		a.RenameTo = &to
		return a, nil
	}
	for {
		ops, err := p.action()
		if err != nil {
			return nil, err
		}
		a.Operations = append(a.Operations, ops...)
		if p.Ended() {
			return a, nil
		}
		if !p.Take(",") {
			return nil, p.expected("a comma or the end")
		}
	}
}

// action reads one of what ALTER TABLE lists.
func (p *alterParser) action() ([]lake.SchemaOperation, error) {
	switch {
	case p.Take("add"):
		return p.add()
	case p.Take("drop"):
		return p.drop()
	case p.Take("rename"):
		p.Take("column")
		op := lake.SchemaOperation{Op: lake.OpRenameColumn}
		var err error
		if op.Name, err = p.column(); err != nil {
			return nil, err
		}
		if !p.Take("to") {
			return nil, p.expected("TO")
		}
		op.To, err = p.column()
		return []lake.SchemaOperation{op}, err
	case p.Take("alter"):
		return p.alter()
	}
	return nil, p.expected("ADD, DROP, RENAME or ALTER")
}

func (p *alterParser) add() ([]lake.SchemaOperation, error) {
	if err := p.noConstraint("ADD"); err != nil {
		return nil, err
	}
	p.Take("column")
	op := lake.SchemaOperation{Op: lake.OpAddColumn, Unless: p.Take("if", "not", "exists")}
	var err error
	if op.Name, err = p.column(); err != nil {
		return nil, err
	}
	if op.Type, err = p.typeBefore("ADD COLUMN " + op.Name); err != nil {
		return nil, err
	}
	ops := []lake.SchemaOperation{op}
	for {
		switch {
		case p.Ended() || p.Now().Is(","):
			return ops, nil
		case p.Take("null"):
		case p.Take("not", "null"):
			ops = append(ops, lake.SchemaOperation{Op: lake.OpSetNotNull, Name: op.Name})
		case p.Now().Is("default"):
			return nil, noDefault(op.Name)
		default:
			return nil, lake.Errorf(lake.CodeUnsupported, "ADD COLUMN %s: a column is a name, a type, and NOT NULL where it is meant; %s is not served",
				op.Name, strings.ToUpper(p.Found()))
		}
	}
}

func noDefault(column string) error {
	return lake.Errorf(lake.CodeUnsupported, "column %q: Iceberg v2 tables have no defaults", column).
		WithHint("add the column, which is null in all rows, then UPDATE them; send the value with every new row")
}

// noConstraint refuses what is no column.
func (p *alterParser) noConstraint(verb string) error {
	for _, w := range []string{"constraint", "primary", "unique", "foreign", "check"} {
		if p.Now().Is(w) {
			return lake.Errorf(lake.CodeUnsupported, "%s %s: constraints are not served, and the primary key of a dataset stays", verb, strings.ToUpper(w))
		}
	}
	return nil
}

func (p *alterParser) drop() ([]lake.SchemaOperation, error) {
	if err := p.noConstraint("DROP"); err != nil {
		return nil, err
	}
	p.Take("column")
	op := lake.SchemaOperation{Op: lake.OpDropColumn, Unless: p.Take("if", "exists")}
	var err error
	if op.Name, err = p.column(); err != nil {
		return nil, err
	}
	if !p.Take("restrict") { // there is nothing that depends on a column
		p.Take("cascade")
	}
	return []lake.SchemaOperation{op}, nil
}

// alter reads what ALTER COLUMN does.
func (p *alterParser) alter() ([]lake.SchemaOperation, error) {
	p.Take("column")
	name, err := p.column()
	if err != nil {
		return nil, err
	}
	op := lake.SchemaOperation{Name: name}
	switch {
	case p.Take("set", "not", "null"):
		op.Op = lake.OpSetNotNull
	case p.Take("drop", "not", "null"):
		op.Op = lake.OpDropNotNull
	case p.Take("set", "data", "type"), p.Take("type"):
		op.Op = lake.OpSetType
		if op.Type, err = p.typeBefore("ALTER COLUMN " + name); err != nil {
			return nil, err
		}
		if p.Now().Is("using") {
			return nil, lake.Errorf(lake.CodeUnsupported, "ALTER COLUMN %s: USING is not served: a type becomes wider, and values stay", name).
				WithHint("add a column, fill it by UPDATE, drop the old one and rename the new")
		}
	case p.Take("set", "default"), p.Take("drop", "default"):
		return nil, noDefault(name)
	default:
		return nil, p.expected("TYPE, SET NOT NULL or DROP NOT NULL")
	}
	return []lake.SchemaOperation{op}, nil
}

// typeEnds are the words behind a type.
var typeEnds = sqltext.WordSet("not null default using primary unique check references collate generated as constraint")

// typeBefore reads a type, up to what follows it.
func (p *alterParser) typeBefore(where string) (lake.Type, error) {
	from := p.At
	for !p.Ended() && (p.Now().Depth > 0 || !p.Now().Is(",") && !p.Now().In(typeEnds)) {
		p.At++
	}
	if p.At == from {
		return lake.Type{}, p.expected("a type")
	}
	t, err := lake.ParseType(p.SQL[p.Toks[from].Start:p.Toks[p.At-1].End])
	return t, lake.Step(where, err)
}

// column reads the name of a column.
func (p *alterParser) column() (string, error) {
	return p.name("the name of a column")
}

// dataset reads a name of one part, in a namespace, or of two.
func (p *alterParser) dataset(namespace string) (lake.Name, error) {
	first, err := p.name("the name of a dataset")
	if err != nil {
		return lake.Name{}, err
	}
	parts := []string{namespace, first}
	if p.Take(".") {
		second, err := p.name("the name of a dataset")
		if err != nil {
			return lake.Name{}, err
		}
		parts = []string{first, second}
	}
	if strings.Contains(parts[0]+parts[1], ".") || p.Now().Is(".") {
		return lake.Name{}, lake.Errorf(lake.CodeSQLRefused, "names of datasets have at most two parts")
	}
	return lake.ParseName(parts[0] + "." + parts[1])
}

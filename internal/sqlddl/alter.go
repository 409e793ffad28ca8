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
	words, err := alterWords(sql)
	if err != nil {
		return nil, err
	}
	p := &alterParser{sql: sql, words: words}
	return p.statement()
}

// alterWord is one word of the text: its bounds in bytes, and how many brackets it
// stands in.
type alterWord struct {
	text       string // in lower case; `"` for a quoted name or a string
	start, end int
	depth      int
}

// alterWords cuts a text, without the semicolons at its end.
func alterWords(sql string) ([]alterWord, error) {
	var out []alterWord
	depth := 0
	s := sqltext.New(sql)
	for s.Next() {
		if s.Word == ")" || s.Word == "]" {
			depth--
		}
		out = append(out, alterWord{strings.ToLower(s.Word), s.Start, s.End(), depth})
		if s.Word == "(" || s.Word == "[" {
			depth++
		}
		if depth < 0 {
			return nil, lake.Errorf(lake.CodeSQLInvalid, "a %s closes nothing", s.Word)
		}
	}
	switch {
	case s.Open:
		return nil, lake.Errorf(lake.CodeSQLInvalid, "a comment, a string or a quoted name does not end")
	case depth > 0:
		return nil, lake.Errorf(lake.CodeSQLInvalid, "a bracket is not closed")
	}
	for n := len(out); n > 0 && out[n-1].text == ";"; n-- {
		out = out[:n-1]
	}
	for _, w := range out {
		if w.text == ";" {
			return nil, lake.Errorf(lake.CodeSQLRefused, "more than one statement in one text").WithHint("send one statement at a time")
		}
	}
	return out, nil
}

type alterParser struct {
	sql   string
	words []alterWord
	at    int
}

func (p *alterParser) now() alterWord {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return alterWord{start: len(p.sql), end: len(p.sql)}
}

func (p *alterParser) ended() bool { return p.at >= len(p.words) }

// take goes over words if they come next.
func (p *alterParser) take(words ...string) bool {
	for i, w := range words {
		if p.at+i >= len(p.words) || p.words[p.at+i].text != w {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *alterParser) expected(what string) error {
	found := "the end"
	if !p.ended() {
		found = p.sql[p.now().start:p.now().end]
	}
	return lake.Errorf(lake.CodeSQLInvalid, "ALTER TABLE: %s was expected before %s", what, found)
}

func (p *alterParser) statement() (*Alter, error) {
	p.take("alter")
	if !p.take("table") {
		return nil, lake.Errorf(lake.CodeSQLRefused, "of ALTER only ALTER TABLE is served")
	}
	a := &Alter{IfExists: p.take("if", "exists")}
	var err error
	if a.Table, err = p.dataset(lake.DefaultNamespace); err != nil {
		return nil, err
	}
	if p.take("rename", "to") {
		to, err := p.dataset(a.Table.Namespace)
		if err != nil {
			return nil, err
		}
		if !p.ended() {
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
		if p.ended() {
			return a, nil
		}
		if !p.take(",") {
			return nil, p.expected("a comma or the end")
		}
	}
}

// action reads one of what ALTER TABLE lists.
func (p *alterParser) action() ([]lake.SchemaOperation, error) {
	switch {
	case p.take("add"):
		return p.add()
	case p.take("drop"):
		return p.drop()
	case p.take("rename"):
		p.take("column")
		op := lake.SchemaOperation{Op: lake.OpRenameColumn}
		var err error
		if op.Name, err = p.column(); err != nil {
			return nil, err
		}
		if !p.take("to") {
			return nil, p.expected("TO")
		}
		op.To, err = p.column()
		return []lake.SchemaOperation{op}, err
	case p.take("alter"):
		return p.alter()
	}
	return nil, p.expected("ADD, DROP, RENAME or ALTER")
}

func (p *alterParser) add() ([]lake.SchemaOperation, error) {
	if err := p.noConstraint("ADD"); err != nil {
		return nil, err
	}
	p.take("column")
	op := lake.SchemaOperation{Op: lake.OpAddColumn, Unless: p.take("if", "not", "exists")}
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
		case p.ended() || p.now().text == ",":
			return ops, nil
		case p.take("null"):
		case p.take("not", "null"):
			ops = append(ops, lake.SchemaOperation{Op: lake.OpSetNotNull, Name: op.Name})
		case p.now().text == "default":
			return nil, noDefault(op.Name)
		default:
			return nil, lake.Errorf(lake.CodeUnsupported, "ADD COLUMN %s: a column is a name, a type, and NOT NULL where it is meant; %s is not served",
				op.Name, strings.ToUpper(p.now().text))
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
		if p.now().text == w {
			return lake.Errorf(lake.CodeUnsupported, "%s %s: constraints are not served, and the primary key of a dataset stays", verb, strings.ToUpper(w))
		}
	}
	return nil
}

func (p *alterParser) drop() ([]lake.SchemaOperation, error) {
	if err := p.noConstraint("DROP"); err != nil {
		return nil, err
	}
	p.take("column")
	op := lake.SchemaOperation{Op: lake.OpDropColumn, Unless: p.take("if", "exists")}
	var err error
	if op.Name, err = p.column(); err != nil {
		return nil, err
	}
	if !p.take("restrict") { // there is nothing that depends on a column
		p.take("cascade")
	}
	return []lake.SchemaOperation{op}, nil
}

// alter reads what ALTER COLUMN does.
func (p *alterParser) alter() ([]lake.SchemaOperation, error) {
	p.take("column")
	name, err := p.column()
	if err != nil {
		return nil, err
	}
	op := lake.SchemaOperation{Name: name}
	switch {
	case p.take("set", "not", "null"):
		op.Op = lake.OpSetNotNull
	case p.take("drop", "not", "null"):
		op.Op = lake.OpDropNotNull
	case p.take("set", "data", "type"), p.take("type"):
		op.Op = lake.OpSetType
		if op.Type, err = p.typeBefore("ALTER COLUMN " + name); err != nil {
			return nil, err
		}
		if p.now().text == "using" {
			return nil, lake.Errorf(lake.CodeUnsupported, "ALTER COLUMN %s: USING is not served: a type becomes wider, and values stay", name).
				WithHint("add a column, fill it by UPDATE, drop the old one and rename the new")
		}
	case p.take("set", "default"), p.take("drop", "default"):
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
	from := p.at
	for !p.ended() && (p.now().depth > 0 || p.now().text != "," && !typeEnds[p.now().text]) {
		p.at++
	}
	if p.at == from {
		return lake.Type{}, p.expected("a type")
	}
	t, err := lake.ParseType(p.sql[p.words[from].start:p.words[p.at-1].end])
	return t, lake.Step(where, err)
}

// column reads the name of a column.
func (p *alterParser) column() (string, error) {
	return p.name("the name of a column")
}

func (p *alterParser) name(what string) (string, error) {
	w := p.now()
	switch {
	case p.ended():
		return "", p.expected(what)
	case p.sql[w.start] == '"':
		p.at++
		return sqltext.Unquote(p.sql[w.start:w.end]), nil
	case isAlterName(w.text) && !sqltext.Reserved[w.text] && !sqltext.TypeFunction[w.text]:
		p.at++
		return p.sql[w.start:w.end], nil
	}
	return "", p.expected(what)
}

// isAlterName says whether a word without quotes is made as names are.
func isAlterName(w string) bool {
	c := w[0]
	return c == '_' || c >= 'a' && c <= 'z' || c >= 0x80
}

// dataset reads a name of one part, in a namespace, or of two.
func (p *alterParser) dataset(namespace string) (lake.Name, error) {
	first, err := p.name("the name of a dataset")
	if err != nil {
		return lake.Name{}, err
	}
	parts := []string{namespace, first}
	if p.take(".") {
		second, err := p.name("the name of a dataset")
		if err != nil {
			return lake.Name{}, err
		}
		parts = []string{first, second}
	}
	if strings.Contains(parts[0]+parts[1], ".") || p.now().text == "." {
		return lake.Name{}, lake.Errorf(lake.CodeSQLRefused, "ALTER TABLE: names of datasets have at most two parts")
	}
	name, err := lake.ParseName(parts[0] + "." + parts[1])
	if err != nil {
		return lake.Name{}, lake.Step("ALTER TABLE", err)
	}
	return name, nil
}

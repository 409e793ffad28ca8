package sqlddl

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// create reads what follows CREATE.
func (p *parser) create() (*Statement, error) {
	if p.Take("or", "replace") {
		return nil, refused("CREATE OR REPLACE is not served").
			WithHint("DROP TABLE IF EXISTS and then CREATE TABLE; an import with mode=replace puts new rows into a dataset in one step")
	}
	if p.Now().In(sqltext.WordSet("temp temporary local global unlogged")) {
		return nil, refused("CREATE %s TABLE is not served", strings.ToUpper(p.Now().Word)).WithHint("WITH names a query within one statement; a dataset is there for all")
	}
	if !p.Take("table") {
		return nil, p.noSuchThing("create")
	}
	s := &Statement{Verb: Create, IfNotExists: p.Take("if", "not", "exists")}
	var err error
	if s.Target, err = p.dataset(); err != nil {
		return nil, err
	}
	elements := p.Now().Is("(")
	if elements {
		close := p.Closer(p.At)
		of := p.typed
		if close+1 < len(p.Toks) && p.Toks[close+1].Is("as") {
			of = p.named
		}
		if err := p.elements(s, of); err != nil {
			return nil, err
		}
	}
	switch {
	case p.Take("as"):
		return s, p.query(s)
	case !elements:
		return nil, p.expected("a list of columns in parentheses, or AS and a query,")
	case len(s.Columns) == 0:
		return nil, invalid("the dataset has no column")
	}
	return s, p.end()
}

// noSuchThing refuses what a lake has not.
func (p *parser) noSuchThing(verb string) error {
	t := p.Now()
	what := strings.ToUpper(t.Word)
	e := refused("%s %s is not served", strings.ToUpper(verb), what)
	switch t.Word {
	case "schema", "database":
		return e.WithHint("a namespace is there as long as a dataset is in it: CREATE TABLE namespace.name makes both")
	case "view", "macro", "function", "recursive":
		return e.WithHint("WITH names a query within one statement; CREATE TABLE … AS keeps its rows")
	case "index", "unique":
		return e.WithHint("the primary key of a dataset is its index")
	case "sequence", "type", "secret", "persistent", "trigger", "role", "user":
		return e.WithHint("a lake has datasets alone: CREATE TABLE, DROP TABLE")
	}
	return p.expected("TABLE")
}

// elements reads the list of columns and constraints; column reads one column.
func (p *parser) elements(s *Statement, column func(*Statement) error) error {
	for p.At++; ; {
		var err error
		switch t := p.Now(); {
		case t.Is("primary"), t.Is("constraint"):
			err = p.tableKey(s)
		case t.Is("unique"), t.Is("check"), t.Is("foreign"):
			err = p.noConstraint()
		case t.Is("like"):
			err = refused("CREATE TABLE (LIKE …) is not served").WithHint("CREATE TABLE name AS SELECT * FROM other LIMIT 0")
		default:
			err = column(s)
		}
		if err != nil {
			return err
		}
		if p.Take(")") {
			return nil
		}
		if !p.Take(",") {
			return p.expected("a comma or a )")
		}
	}
}

// tableKey reads [CONSTRAINT name] PRIMARY KEY (a, b). The name means nothing.
func (p *parser) tableKey(s *Statement) error {
	if p.Take("constraint") {
		if _, err := p.name("the name of a constraint"); err != nil {
			return err
		}
	}
	if !p.Take("primary", "key") {
		return p.noConstraint()
	}
	names, err := p.names("a column")
	if err != nil {
		return err
	}
	return s.key(names...)
}

// key sets the primary key, once.
func (s *Statement) key(names ...string) error {
	if s.Key != nil {
		return invalid("there are two primary keys").WithHint("PRIMARY KEY (a, b) is one of two columns")
	}
	s.Key = names
	return nil
}

// noConstraint refuses constraints that a dataset has not.
func (p *parser) noConstraint() error {
	t := p.Now()
	e := lake.Errorf(lake.CodeUnsupported, "a dataset has no %s", strings.ToUpper(t.Word))
	switch t.Word {
	case "default", "generated", "as", "using":
		return e.WithHint("columns have no default values: INSERT says each value, and what is not said is NULL")
	case "unique", "check", "references", "foreign", "collate", "constraint":
		return e.WithHint("a dataset knows NOT NULL and PRIMARY KEY")
	}
	return p.expected("NOT NULL, PRIMARY KEY, a comma or a )")
}

// afterType are words that end a type.
var afterType = sqltext.WordSet("not null primary unique check default references constraint generated collate as using")

// typed reads `name TYPE [NOT NULL] [PRIMARY KEY]`.
func (p *parser) typed(s *Statement) error {
	depth := p.Now().Depth
	name, err := p.name("the name of a column")
	if err != nil {
		return err
	}
	var spelled strings.Builder // without comments
	for !p.Ended() {
		t := p.Now()
		if t.Depth < depth || t.Depth == depth && (t.Is(",") || t.In(afterType)) {
			break
		}
		if p.Toks[p.At-1].End < t.Start {
			spelled.WriteByte(' ')
		}
		spelled.WriteString(p.SQL[t.Start:t.End])
		p.At++
	}
	if spelled.Len() == 0 {
		return p.expected("the type of column " + name)
	}
	typ, err := lake.ParseType(strings.TrimSpace(spelled.String()))
	if err != nil {
		return lake.Step("column "+name, err)
	}
	c := Column{Name: name, Type: typ, Nullable: true}
	inKey := false
	for {
		switch {
		case p.Take("not", "null"):
			c.Nullable = false
		case p.Take("null"):
		case p.Take("primary", "key"):
			if err := s.key(name); err != nil {
				return err
			}
			inKey = true
		case p.Now().Is(",") || p.Now().Is(")"):
			c.Nullable = c.Nullable && !inKey
			s.Columns = append(s.Columns, c)
			return nil
		default:
			return p.noConstraint()
		}
	}
}

// named reads a column of a CREATE TABLE AS: `name [PRIMARY KEY]`.
func (p *parser) named(s *Statement) error {
	name, err := p.name("the name of a column")
	if err != nil {
		return err
	}
	if p.Take("primary", "key") {
		if err := s.key(name); err != nil {
			return err
		}
	}
	if !p.Now().Is(",") && !p.Now().Is(")") {
		return invalid("column %s: a comma or a ) was expected before %s", name, p.Found()).
			WithHint("with AS a query the types are those of the query: cast there")
	}
	s.Columns = append(s.Columns, Column{Name: name, Nullable: true})
	return nil
}

var queryWords = sqltext.WordSet("select from with values table pivot unpivot pivot_wider pivot_longer")

// query takes the rest as the query of CREATE TABLE AS. Its rows give the dataset its
// columns; what the query may do is the gate's to say.
func (p *parser) query(s *Statement) error {
	if !p.Now().In(queryWords) && !p.Now().Is("(") {
		return p.expected("a query")
	}
	last := p.Toks[len(p.Toks)-1]
	if n := len(p.Toks); n > 2 && last.Is("data") && last.Depth == 0 && (p.Toks[n-2].Is("with") || p.Toks[n-2].Is("no")) {
		return refused("WITH [NO] DATA is not served").WithHint("LIMIT 0 makes an empty dataset")
	}
	s.Query = p.SQL[p.Now().Start:last.End]
	return nil
}

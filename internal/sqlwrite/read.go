package sqlwrite

import (
	"fmt"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// Read is the SELECT that gives what a statement changes. Its columns are those of the
// dataset, in their order, and where Placed says so lake.PlaceColumn behind them, or for
// DELETE those of the key; then, where Mixed says so,
// OpColumn; then those of RETURNING; then, where Flagged says so, FlagColumn.
type Read struct {
	SQL      string
	Deletes  bool
	Mixed    bool
	Returned int // columns of RETURNING
	Flagged  bool
	// Placed says that the dataset has no key: rows are told by their places, which are
	// the key here. SQL may run only for who may name lake.PlacedVersion of the target.
	Placed bool
	// AddedBytes are those of SQL that did not come with the statement.
	AddedBytes int
}

// FlagColumn is the name of the column of flags, an INTEGER.
const FlagColumn = lake.ReservedColumnPrefix + "flag"

// The flags.
const (
	FlagNone      = iota
	FlagExists    // the key is one of the dataset already
	FlagTwice     // another row of the statement has the key
	FlagAmbiguous // UPDATE … FROM or MERGE gives the row several new values
	FlagFailed    // it met an arm THEN ERROR
)

// NewRead makes the SELECT of a statement for its target as it stands. It fails with
// CodeSQLInvalid where columns do not fit the schema, CodeNoPrimaryKey and
// CodeUnsupported.
func NewRead(s *Statement, name lake.Name, schema lake.Schema) (Read, error) {
	c := &composer{s: s, name: name, schema: schema, table: name.SQL()}
	c.target = c.table
	if s.Alias != "" {
		c.target = lake.QuoteIdent(s.Alias)
	}
	if !schema.Keyed() && s.OnConflict != nil {
		return Read{}, lake.Errorf(lake.CodeNoPrimaryKey, "%s has no primary key, and so no ON CONFLICT", name).
			WithHint("MERGE can say which rows are the same; INSERT without ON CONFLICT appends rows")
	}
	f, err := found{}, error(nil)
	if !schema.Keyed() && s.Verb != Insert {
		err = c.place()
	}
	if err != nil {
		return Read{}, err
	}
	switch s.Verb {
	case Insert:
		f, err = c.insert()
	case Update:
		f, err = c.update()
	case Merge:
		f, err = c.merge()
	default:
		f, err = c.delete()
	}
	if err == nil && (f.mixed || f.flagged) {
		err = c.checkReturned()
	}
	if err != nil {
		return Read{}, err
	}
	return c.read(f), nil
}

// found is the query of the rows that a statement changes: queries of ours for WITH, and
// the query itself, whose columns are those of the dataset by their names, or of DELETE
// without RETURNING those of the key, and FlagColumn where it is flagged.
type found struct {
	with             []string
	sql              string
	deletes, flagged bool
	mixed            bool // it has OpColumn
}

// read makes the Read of what was found.
func (c *composer) read(f found) Read {
	r := Read{SQL: c.with(f.with...) + f.sql, Deletes: f.deletes, Mixed: f.mixed, Flagged: f.flagged, Returned: c.outputs(), Placed: c.placed}
	if r.Returned > 0 || f.mixed {
		list := c.changed(f)
		if r.Returned > 0 {
			list += ", " + c.returned()
		}
		if f.flagged {
			list += ", " + FlagColumn
		}
		r.SQL = c.with(append(f.with, own("changed")+" AS ("+f.sql+"\n)")...) + "SELECT " + list + "\nFROM " + own("changed") + " AS " + c.row()
	}
	r.AddedBytes = max(0, len(r.SQL)-c.s.size())
	return r
}

// changed lists the columns of the change of a row; those that a delete does not have
// are null as far as they may be.
func (c *composer) changed(f found) string {
	named := func(i int) string { return c.row() + "." + c.quoted(i) }
	switch {
	case f.deletes:
		return c.keys(", ", func(_, i int) string { return named(i) })
	case !f.mixed:
		return c.all(named)
	}
	op := c.row() + "." + OpColumn
	return c.all(func(i int) string {
		if slices.Contains(c.schema.KeyIndexes(), i) || !c.schema.Columns[i].Nullable {
			return named(i)
		}
		return "CASE WHEN " + op + " = " + fmt.Sprint(OpUpsert) + " THEN " + named(i) + " END AS " + c.quoted(i)
	}) + ", " + op
}

// size is the bytes of a statement's pieces.
func (s *Statement) size() int {
	n := len(s.With) + len(s.Source) + len(s.From) + len(s.Where)
	for _, row := range s.Values {
		for _, cell := range row {
			n += len(cell)
		}
	}
	set := s.Set
	if s.OnConflict != nil {
		n += len(s.OnConflict.Where)
		set = s.OnConflict.Set
	}
	for _, a := range set {
		n += len(a.Expr)
	}
	for _, o := range s.Returning {
		n += len(o.Expr)
	}
	if m := s.Merge; m != nil {
		n += len(m.Source) + len(m.On)
		for _, a := range m.Arms {
			n += len(a.And) + len(a.Message)
			for _, cell := range a.Values {
				n += len(cell)
			}
			for _, set := range a.Set {
				n += len(set.Expr)
			}
		}
	}
	return n
}

// composer makes the Read of one statement. Parameters without a number are counted in
// the order of the text, so every piece stands once, in the order of the statement.
type composer struct {
	s      *Statement
	name   lake.Name
	schema lake.Schema
	table  string // the target in FROM
	target string // and before its columns
	// placed says that the target has no key: its schema is lake.Schema.Placed.
	placed bool
}

// own is the name of a part of a Read.
func own(what string, n ...int) string {
	for _, i := range n {
		what += fmt.Sprint(i)
	}
	return lake.ReservedColumnPrefix + what
}

func (c *composer) quoted(i int) string { return lake.QuoteIdent(c.schema.Columns[i].Name) }

// all lists what of gives for each column.
func (c *composer) all(of func(i int) string) string {
	out := make([]string, len(c.schema.Columns))
	for i := range out {
		out[i] = of(i)
	}
	return strings.Join(out, ", ")
}

// keys joins what of gives for each key column.
func (c *composer) keys(sep string, of func(k, i int) string) string {
	var out []string
	for k, i := range c.schema.KeyIndexes() {
		out = append(out, of(k, i))
	}
	return strings.Join(out, sep)
}

// cast is a piece as a value of a column. The line's end closes a comment in it.
func (c *composer) cast(expr string, i int) string {
	return "CAST((" + expr + "\n) AS " + c.schema.Columns[i].Type.SQL() + ")"
}

func (c *composer) nothing(i int) string { return "NULL::" + c.schema.Columns[i].Type.SQL() }

// tableAs is the target in FROM, under its alias.
func (c *composer) tableAs() string {
	if c.placed {
		return c.table + " AS " + c.target + " AT (VERSION => " + lake.QuoteString(lake.PlacedVersion) + ")"
	}
	if c.s.Alias == "" {
		return c.table
	}
	return c.table + " AS " + c.target
}

func where(piece string) string {
	if piece == "" {
		return ""
	}
	return " WHERE (" + piece + "\n)"
}

// with is the statement's WITH list with more behind it.
func (c *composer) with(more ...string) string {
	all, first := strings.Join(more, ",\n"), c.s.With
	switch {
	case first == "" && all == "":
		return ""
	case first == "":
		return "WITH " + all + "\n"
	case all == "":
		return first + "\n"
	}
	return first + ",\n" + all + "\n"
}

// column finds a column that a statement names.
func (c *composer) column(name string) (int, error) {
	i, ok := c.schema.Column(name)
	if ok {
		return i, nil
	}
	names := make([]string, c.width())
	for i, col := range c.schema.Columns[:c.width()] {
		names[i] = col.Name
	}
	return 0, invalid("%s has no column %q", c.name, name).WithHint("its columns are %s", strings.Join(names, ", "))
}

// columns finds the columns that a statement lists, each once.
func (c *composer) columns(names []string) ([]int, error) {
	var out []int
	for _, name := range names {
		i, err := c.column(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, i) {
			return nil, invalid("the column %q comes twice", name)
		}
		out = append(out, i)
	}
	return out, nil
}

// assigned finds the columns of SET; those of the key are refused where they have to
// stay.
func (c *composer) assigned(set []Assignment, keys bool) ([]int, error) {
	names := make([]string, len(set))
	for k, a := range set {
		names[k] = a.Column
	}
	at, err := c.columns(names)
	if err != nil {
		return nil, err
	}
	for _, i := range at {
		if !keys && slices.Contains(c.schema.KeyIndexes(), i) {
			return nil, unsupported("DO UPDATE SET of %s, a column of the primary key, is not served", c.schema.Columns[i].Name).
				WithHint("UPDATE can give a row another key")
		}
	}
	return at, nil
}

// newRow lists the values of a row after SET, named by own: first the assigned ones, in
// the order of the statement, then the others as they are.
func (c *composer) newRow(set []Assignment, at []int) string {
	var out []string
	for k, i := range at {
		out = append(out, c.cast(set[k].Expr, i)+" AS "+own("c", i))
	}
	for i := range c.schema.Columns {
		if !slices.Contains(at, i) {
			out = append(out, c.target+"."+c.quoted(i)+" AS "+own("c", i))
		}
	}
	return strings.Join(out, ", ")
}

func (c *composer) update() (found, error) {
	at, err := c.assigned(c.s.Set, true)
	if err != nil {
		return found{}, err
	}
	if c.hasKey(at) {
		return c.move(at), nil
	}
	columns := c.all(func(i int) string { return own("c", i) + " AS " + c.quoted(i) })
	from, distinct, flag := c.tableAs(), "", ""
	if c.s.From != "" {
		// The target comes last, so that nothing in FROM can refer to it.
		from, distinct = c.s.From+"\n, "+from, "DISTINCT "
		flag = fmt.Sprintf(", CASE WHEN count(*) OVER (PARTITION BY %s) > 1 THEN %d ELSE %d END AS %s",
			c.keys(", ", func(_, i int) string { return own("c", i) }), FlagAmbiguous, FlagNone, FlagColumn)
	}
	sql := "SELECT " + columns + flag + " FROM (SELECT " + distinct + c.newRow(c.s.Set, at) + "\nFROM " + from + where(c.s.Where) + ") AS " + own("rows")
	return found{sql: sql, flagged: flag != ""}, nil
}

func (c *composer) delete() (found, error) {
	from, distinct := c.tableAs(), ""
	if c.s.From != "" {
		from, distinct = c.s.From+"\n, "+from, "DISTINCT "
	}
	named := func(i int) string { return c.target + "." + c.quoted(i) + " AS " + c.quoted(i) }
	columns := c.keys(", ", func(_, i int) string { return named(i) })
	if c.s.Returning != nil {
		columns = c.all(named)
	}
	return found{sql: "SELECT " + distinct + columns + "\nFROM " + from + where(c.s.Where), deletes: true}, nil
}

package sqlwrite

import (
	"fmt"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Merging is what stands behind MERGE INTO target.
type Merging struct {
	Source      string   // a FROM of its own
	SourceAlias string   // the name of its only relation; "" where it has several, or none
	On          string   // "" with Using
	Using       []string // columns of both, unquoted
	Arms        []Arm    // the first that fits does it
}

// Match says of which rows an arm is.
type Match string

// The kinds of rows: pairs, rows of the source alone, rows of the target alone.
const (
	Matched  Match = "WHEN MATCHED"
	ByTarget Match = "WHEN NOT MATCHED"
	BySource Match = "WHEN NOT MATCHED BY SOURCE"
)

// Arm is one WHEN … THEN ….
type Arm struct {
	When Match
	And  string // "" for always
	Do   Verb   // "" for nothing
	Fail bool   // ERROR
	// Message is of ERROR; "" for none.
	Message string
	Set     []Assignment
	Columns []string // of INSERT, unquoted; nil: all, in their order
	Values  Row      // of INSERT; nil with Whole and for DEFAULT VALUES
	// Whole says that UPDATE or INSERT takes the columns of the source, by their places
	// or by their names: see NamesRead.
	Whole, ByName bool
}

// merge reads what follows MERGE.
func (p *parser) merge(s *Statement) (err error) {
	if !p.Take("into") {
		return p.expected("INTO")
	}
	if s.Target, err = p.dataset(); err != nil {
		return err
	}
	if p.Take("as") || !p.Ended() && !p.Now().Is("using") {
		if s.Alias, err = p.name("USING or an alias"); err != nil {
			return err
		}
	}
	if !p.Take("using") {
		return p.expected("USING")
	}
	m := &Merging{}
	s.Merge = m
	when := p.when(p.At)
	join := p.joinAt(when)
	if join < 0 {
		p.At = when
		return p.expected("ON or USING")
	}
	if m.Source, err = p.oneRelation(join); err != nil {
		return err
	}
	m.SourceAlias = p.aliasOf(p.At, join)
	p.sourceEnd, p.At = join, join
	if p.Take("on") {
		m.On, err = p.expression(p.At, when)
		p.At = when
	} else if p.At++; !p.Now().Is("(") {
		return p.expected("columns in parentheses")
	} else {
		m.Using, err = p.names("the name of a column")
	}
	if err == nil && p.At != when {
		err = p.expected("WHEN")
	}
	if err != nil {
		return err
	}
	return p.arms(m)
}

// oneRelation is the source, up to end: one FROM's part, without commas.
func (p *parser) oneRelation(end int) (string, error) {
	for i := p.At; i < end; i++ {
		if p.Toks[i].Depth == 0 && p.Toks[i].Is(",") {
			p.At = i
			return "", p.expected("ON or USING")
		}
	}
	return p.relations(end)
}

// when is the first WHEN [NOT] MATCHED from a place on that is of no CASE.
func (p *parser) when(from int) int {
	return p.outside(from, func(i int) bool {
		q := parser{Cursor: sqltext.Cursor{SQL: p.SQL, Toks: p.Toks, At: i}}
		return q.Take("when") && (q.Take("matched") || q.Take("not", "matched"))
	})
}

// outside finds the first place outside of all brackets and of all CASE … END.
func (p *parser) outside(from int, stop func(i int) bool) int {
	cases := 0
	for i := from; i < len(p.Toks); i++ {
		t := p.Toks[i]
		if t.Depth != 0 {
			continue
		}
		label := i > 0 && (p.Toks[i-1].Is("as") || p.Toks[i-1].Is("."))
		switch {
		case t.Is("case") && !label:
			cases++
		case t.Is("end") && !label:
			cases--
		case cases <= 0 && stop(i):
			return i
		}
	}
	return len(p.Toks)
}

// joinAt is the place of the ON or USING that ends the source: the last before WHEN.
func (p *parser) joinAt(when int) int {
	for i := when - 1; i > p.At; i-- {
		if t := p.Toks[i]; t.Depth == 0 && (t.Is("on") || t.Is("using")) && !p.Toks[i-1].Is(".") {
			return i
		}
	}
	return -1
}

// aliasOf is the name of a relation that is alone in a FROM: name, (query) or
// function(…), and an alias with or without a list of columns; "" of anything else.
func (p *parser) aliasOf(from, to int) string {
	q := &parser{Cursor: sqltext.Cursor{SQL: p.SQL, Toks: p.Toks[:to], At: from}}
	alias := ""
	if q.Now().Is("(") {
		q.At = q.Closer(q.At) + 1
	} else {
		for {
			part, err := q.name("")
			if err != nil {
				return ""
			}
			if alias = part; !q.Take(".") {
				break
			}
		}
		if q.Now().Is("(") {
			q.At = q.Closer(q.At) + 1
		}
	}
	if q.Ended() {
		return alias
	}
	q.Take("as")
	alias, err := q.name("")
	if err != nil {
		return ""
	}
	if q.Now().Is("(") {
		q.At = q.Closer(q.At) + 1
	}
	if !q.Ended() {
		return ""
	}
	return alias
}

// arms reads all WHEN … THEN …, each by a parser that ends where the next begins.
func (p *parser) arms(m *Merging) error {
	always := map[Match]bool{}
	for p.At < len(p.Toks) {
		end := p.when(p.At + 1)
		q := &parser{Cursor: sqltext.Cursor{SQL: p.SQL, Toks: p.Toks[:end], At: p.At}}
		arm, err := q.arm()
		if err == nil {
			err = q.oneEach(string(arm.When), p.At, end)
		}
		if err != nil {
			return err
		}
		if always[arm.When] {
			return invalid("an arm %s behind one without AND is never reached", arm.When)
		}
		always[arm.When] = arm.And == ""
		m.Arms = append(m.Arms, arm)
		p.At = end
	}
	if m.Arms == nil {
		return p.expected("WHEN MATCHED or WHEN NOT MATCHED")
	}
	return nil
}

func (p *parser) arm() (a Arm, err error) {
	p.Take("when")
	switch a.When = ByTarget; {
	case p.Take("matched"):
		a.When = Matched
	case p.Take("not", "matched", "by", "source"):
		a.When = BySource
	case p.Take("not", "matched", "by", "target"):
	default:
		p.Take("not", "matched")
	}
	then := p.outside(p.At, func(i int) bool { return p.Toks[i].Is("then") })
	if p.Take("and") {
		if a.And, err = p.expression(p.At, then); err != nil {
			return a, err
		}
		p.At = then
	}
	if !p.Take("then") {
		return a, p.expected("THEN")
	}
	if err = p.action(&a); err == nil && !p.Ended() {
		err = p.expected("WHEN or the end of the statement")
	}
	if err == nil && a.When == ByTarget && (a.Do == Update || a.Do == Delete) {
		err = invalid("%s has no row to %s", ByTarget, a.Do).WithHint("WHEN MATCHED and WHEN NOT MATCHED BY SOURCE have one")
	}
	return a, err
}

// action reads what an arm does.
func (p *parser) action(a *Arm) (err error) {
	switch {
	case p.Take("do", "nothing"):
	case p.Take("delete"):
		a.Do = Delete
	case p.Take("error"):
		if a.Fail = true; !p.Ended() {
			a.Message, err = p.rest()
		}
	case p.Take("update"):
		a.Do = Update
		switch {
		case p.Take("set", "*"), p.Take("by", "position"):
			a.Whole = true
		case p.Take("by", "name"):
			a.Whole, a.ByName = true, true
		case p.Take("set"):
			a.Set, err = p.assignments()
		default:
			a.Whole = true
		}
	case p.Take("insert"):
		a.Do = Insert
		err = p.insertArm(a)
	default:
		return p.expected("UPDATE, DELETE, INSERT, DO NOTHING or ERROR")
	}
	return err
}

// insertArm reads what follows INSERT in an arm.
func (p *parser) insertArm(a *Arm) (err error) {
	if p.Take("default", "values") {
		return nil
	}
	if p.Now().Is("(") {
		if a.Columns, err = p.names("the name of a column"); err != nil {
			return err
		}
	}
	if p.Take("values") {
		if !p.Now().Is("(") {
			return p.expected("one row in parentheses")
		}
		closer := p.Closer(p.At)
		a.Values, err = p.cells(p.At+1, closer)
		p.At = closer + 1
		return err
	}
	if a.Columns != nil {
		return p.expected("VALUES")
	}
	a.Whole = true
	if a.ByName = p.Take("by", "name"); !a.ByName {
		p.Take("by", "position")
	}
	p.Take("*")
	return nil
}

// numbered gives the parameters of a text that are written ? their numbers, so that
// their places in the Read do not matter.
func numbered(sql string, toks []sqltext.Token) (string, error) {
	var b strings.Builder
	n, from, given := 0, 0, false
	for _, t := range toks {
		switch {
		case t.Is("$"):
			given = true
		case t.Is("?"):
			n++
			fmt.Fprintf(&b, "%s$%d ", sql[from:t.Start], n)
			from = t.End
		}
	}
	if n > 0 && given {
		return "", invalid("parameters are written ? or $1, not both")
	}
	return b.String() + sql[from:], nil
}

// parameters are the parameters among tokens, as they are written: ?, $1 and $name.
func parameters(sql string, toks []sqltext.Token) []string {
	var out []string
	for _, t := range toks {
		switch end := t.End; {
		case t.Is("?"):
			out = append(out, "?")
		case t.Is("$"):
			for end < len(sql) && (sql[end] == '_' || sql[end] >= '0' && sql[end] <= '9' || sql[end]|0x20 >= 'a' && sql[end]|0x20 <= 'z' || sql[end] >= 0x80) {
				end++
			}
			out = append(out, sql[t.Start:end])
		}
	}
	return out
}

// NeedsNames says whether a Read can be made only with the names of the columns that the
// statement's source has: see NamesRead.
func (s *Statement) NeedsNames() bool {
	if s.Merge == nil {
		return s.ByName
	}
	for _, a := range s.Merge.Arms {
		if a.Whole {
			return true
		}
	}
	return false
}

// Named is the statement with the names of its source's columns told: as one that lists
// them.
func (s *Statement) Named(names []string, schema lake.Schema) (*Statement, error) {
	out := *s
	if s.Merge == nil {
		out.Columns, out.ByName = names, false
		return &out, nil
	}
	m := *s.Merge
	m.Arms = append([]Arm(nil), s.Merge.Arms...)
	out.Merge = &m
	for i := range m.Arms {
		if err := m.Arms[i].spell(m.SourceAlias, names, schema); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// spell writes an arm that takes the whole source as one that names its columns.
func (a *Arm) spell(alias string, names []string, schema lake.Schema) error {
	if !a.Whole {
		return nil
	}
	a.Whole = false
	if alias == "" {
		return unsupported("%s THEN %s of all columns needs a source of one dataset or query that has a name", a.When, strings.ToUpper(string(a.Do))).
			WithHint("USING (SELECT …) AS name, or list the columns")
	}
	if !a.ByName && len(names) != len(schema.Columns) {
		return invalid("the source has %d columns, and the dataset %d", len(names), len(schema.Columns)).
			WithHint("list the columns, or say BY NAME")
	}
	for k, name := range names {
		to, value := name, lake.QuoteIdent(alias)+"."+lake.QuoteIdent(name)
		if !a.ByName {
			to = schema.Columns[k].Name
		}
		if a.Do == Update {
			a.Set = append(a.Set, Assignment{Column: to, Expr: value})
			continue
		}
		a.Columns, a.Values = append(a.Columns, to), append(a.Values, value)
	}
	return nil
}

package sqlwrite

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// insert reads what follows INSERT.
func (p *parser) insert(s *Statement) (err error) {
	replace := false
	if p.Take("or") {
		switch {
		case p.Take("replace"):
			s.OnConflict, replace = &OnConflict{Replace: true}, true
		case p.Take("ignore"):
			s.OnConflict = &OnConflict{}
		default:
			return p.expected("REPLACE or IGNORE")
		}
	}
	if !p.Take("into") {
		return p.expected("INTO")
	}
	if s.Target, err = p.dataset(); err != nil {
		return err
	}
	if p.Take("as") {
		if s.Alias, err = p.name("an alias"); err != nil {
			return err
		}
	}
	if p.Now().Is("(") && !startsQuery(p.Peek(1)) {
		if s.Columns, err = p.names("the name of a column"); err != nil {
			return err
		}
	}
	s.ByName = p.Take("by", "name")
	if s.ByName && s.Columns != nil || !s.ByName && p.Take("by", "position") && p.Now().Is("(") {
		return invalid("the statement lists columns and says BY").WithHint("INSERT INTO name (columns) SELECT …, or INSERT INTO name BY NAME SELECT …")
	}
	end, conflict := p.conflictAt()
	if err := p.source(s, end); err != nil {
		return err
	}
	p.sourceEnd = end
	if s.ByName && s.Source == "" {
		return invalid("BY NAME takes the names of a SELECT's columns, and VALUES has none")
	}
	if p.At = end; !conflict {
		return nil
	}
	if s.OnConflict != nil {
		what := "IGNORE"
		if replace {
			what = "REPLACE"
		}
		return invalid("the statement says INSERT OR %s and ON CONFLICT", what)
	}
	return p.onConflict(s)
}

// startsQuery says whether a query begins with the token.
func startsQuery(t sqltext.Token) bool { return t.In(queryWords) || t.Is("(") }

var queryWords = sqltext.WordSet("select from with values table pivot unpivot pivot_wider pivot_longer describe desc show summarize")

// conflictAt finds ON CONFLICT … DO. ON conflict may also be a column's name in a
// join: then no DO follows.
func (p *parser) conflictAt() (at int, ok bool) {
	do := len(p.Toks) - 1 // the last DO
	for do >= 0 && (p.Toks[do].Depth != 0 || !p.Toks[do].Is("do")) {
		do--
	}
	at = p.until(func(i int) bool {
		q := parser{Cursor: sqltext.Cursor{SQL: p.SQL, Toks: p.Toks, At: i}}
		if !q.Take("on", "conflict") {
			return false
		}
		if q.Now().Is("(") {
			q.At = q.Closer(q.At) + 1
		}
		return q.Now().Is("do") || q.Now().Is("where") && q.At < do || q.Take("on", "constraint")
	})
	return at, at < len(p.Toks)
}

// source reads the rows of INSERT, up to end.
func (p *parser) source(s *Statement, end int) error {
	switch {
	case p.Take("default", "values"):
		if p.At != end || s.Columns != nil {
			return p.expected("nothing but DEFAULT VALUES")
		}
		return nil
	case p.At >= end || !startsQuery(p.Now()):
		return p.expected("VALUES, a SELECT or DEFAULT VALUES")
	}
	rows, err := p.values(end)
	if err != nil {
		return err
	}
	if s.Values = rows; rows == nil {
		s.Source = p.piece(p.At, end)
	}
	return nil
}

// values reads VALUES (…), (…) up to end; nil where the source is another query.
func (p *parser) values(end int) ([]Row, error) {
	if !p.Now().Is("values") {
		return nil, nil
	}
	var out []Row
	for i := p.At + 1; i < end; {
		if !p.Toks[i].Is("(") || p.Toks[i].Depth != 0 {
			return nil, nil
		}
		closer := p.Closer(i)
		row, err := p.cells(i+1, closer)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
		if i = closer + 1; i < end {
			if !p.Toks[i].Is(",") || i+1 == end {
				return nil, nil
			}
			i++
		}
	}
	return out, nil
}

// cells reads the expressions of one row of VALUES.
func (p *parser) cells(from, to int) (Row, error) {
	var out Row
	for from <= to {
		end := from
		for end < to && (p.Toks[end].Depth != 1 || !p.Toks[end].Is(",")) {
			end++
		}
		if end == from {
			return nil, invalid("a value is missing in row of VALUES before %s", p.SQL[p.Toks[end].Start:p.Toks[end].End])
		}
		cell, err := p.exprOrDefault(from, end)
		if err != nil {
			return nil, err
		}
		out = append(out, cell)
		from = end + 1
	}
	return out, nil
}

// exprOrDefault is an expression, "NULL" for DEFAULT: columns have no default value.
func (p *parser) exprOrDefault(from, to int) (string, error) {
	if to == from+1 && p.Toks[from].Is("default") {
		return "NULL", nil
	}
	return p.expression(from, to)
}

// onConflict reads ON CONFLICT … DO ….
func (p *parser) onConflict(s *Statement) (err error) {
	p.At += 2
	c := &OnConflict{}
	s.OnConflict = c
	if p.Now().Is("(") {
		if c.Columns, err = p.names("the name of a key column"); err != nil {
			return err
		}
	}
	switch {
	case p.Now().Is("on") || p.Now().Is("where"):
		return unsupported("ON CONFLICT takes the names of the key columns alone").WithHint("ON CONFLICT (key columns) DO …")
	case p.Take("do", "nothing"):
	case p.Take("do", "update", "set"):
		if c.Set, err = p.assignments("where"); err != nil {
			return err
		}
		if p.Take("where") {
			c.Where, err = p.rest()
		}
		return err
	default:
		return p.expected("DO NOTHING or DO UPDATE SET")
	}
	if !p.Ended() {
		return p.expected("the end of the statement")
	}
	return nil
}

// changed reads what follows UPDATE, or DELETE.
func (p *parser) changed(s *Statement) (err error) {
	if s.Verb == Delete && !p.Take("from") {
		return p.expected("FROM")
	}
	if s.Target, err = p.dataset(); err != nil {
		return err
	}
	if p.Take("as") || !p.Ended() && !p.Now().In(afterTarget) {
		if s.Alias, err = p.name("SET, USING, WHERE or an alias"); err != nil {
			return err
		}
	}
	more := "using"
	if s.Verb == Update {
		if more = "from"; !p.Take("set") {
			return p.expected("SET")
		}
		if s.Set, err = p.assignments("from", "where"); err != nil {
			return err
		}
	}
	if p.Take(more) {
		end := p.until(func(i int) bool { return p.Toks[i].Is("where") })
		if s.From, err = p.relations(end); err != nil {
			return err
		}
		p.At = end
	}
	if p.Take("where") {
		s.Where, err = p.rest()
		return err
	}
	if !p.Ended() {
		return p.expected("the end of the statement")
	}
	return nil
}

var afterTarget = sqltext.WordSet("set using where from")

// assignments reads column = expression, … up to one of the words.
func (p *parser) assignments(stop ...string) ([]Assignment, error) {
	var out []Assignment
	for {
		if p.Now().Is("(") {
			several, err := p.assignSeveral()
			if err != nil {
				return nil, err
			}
			if out = append(out, several...); !p.Take(",") {
				return out, nil
			}
			continue
		}
		column, err := p.name("the name of a column")
		if err != nil {
			return nil, err
		}
		if !p.Take("=") {
			return nil, p.expected("= behind the name of a column, which has one part,")
		}
		end := p.until(func(i int) bool { return p.Toks[i].Is(",") || p.stops(i, stop) })
		expr, err := p.exprOrDefault(p.At, end)
		if err != nil {
			return nil, err
		}
		out = append(out, Assignment{Column: column, Expr: expr})
		if p.At = end; !p.Take(",") {
			return out, nil
		}
	}
}

// assignSeveral reads (column, …) = (expression, …).
func (p *parser) assignSeveral() ([]Assignment, error) {
	columns, err := p.names("the name of a column")
	if err != nil {
		return nil, err
	}
	if !p.Take("=") {
		return nil, p.expected("=")
	}
	p.Take("row")
	if !p.Now().Is("(") || startsQuery(p.Peek(1)) {
		return nil, unsupported("SET of several columns takes a list of as many expressions").WithHint("SET (a, b) = (x, y)")
	}
	closer := p.Closer(p.At)
	values, err := p.cells(p.At+1, closer)
	if err != nil {
		return nil, err
	}
	if len(values) != len(columns) {
		return nil, invalid("SET gives %d values for %d columns", len(values), len(columns))
	}
	out := make([]Assignment, len(columns))
	for i := range out {
		out[i] = Assignment{Column: columns[i], Expr: values[i]}
	}
	p.At = closer + 1
	return out, nil
}

// stops says whether one of the words stands at a place, and begins a clause there: in
// IS DISTINCT FROM it does not, nor as the part of a name.
func (p *parser) stops(at int, words []string) bool {
	for _, w := range words {
		if p.Toks[at].Is(w) && !(w == "from" && p.Toks[at-1].Is("distinct")) && !p.Toks[at-1].Is(".") {
			return true
		}
	}
	return false
}

// rest is an expression that is all that is left.
func (p *parser) rest() (string, error) {
	from := p.At
	p.At = len(p.Toks)
	return p.expression(from, p.At)
}

// relations is the text of FROM or USING, up to end. It stands in a FROM of ours: no
// word may end that one.
func (p *parser) relations(end int) (string, error) {
	if p.At >= end {
		return "", p.expected("a dataset or a query")
	}
	for i := p.At; i < end; i++ {
		if t := p.Toks[i]; t.Depth == 0 && t.In(endsFrom) && !(i > p.At && p.Toks[i-1].Is(".")) {
			return "", invalid("%s cannot stand here", strings.ToUpper(t.Word))
		}
	}
	if p.Toks[p.At].Is(",") || p.Toks[end-1].Is(",") {
		return "", invalid("a relation is missing beside a comma")
	}
	return p.piece(p.At, end), nil
}

var endsFrom = sqltext.WordSet("select from where group having order limit offset fetch for qualify window union intersect except returning set into")

// expression is the text of one expression: no list, no query without parentheses, no
// star, which stands for many, and no column by its number, which another FROM changes.
func (p *parser) expression(from, to int) (string, error) {
	if from >= to {
		p.At = from
		return "", p.expected("an expression")
	}
	if first := p.Toks[from]; first.In(queryWords) {
		return "", invalid("an expression was expected before %s", strings.ToUpper(first.Word)).WithHint("put a query in parentheses; a column of this name in quotes")
	}
	depth := p.Toks[from].Depth
	for i := from; i < to; i++ {
		t := p.Toks[i]
		prev := sqltext.Token{Kind: sqltext.Mark}
		if i > from {
			prev = p.Toks[i-1]
		}
		switch {
		case t.Is(",") && t.Depth == depth:
			p.At = i
			return "", p.expected("the end of the expression")
		case t.Is("(") && i+1 < to && p.Toks[i+1].In(queryWords):
			i = p.Closer(i) // a query may have what an expression may not
		case t.Is("*") && (i == from || prev.Is(",") || prev.Is(".") || prev.Is("(") && !p.call(i-1, from)):
			return "", invalid("a star stands for many columns, and one value was expected")
		case t.Is("#"):
			return "", lake.Errorf(lake.CodeSQLRefused, "a column by its number (#1)").WithHint("name the column")
		case t.Is("columns") && i+1 < to && p.Toks[i+1].Is("("):
			return "", lake.Errorf(lake.CodeSQLRefused, "COLUMNS(…) stands for many columns, and one value was expected")
		}
	}
	return p.piece(from, to), nil
}

// call says whether the parenthesis at a place opens the arguments of a function.
func (p *parser) call(open, from int) bool {
	return open > from && (p.Toks[open-1].Kind == sqltext.Word || p.Toks[open-1].Kind == sqltext.Quoted)
}

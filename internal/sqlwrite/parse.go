package sqlwrite

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// parser reads the tokens of one statement from the left.
type parser struct {
	sql  string
	toks []sqltext.Token // without the semicolon at the end
	at   int

	sourceEnd int // where the source of INSERT or MERGE ends
}

var verbs = sqltext.WordSet("insert update delete merge")

// Parse reads a statement. It gives nil where the text is none that changes rows:
// then the gate judges it. Errors: CodeSQLInvalid, CodeSQLRefused, CodeUnsupported.
func Parse(sql string) (*Statement, error) {
	if !mayWrite(sql) {
		return nil, nil
	}
	toks, err := tokens(sql)
	p := &parser{sql: sql, toks: toks}
	if err != nil {
		if first := sqltext.New(sql); first.Next() && !verbs[sqltext.Lower(first.Word)] {
			return nil, nil // EXPLAIN and WITH may begin a SELECT: its error is the gate's
		}
		return nil, err
	}
	s := &Statement{}
	explained := p.take("explain")
	if !p.with(s) || !p.now().In(verbs) {
		return nil, p.explainedOptions(explained)
	}
	s.Explain = explained
	if err := p.oneStatement(); err != nil {
		return nil, err
	}
	if s.Verb = Verb(p.now().Word); s.Verb == Merge {
		text, err := numbered(sql, toks)
		if err != nil {
			return nil, err
		}
		if text != sql {
			return Parse(text)
		}
	}
	return p.statement(s)
}

// statement reads the statement from its verb on.
func (p *parser) statement(s *Statement) (_ *Statement, err error) {
	all := p.toks
	outputs := p.cutReturning()
	switch p.at++; s.Verb {
	case Insert:
		err = p.insert(s)
	case Merge:
		err = p.merge(s)
	default:
		err = p.changed(s)
	}
	if err == nil && outputs != nil {
		s.Returning, err = outputs.outputs(s)
	}
	if err != nil {
		return nil, err
	}
	if p.sourceEnd > 0 {
		s.after = parameters(p.sql, all, p.sourceEnd)
	}
	return s, p.checkTarget(s)
}

// mayWrite says whether a text begins as a statement may that changes rows.
func mayWrite(sql string) bool {
	s := sqltext.New(sql)
	return s.Next() && (verbs[sqltext.Lower(s.Word)] || s.Is("with") || s.Is("explain"))
}

// explainedOptions refuses EXPLAIN with options of what changes rows.
func (p *parser) explainedOptions(explained bool) error {
	if !explained {
		return nil
	}
	at := p.at
	if p.now().Is("(") {
		p.at = p.closer(p.at) + 1
	} else if p.now().Is("analyze") || p.now().Is("analyse") {
		p.at++
	}
	if p.at > at && p.with(&Statement{}) && p.now().In(verbs) {
		return lake.Errorf(lake.CodeSQLRefused, "EXPLAIN with options of a statement that changes rows").
			WithHint("EXPLAIN alone says how many rows it would change, and changes none")
	}
	return nil
}

// oneStatement takes the semicolons off the end and refuses all others.
func (p *parser) oneStatement() error {
	for n := len(p.toks); n > 0 && p.toks[n-1].Is(";"); n-- {
		p.toks = p.toks[:n-1]
	}
	for _, t := range p.toks {
		if t.Is(";") {
			return lake.Errorf(lake.CodeSQLRefused, "more than one statement in one text").
				WithHint("send one statement at a time; each is all or nothing by itself")
		}
	}
	return nil
}

// now is the present token; at the end, one of no word.
func (p *parser) now() sqltext.Token { return p.peek(0) }

func (p *parser) peek(n int) sqltext.Token {
	if p.at+n < len(p.toks) {
		return p.toks[p.at+n]
	}
	return sqltext.Token{Kind: sqltext.Mark, Start: len(p.sql), End: len(p.sql)}
}

// take goes over the words if they come next.
func (p *parser) take(words ...string) bool {
	for i, w := range words {
		if !p.peek(i).Is(w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *parser) ended() bool { return p.at >= len(p.toks) }

// found tells what stands at the present token, for errors.
func (p *parser) found() string {
	if p.ended() {
		return "the end"
	}
	t := p.now()
	found := p.sql[t.Start:t.End]
	if len(found) > 40 {
		found = strings.ToValidUTF8(found[:40], "") + "…"
	}
	return found
}

func (p *parser) expected(what string) error {
	return invalid("%s was expected before %s", what, p.found())
}

// closer is the place of the bracket that closes the one at a place.
func (p *parser) closer(open int) int {
	depth := p.toks[open].Depth
	for i := open + 1; i < len(p.toks); i++ {
		if t := p.toks[i]; t.Depth == depth && t.Kind == sqltext.Mark && (t.Word == ")" || t.Word == "]" || t.Word == "}") {
			return i
		}
	}
	return len(p.toks) - 1 // brackets match: see tokens
}

// piece is the text of the tokens from a place to another, without the second.
func (p *parser) piece(from, to int) string {
	return p.sql[p.toks[from].Start:p.toks[to-1].End]
}

// until gives the first place from the present one on, in no brackets, at which stop
// says so; else the end.
func (p *parser) until(stop func(at int) bool) int {
	for i := p.at; i < len(p.toks); i++ {
		if p.toks[i].Depth == 0 && stop(i) {
			return i
		}
	}
	return len(p.toks)
}

// isName says whether a word without quotes can be a name where one is due: not SET and
// VALUES, which begin what follows it.
func isName(word string) bool {
	return !sqltext.Reserved[word] && !sqltext.TypeFunction[word] && word != "set" && word != "values"
}

// name reads a name.
func (p *parser) name(what string) (string, error) {
	t := p.now()
	switch {
	case t.Kind == sqltext.Quoted:
		p.at++
		return sqltext.Unquote(p.sql[t.Start:t.End]), nil
	case t.Kind == sqltext.Word && isName(t.Word):
		p.at++
		return p.sql[t.Start:t.End], nil
	}
	return "", p.expected(what)
}

// dataset reads the target's name, of one part or two.
func (p *parser) dataset() (lake.Name, error) {
	var parts []string
	for {
		part, err := p.name("the name of a dataset")
		if err != nil {
			return lake.Name{}, err
		}
		if parts = append(parts, part); !p.take(".") {
			break
		}
	}
	switch len(parts) {
	case 1:
		parts = []string{lake.DefaultNamespace, parts[0]}
	case 2:
	default:
		return lake.Name{}, lake.Errorf(lake.CodeSQLRefused, "the name %s: names of datasets have at most two parts", strings.Join(parts, "."))
	}
	if strings.ContainsAny(parts[0]+parts[1], ".") {
		return lake.Name{}, lake.Errorf(lake.CodeDatasetNotFound, "there is no dataset %q", strings.Join(parts, ".")).
			WithHint("SHOW TABLES lists the datasets")
	}
	name, err := lake.ParseName(parts[0] + "." + parts[1])
	if err != nil {
		return lake.Name{}, lake.Errorf(lake.CodeDatasetNotFound, "there is no dataset %q", strings.Join(parts, ".")).
			WithHint("SHOW TABLES lists the datasets")
	}
	return name, nil
}

// names reads a list of names in parentheses, the first of which is the present token.
func (p *parser) names(what string) ([]string, error) {
	p.at++
	var out []string
	for {
		one, err := p.name(what)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
		if p.take(")") {
			return out, nil
		}
		if !p.take(",") {
			return nil, p.expected("a comma or a )")
		}
	}
}

// with reads a leading WITH list. It is false where the text is none.
func (p *parser) with(s *Statement) bool {
	from := p.at
	if !p.take("with") {
		return true
	}
	p.take("recursive")
	for {
		if _, err := p.name("a name"); err != nil {
			return false
		}
		if p.now().Is("(") {
			p.at = p.closer(p.at) + 1
		}
		if p.take("using", "key") {
			if !p.now().Is("(") {
				return false
			}
			p.at = p.closer(p.at) + 1
		}
		if !p.take("as") {
			return false
		}
		p.take("not")
		p.take("materialized")
		if !p.now().Is("(") {
			return false
		}
		p.at = p.closer(p.at) + 1
		if !p.take(",") {
			break
		}
	}
	s.With = p.piece(from, p.at)
	return true
}

// checkTarget refuses a target that is also a name in the leading WITH: it would be
// two things in one statement.
func (p *parser) checkTarget(s *Statement) error {
	if s.With == "" {
		return nil
	}
	q := &parser{sql: p.sql, toks: p.toks}
	q.take("explain")
	q.take("with")
	q.take("recursive")
	for i := q.at; i < len(q.toks) && !q.toks[i].In(verbs); i++ {
		q.at = i
		if q.toks[i].Depth != 0 || q.toks[i].Kind != sqltext.Word && q.toks[i].Kind != sqltext.Quoted {
			continue
		}
		if name, err := q.name(""); err == nil && strings.EqualFold(name, s.Target.Dataset) {
			return lake.Errorf(lake.CodeSQLRefused, "%s is the target and a name in WITH", name).WithHint("give the query in WITH another name")
		}
	}
	return nil
}

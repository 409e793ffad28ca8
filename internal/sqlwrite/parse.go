package sqlwrite

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// parser reads the tokens of one statement from the left.
type parser struct {
	sqltext.Cursor // without the semicolon at the end

	sourceEnd int      // where the source of INSERT or MERGE ends
	common    []string // the names in the leading WITH
}

var verbs = sqltext.WordSet("insert update delete merge")

// Parse reads a statement. It gives nil where the text is none that changes rows:
// then the gate judges it. Errors: CodeSQLInvalid, CodeSQLRefused, CodeUnsupported.
func Parse(sql string) (*Statement, error) {
	if !mayWrite(sql) {
		return nil, nil
	}
	toks, err := tokens(sql)
	p := &parser{Cursor: sqltext.Cursor{SQL: sql, Toks: toks}}
	if err != nil {
		if first := sqltext.New(sql); first.Next() && !verbs[sqltext.Lower(first.Word)] {
			return nil, nil // EXPLAIN and WITH may begin a SELECT: its error is the gate's
		}
		return nil, err
	}
	s := &Statement{}
	explained := p.Take("explain")
	if !p.with(s) || !p.Now().In(verbs) {
		return nil, p.explainedOptions(explained)
	}
	s.Explain = explained
	if err := p.oneStatement(); err != nil {
		return nil, err
	}
	if s.Verb = Verb(p.Now().Word); s.Verb == Merge {
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
	all := p.Toks
	outputs := p.cutReturning()
	switch p.At++; s.Verb {
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
		s.after = parameters(p.SQL, all[p.sourceEnd:])
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
	at := p.At
	if p.Now().Is("(") {
		p.At = p.Closer(p.At) + 1
	} else if p.Now().Is("analyze") || p.Now().Is("analyse") {
		p.At++
	}
	if p.At > at && p.with(&Statement{}) && p.Now().In(verbs) {
		return lake.Errorf(lake.CodeSQLRefused, "EXPLAIN with options of a statement that changes rows").
			WithHint("EXPLAIN alone says how many rows it would change, and changes none")
	}
	return nil
}

// oneStatement takes the semicolons off the end and refuses all others.
func (p *parser) oneStatement() error {
	if p.TakeEnd() {
		return nil
	}
	return lake.Errorf(lake.CodeSQLRefused, "more than one statement in one text").
		WithHint("send one statement at a time, or BEGIN; …; COMMIT for all of them or none")
}

func (p *parser) expected(what string) error {
	return invalid("%s was expected before %s", what, p.Found())
}

// piece is the text of the tokens from a place to another, without the second.
func (p *parser) piece(from, to int) string {
	return p.SQL[p.Toks[from].Start:p.Toks[to-1].End]
}

// until gives the first place from the present one on, in no brackets, at which stop
// says so; else the end.
func (p *parser) until(stop func(at int) bool) int {
	for i := p.At; i < len(p.Toks); i++ {
		if p.Toks[i].Depth == 0 && stop(i) {
			return i
		}
	}
	return len(p.Toks)
}

// isName says whether a word without quotes can be a name where one is due.
func isName(word string) bool {
	return !sqltext.Reserved[word] && !sqltext.TypeFunction[word] && !beginsWhatFollows(word)
}

// beginsWhatFollows says whether a word that could be a name begins what follows one.
func beginsWhatFollows(word string) bool { return word == "set" || word == "values" }

// name reads a name.
func (p *parser) name(what string) (string, error) {
	if name, ok := p.TakeName(beginsWhatFollows); ok {
		return name, nil
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
		if parts = append(parts, part); !p.Take(".") {
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

// names reads a list of names in parentheses.
func (p *parser) names(what string) ([]string, error) {
	names, expected := p.TakeNames(what, beginsWhatFollows)
	if expected != "" {
		return nil, p.expected(expected)
	}
	return names, nil
}

// with reads a leading WITH list. It is false where the text is none.
func (p *parser) with(s *Statement) bool {
	from := p.At
	if !p.Take("with") {
		return true
	}
	p.Take("recursive")
	for {
		name, err := p.name("a name")
		if err != nil {
			return false
		}
		p.common = append(p.common, name)
		if p.Now().Is("(") {
			p.At = p.Closer(p.At) + 1
		}
		if p.Take("using", "key") {
			if !p.Now().Is("(") {
				return false
			}
			p.At = p.Closer(p.At) + 1
		}
		if !p.Take("as") {
			return false
		}
		p.Take("not")
		p.Take("materialized")
		if !p.Now().Is("(") {
			return false
		}
		p.At = p.Closer(p.At) + 1
		if !p.Take(",") {
			break
		}
	}
	s.With = p.piece(from, p.At)
	return true
}

// checkTarget refuses a target that is also a name in the leading WITH: it would be
// two things in one statement.
func (p *parser) checkTarget(s *Statement) error {
	for _, name := range p.common {
		if strings.EqualFold(name, s.Target.Dataset) {
			return lake.Errorf(lake.CodeSQLRefused, "%s is the target and a name in WITH", name).WithHint("give the query in WITH another name")
		}
	}
	return nil
}

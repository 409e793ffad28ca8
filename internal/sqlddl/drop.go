package sqlddl

// drop reads what follows DROP.
func (p *parser) drop() (*Statement, error) {
	if !p.Take("table") {
		return nil, p.noSuchThing("drop")
	}
	s := &Statement{Verb: Drop, IfExists: p.Take("if", "exists")}
	var err error
	if s.Target, err = p.dataset(); err != nil {
		return nil, err
	}
	if p.Now().Is(",") {
		return nil, refused("DROP of several datasets in one statement is not served").WithHint("drop them one after the other")
	}
	// Nothing depends on a dataset: both mean the same.
	if !p.Take("cascade") {
		p.Take("restrict")
	}
	return s, p.end()
}

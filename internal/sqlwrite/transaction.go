package sqlwrite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Transaction is BEGIN; statements; COMMIT in one text.
type Transaction struct {
	Parts    []TransactionPart
	Rollback bool // it ends with ROLLBACK: a dry run
}

// maxParts bounds the statements of a transaction: while they run, no other change of
// their datasets is taken.
const maxParts = 100

// TransactionPart is one statement of a transaction.
type TransactionPart struct {
	SQL       string // its text
	Statement *Statement
	params    params
}

// params are the parameters that a statement uses.
type params struct {
	positional int      // of ?
	named      []string // of $name and $1, without the $
}

// ParseTransaction reads a transaction. It gives nil where the text does not begin as
// one. Errors: as of Parse.
func ParseTransaction(sql string) (*Transaction, error) {
	if first := sqltext.New(sql); !first.Next() || !first.Is("begin") && !first.Is("start") {
		return nil, nil
	}
	toks, err := tokens(sql)
	if err != nil {
		return nil, err
	}
	t, last := &Transaction{}, ""
	for i, part := range split(toks) {
		text := sql[part[0].Start:part[len(part)-1].End]
		words := phrase(part)
		switch {
		case i == 0 && (words == "begin" || words == "begin transaction" || words == "begin work" || words == "start transaction"):
			continue
		case i == 0:
			return nil, invalid("a transaction begins with BEGIN or BEGIN TRANSACTION, not with %s", short(text))
		case last != "":
			return nil, refusedIn("something stands behind " + last)
		case words == "commit" || words == "commit transaction" || words == "commit work" || words == "end" || words == "end transaction":
			last = strings.ToUpper(words)
			continue
		case words == "rollback" || words == "rollback transaction" || words == "rollback work" || words == "abort" || words == "abort transaction" || words == "abort work":
			last, t.Rollback = strings.ToUpper(words), true
			continue
		case part[0].In(control):
			return nil, refusedIn(strings.ToUpper(short(text)) + " within a transaction")
		}
		s, err := inTransaction(text)
		if err != nil {
			return nil, lake.Step(fmt.Sprintf("statement %d", len(t.Parts)+1), err)
		}
		if len(t.Parts) == maxParts {
			return nil, lake.Errorf(lake.CodeTooLarge, "the transaction has more than %d statements", maxParts).
				WithHint("rows of one dataset go into one statement: INSERT … VALUES (…), (…), or MERGE")
		}
		t.Parts = append(t.Parts, TransactionPart{SQL: text, Statement: s, params: paramsOf(sql, part)})
	}
	switch {
	case last == "":
		return nil, invalid("COMMIT is missing at the end of the transaction").WithHint("send all of it in one request: BEGIN; …; COMMIT")
	case len(t.Parts) == 0:
		return nil, invalid("the transaction has no statement")
	}
	return t, nil
}

// control are the first words of what begins and ends transactions.
var control = sqltext.WordSet("begin start commit end rollback abort savepoint release")

// inTransaction reads a statement of a transaction.
func inTransaction(text string) (*Statement, error) {
	s, err := Parse(text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, refusedIn(short(text) + " in a transaction").
			WithHint("a transaction takes INSERT, UPDATE, DELETE and MERGE; ask what only reads, and what makes or changes datasets, by itself, before or after it")
	case s.Explain:
		return nil, refusedIn("EXPLAIN in a transaction").
			WithHint("end the transaction with ROLLBACK instead of COMMIT: it says how many rows its statements would change, and changes none")
	case s.Returning != nil:
		return nil, refusedIn("RETURNING in a transaction").WithHint("the answer counts the rows of each statement; read them by SELECT afterwards")
	}
	return s, nil
}

// split parts tokens at the semicolons; parts without tokens are left out.
func split(toks []sqltext.Token) [][]sqltext.Token {
	var out [][]sqltext.Token
	for len(toks) > 0 {
		n := slices.IndexFunc(toks, func(t sqltext.Token) bool { return t.Is(";") })
		if n < 0 {
			n = len(toks)
		}
		if n > 0 {
			out = append(out, toks[:n])
		}
		toks = toks[min(n+1, len(toks)):]
	}
	return out
}

// phrase is the words of a part, where it has at most two.
func phrase(part []sqltext.Token) string {
	if len(part) > 2 {
		return ""
	}
	words := make([]string, len(part))
	for i, t := range part {
		if t.Kind != sqltext.Word {
			return ""
		}
		words[i] = t.Word
	}
	return strings.Join(words, " ")
}

func refusedIn(what string) *lake.Error {
	return lake.Errorf(lake.CodeSQLRefused, "%s", what)
}

// short is the beginning of a text, for errors.
func short(text string) string {
	if len(text) > 40 {
		return strings.ToValidUTF8(text[:40], "") + "…"
	}
	return text
}

// paramsOf finds the parameters of a part.
func paramsOf(sql string, part []sqltext.Token) (p params) {
	for _, written := range parameters(sql, part) {
		switch name := written[1:]; {
		case written == "?":
			p.positional++
		case name != "" && !slices.Contains(p.named, name):
			p.named = append(p.named, name)
		}
	}
	return p
}

// Params gives each statement of the parameters of the whole text those that it uses:
// ? counts through the text, $1 and $name mean the same in all of it.
func (t *Transaction) Params(all json.RawMessage) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(t.Parts))
	positional, named := 0, map[string]bool{}
	for _, p := range t.Parts {
		positional += p.params.positional
		for _, name := range p.params.named {
			named[name] = true
		}
	}
	if positional > 0 && len(named) > 0 {
		return nil, invalid("the parameters of a transaction are ? or named, not both")
	}
	if all = bytes.TrimSpace(all); len(all) == 0 {
		all = json.RawMessage("[]")
	}
	if all[0] == '{' {
		return out, t.ofObject(all, positional, named, out)
	}
	var values []json.RawMessage
	if err := json.Unmarshal(all, &values); err != nil {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "params: %w", err)
	}
	if positional == 0 && len(named) > 0 { // $1 of an array
		object := map[string]json.RawMessage{}
		for i, v := range values {
			object[strconv.Itoa(i+1)] = v
		}
		return out, t.ofValues(object, named, out)
	}
	if positional != len(values) {
		return nil, wrongCount(positional, len(values))
	}
	for i, p := range t.Parts {
		n := p.params.positional
		if n > 0 {
			part, err := json.Marshal(values[:n])
			if err != nil {
				return nil, err
			}
			out[i] = part
		}
		values = values[n:]
	}
	return out, nil
}

func wrongCount(has, given int) error {
	return lake.Errorf(lake.CodeInvalidRequest, "the transaction has %d parameters and params gives %d", has, given)
}

func (t *Transaction) ofObject(all json.RawMessage, positional int, named map[string]bool, out []json.RawMessage) error {
	if positional > 0 {
		return lake.Errorf(lake.CodeInvalidRequest, "the transaction has ? for its parameters, and params is an object").WithHint("give params as an array")
	}
	object := map[string]json.RawMessage{}
	if err := json.Unmarshal(all, &object); err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "params: %w", err)
	}
	return t.ofValues(object, named, out)
}

func (t *Transaction) ofValues(object map[string]json.RawMessage, named map[string]bool, out []json.RawMessage) error {
	for name := range named {
		if _, ok := object[name]; !ok {
			return lake.Errorf(lake.CodeInvalidRequest, "params has no value for $%s", name)
		}
	}
	for name := range object {
		if !named[name] {
			return lake.Errorf(lake.CodeInvalidRequest, "params has a value for $%s, which the transaction does not use", name)
		}
	}
	for i, p := range t.Parts {
		if len(p.params.named) == 0 {
			continue
		}
		part := map[string]json.RawMessage{}
		for _, name := range p.params.named {
			part[name] = object[name]
		}
		b, err := json.Marshal(part)
		if err != nil {
			return err
		}
		out[i] = b
	}
	return nil
}

//go:build duckdb_arrow

package duck

import (
	"reflect"

	"tarn/internal/lake"
)

// walker looks through one statement and notes what it names.
type walker struct {
	grammar   *grammar
	env       GateEnv
	seen      map[string]bool // keys of datasets
	datasets  []lake.Name
	instants  []lake.Instant
	places    []instantAt
	volatile  bool
	recursive string // name of the recursive CTE whose parts are being looked at
}

// scope is the CTEs that a name can mean, the nearest first.
type scope struct {
	name string // in lower case
	next *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.next {
		if s.name == name {
			return true
		}
	}
	return false
}

// unknownDataset is a relation that is neither a dataset nor a CTE.
type unknownDataset struct{ name string }

func (u *unknownDataset) Error() string { return "there is no dataset " + u.name }

// statement looks at a whole statement. SHOW and DESCRIBE are a SELECT * over
// nothing but themselves.
func (w *walker) statement(s object) (Checked, error) {
	if show, ok := showOf(s); ok {
		return w.show(show)
	}
	err := w.parts(w.grammar.statement, s, nil)
	return Checked{Kind: Select, Datasets: w.datasets, Instants: w.instants, Volatile: w.volatile}, err
}

// showOf gives the SHOW_REF that is all of a statement, except SUMMARIZE, which
// runs like a query.
func showOf(s object) (object, bool) {
	n, _ := s["node"].(object)
	show, _ := n["from_table"].(object)
	if show["type"] != "SHOW_REF" || show["show_type"] == "SUMMARY" || !isBareStar(n) {
		return nil, false
	}
	return show, true
}

func (w *walker) show(show object) (Checked, error) {
	name, _ := show["table_name"].(string)
	switch query, _ := show["query"].(object); {
	case show["show_type"] == "DESCRIBE" && query != nil && show["catalog_name"] == "" && show["schema_name"] == "":
		if err := node(w, query, nil); err != nil {
			return Checked{}, err
		}
		checked := Checked{Kind: Describe, Datasets: w.datasets, Instants: w.instants, Volatile: w.volatile}
		if from, _ := query["from_table"].(object); len(w.datasets) == 1 && isBareStar(query) && isBareTable(from) {
			checked.Describe = &w.datasets[0]
		}
		return checked, nil
	case show["show_type"] == "SHOW_UNQUALIFIED" && query == nil && (name == `"tables"` || name == "__show_tables_expanded"):
		return Checked{Kind: ShowTables}, nil
	}
	return Checked{}, refused("this SHOW").WithHint("SHOW TABLES lists the datasets, DESCRIBE name shows one")
}

// isBareStar says that a node is SELECT * of its from_table and nothing more.
func isBareStar(n object) bool {
	if n["type"] != "SELECT_NODE" {
		return false
	}
	for part, v := range n {
		switch part {
		case "type", "from_table", "aggregate_handling":
		case "select_list":
			list, _ := v.([]any)
			if len(list) != 1 || !isBare(list[0], "STAR", "class", "type", "query_location") {
				return false
			}
		case "cte_map":
			if ctes, _ := v.(object); !isEmpty(ctes["map"]) {
				return false
			}
		default:
			if !isEmpty(v) {
				return false
			}
		}
	}
	return true
}

func isBareTable(t object) bool {
	return isBare(t, "BASE_TABLE", "type", "query_location", "schema_name", "table_name", "catalog_name")
}

// isBare says that a part is of the type and has nothing but the parts named.
func isBare(part any, typ string, named ...string) bool {
	o, _ := part.(object)
	if o["type"] != typ {
		return false
	}
next:
	for name, v := range o {
		for _, n := range named {
			if name == n {
				continue next
			}
		}
		if !isEmpty(v) {
			return false
		}
	}
	return true
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}

// parts looks at each part of a node. A part that the shape does not have is
// refused.
func (w *walker) parts(s shape, o object, in *scope) error {
	known := 0
	for _, p := range s {
		part, ok := o[p.name]
		if !ok {
			continue
		}
		known++
		if err := p.look(w, part, in); err != nil {
			return err
		}
	}
	if known < len(o) {
		return refused("a clause that it does not know")
	}
	return nil
}

func partsOf(s shape) check {
	return func(w *walker, part any, in *scope) error {
		o, ok := part.(object)
		if !ok {
			return refused("a part that it does not know")
		}
		return w.parts(s, o, in)
	}
}

func listOf(each check) check {
	return func(w *walker, part any, in *scope) error {
		list, ok := part.([]any)
		if !ok {
			return refused("a part that it does not know")
		}
		for _, p := range list {
			if err := each(w, p, in); err != nil {
				return err
			}
		}
		return nil
	}
}

func maybe(c check) check {
	return func(w *walker, part any, in *scope) error {
		if part == nil {
			return nil
		}
		return c(w, part, in)
	}
}

func mustBe(want any, what string) check {
	return func(_ *walker, part any, _ *scope) error {
		if !reflect.DeepEqual(part, want) {
			return refused("%s", what)
		}
		return nil
	}
}

// harmless parts are names, flags, types and constants. Should a version hide a
// node in one, it is found and refused.
func harmless(w *walker, part any, in *scope) error {
	switch part := part.(type) {
	case object:
		if _, isNode := part["class"]; isNode {
			return refused("an expression where it knows of none")
		}
		for _, p := range part {
			if err := harmless(w, p, in); err != nil {
				return err
			}
		}
	case []any:
		for _, p := range part {
			if err := harmless(w, p, in); err != nil {
				return err
			}
		}
	}
	return nil
}

func expression(w *walker, part any, in *scope) error {
	o, _ := part.(object)
	class, typ := text(o, "class"), text(o, "type")
	s, ok := w.grammar.expressions[class]
	if !ok || class == "OPERATOR" && !operators[lower(typ)] {
		return refused("the expression %s %s, which it does not know", class, typ)
	}
	if class == "FUNCTION" || class == "WINDOW" {
		if err := w.function(o); err != nil {
			return err
		}
	}
	if class == "COLUMN_REF" {
		if err := w.sessionColumn(o); err != nil {
			return err
		}
	}
	return w.parts(s, o, in)
}

func table(w *walker, part any, in *scope) error {
	o, _ := part.(object)
	s, ok := w.grammar.tables[text(o, "type")]
	if !ok {
		return refused("the relation %s, which it does not know", text(o, "type"))
	}
	if o["type"] == "BASE_TABLE" {
		if err := w.relation(o, in); err != nil {
			return err
		}
	}
	return w.parts(s, o, in)
}

func modifier(w *walker, part any, in *scope) error {
	o, _ := part.(object)
	s, ok := w.grammar.modifiers[text(o, "type")]
	if !ok {
		return refused("the clause %s, which it does not know", text(o, "type"))
	}
	return w.parts(s, o, in)
}

func orderBy(w *walker, part any, in *scope) error { return partsOf(w.grammar.order)(w, part, in) }

func statement(w *walker, part any, in *scope) error {
	return partsOf(w.grammar.statement)(w, part, in)
}

// node looks at a query node: first its CTEs, each of which sees those before
// it, then the rest, which sees them all.
func node(w *walker, part any, in *scope) error {
	o, _ := part.(object)
	s, ok := w.grammar.nodes[text(o, "type")]
	if !ok {
		return refused("the query %s, which it does not know", text(o, "type"))
	}
	in, err := w.ctes(o["cte_map"], in)
	if err != nil {
		return err
	}
	if o["type"] == "RECURSIVE_CTE_NODE" {
		defer func(outer string) { w.recursive = outer }(w.recursive)
		w.recursive = lower(text(o, "cte_name"))
	}
	return w.parts(s, o, in)
}

// recursiveTerm is the part of a recursive CTE that sees the CTE itself.
func recursiveTerm(w *walker, part any, in *scope) error {
	return node(w, part, &scope{w.recursive, in})
}

// lookedAt is a part that its node has looked at before the others.
func lookedAt(*walker, any, *scope) error { return nil }

func (w *walker) ctes(part any, in *scope) (*scope, error) {
	o, _ := part.(object)
	list, ok := o["map"].([]any)
	if !ok || len(o) != 1 {
		return nil, refused("a WITH that it does not know")
	}
	for _, p := range list {
		cte, _ := p.(object)
		value, _ := cte["value"].(object)
		if value == nil || len(cte) != 2 {
			return nil, refused("a WITH that it does not know")
		}
		if err := w.parts(w.grammar.cte, value, in); err != nil {
			return nil, err
		}
		in = &scope{lower(text(cte, "key")), in}
	}
	return in, nil
}

// text is a part that is a string; "" where it is not.
func text(o object, part string) string {
	s, _ := o[part].(string)
	return s
}

//go:build duckdb_arrow

package duck

import (
	"regexp"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// What a statement names: relations, functions, columns.

// lower folds a name as DuckDB does: ASCII alone. Unicode has letters that fold to
// an ASCII one, and a name with such a letter is another name.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

func sameName(a, b string) bool { return lower(a) == lower(b) }

// systemViews are DuckDB's views of itself, unless a dataset has the name.
var systemViews = regexp.MustCompile(`(?i)^(duckdb|pragma|pg|sqlite)_`)

// relation is a table by name: a CTE in scope or a dataset. A file's path as a
// name is neither.
func (w *walker) relation(o object, in *scope) error {
	catalog, namespace, name := text(o, "catalog_name"), text(o, "schema_name"), text(o, "table_name")
	if catalog != "" {
		return refused("the name %s.%s.%s: names of datasets have at most two parts", catalog, namespace, name)
	}
	at, _ := o["at_clause"].(object)
	if o["at_clause"] != nil && at == nil {
		return refused("a clause that it does not know")
	}
	if namespace == "" {
		if in.has(lower(name)) {
			if at != nil {
				return refused("AT of %s, which WITH names: AT is of a dataset", name)
			}
			return nil
		}
		namespace = lake.DefaultNamespace
	}
	canonical, ok := w.env.Dataset(namespace, name)
	if !ok || !sameName(canonical.Namespace, namespace) || !sameName(canonical.Dataset, name) {
		if _, err := lake.ParseName(namespace + "." + name); err != nil || systemViews.MatchString(name) {
			return refused("%q as a relation: it is no dataset's name", name).
				WithHint("FROM takes datasets, which SHOW TABLES lists; import a file to query it")
		}
		return &unknownDataset{lake.Name{Namespace: namespace, Dataset: name}.String()}
	}
	if at != nil && w.env.Snapshot != nil {
		return refused("AT in a transaction").WithHint("a transaction reads the datasets as they are when it begins, with its own changes")
	}
	if at != nil {
		return w.instant(o, at, canonical)
	}
	if key := canonical.Key(); !w.seen[key] {
		w.seen[key] = true
		w.datasets = append(w.datasets, canonical)
	}
	if w.env.Snapshot != nil {
		return w.snapshot(o, canonical)
	}
	return nil
}

// function looks at a call. Its schema can be a column, as in name.lower(), and
// so is judged like one; what is called depends on the name alone, as there are
// no functions but DuckDB's own.
func (w *walker) function(o object) error {
	name := lower(text(o, "function_name"))
	for _, part := range []string{"schema", "catalog"} {
		if err := columnName(text(o, part)); err != nil {
			return err
		}
		if sqltext.SessionColumns[lower(text(o, part))] {
			return refused("%s, which shows or changes the session or the server", text(o, part))
		}
	}
	switch {
	case volatileCallable[name]:
		// age(a, b) is the time from b to a, age(a) that until today.
		w.volatile = w.volatile || name != "age" || len(arguments(o)) != 2
	case aggregatesByName[name] && !namesFixedAggregate(o):
		w.volatile = true
	case !callable[name]:
		return refusedFunction(name, notCallable)
	}
	return nil
}

// aggregatesByName call the aggregate that their second argument names.
var aggregatesByName = sqltext.WordSet("aggregate array_aggr array_aggregate list_aggr list_aggregate")

func arguments(call object) []any {
	children, _ := call["children"].([]any)
	return children
}

func namesFixedAggregate(o object) bool {
	given := arguments(o)
	if len(given) < 2 {
		return false
	}
	second, _ := given[1].(object)
	value, _ := second["value"].(object)
	name, ok := value["value"].(string)
	return ok && !volatileCallable[lower(name)]
}

func refusedFunction(name string, refusals map[string]map[string]bool) error {
	for why, names := range refusals {
		if names[name] {
			return refused("the function %s, which %s", name, why)
		}
	}
	if tableCallable[name] || notTableCallable[name] {
		return refused("the function %s here: it gives rows, not a value", name)
	}
	return lake.Errorf(lake.CodeSQLInvalid, "there is no function %s", name)
}

// tableFunction is a function in FROM.
func tableFunction(w *walker, part any, in *scope) error {
	o, _ := part.(object)
	name, schema := lower(text(o, "function_name")), lower(text(o, "schema"))
	switch {
	case o["class"] != "FUNCTION" || text(o, "catalog") != "" || schema != "" && schema != "main":
		return refused("the function %s in FROM", name)
	case notTableCallable[name]:
		return refused("the table function %s, which reads more than its arguments", name).
			WithHint("FROM takes datasets; import a file to query it")
	case !tableCallable[name]:
		return lake.Errorf(lake.CodeSQLInvalid, "there is no table function %s", name)
	}
	return w.parts(w.grammar.expressions["FUNCTION"], o, in)
}

// columnName refuses rowid, which numbers the rows of an image and of nothing
// else.
func columnName(name string) error {
	if sameName(name, "rowid") {
		return refused("rowid, which differs between memory and files").WithHint("order by columns of the dataset, or use row_number() OVER (…)")
	}
	return nil
}

// columnNames looks at a list of names that can mean columns.
func columnNames(_ *walker, part any, _ *scope) error {
	names, ok := part.([]any)
	if !ok {
		return refused("names that it does not know")
	}
	for _, n := range names {
		name, ok := n.(string)
		if !ok {
			return refused("names that it does not know")
		}
		if err := columnName(name); err != nil {
			return err
		}
	}
	return nil
}

// sessionColumn looks at a name on its own, which DuckDB takes for a function of
// the session where no column has it.
func (w *walker) sessionColumn(o object) error {
	names, _ := o["column_names"].([]any)
	if len(names) == 0 {
		return refused("a column without a name")
	}
	name, _ := names[0].(string)
	name = lower(name)
	if sqltext.SessionColumns[name] {
		return refused("%s, which shows or changes the session or the server", name)
	}
	if sqltext.VolatileColumns[name] {
		w.volatile = true
	}
	return nil
}

// pivotValues are the constants of PIVOT, and the columns of UNPIVOT by name.
func pivotValues(w *walker, part any, in *scope) error {
	if err := harmless(w, part, in); err != nil {
		return err
	}
	values, _ := part.([]any)
	for _, v := range values {
		o, _ := v.(object)
		if err := columnName(text(o, "value")); err != nil {
			return err
		}
	}
	return nil
}

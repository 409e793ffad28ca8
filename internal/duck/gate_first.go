//go:build duckdb_arrow

package duck

import (
	"math"
	"slices"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// FirstRows is what must be known of a query that asks for the first rows by a column,
// to bound this column by a condition that none of these rows fails: where its text
// names the dataset and where its condition stands. There is one only for a text that
// is a plain SELECT … FROM dataset [WHERE …] ORDER BY column, … LIMIT number, of which
// each row makes a row of its own, whatever the others are, and whose parts were found
// in the text.
type FirstRows struct {
	Table      GroupedTable
	Column     string // that ORDER BY begins with
	Descending bool
	Rows       int64 // of LIMIT and OFFSET together, at least 1

	// The condition in the text; without one both are where a WHERE would go.
	Where, WhereEnd int
	Conditions      []string // the columns that it names, in lower case, each once, sorted
	Items           []string // likewise those of the SELECT list
	Star            bool     // the SELECT list has all columns
	// From is a whole number that the condition says the column begins at, nearly; nil:
	// it says none.
	From *int64
	// Form is the text with ? for its numbers and strings: texts that one program sends for
	// many values have the same.
	Form string
}

// mostFirstRows is how many rows a query may ask for.
const mostFirstRows = 10_000

// firstRowsOf gives what is known of a statement; nil where it is not of the kind.
func firstRowsOf(sql string, statement object, tables func(namespace, name string) (lake.Name, bool)) *FirstRows {
	n, _ := statement["node"].(object)
	ctes, _ := n["cte_map"].(object)
	if n["type"] != "SELECT_NODE" || !isEmpty(ctes["map"]) || n["aggregate_handling"] != "STANDARD_HANDLING" ||
		!isEmpty(n["group_expressions"]) || !isEmpty(n["group_sets"]) || n["having"] != nil || n["qualify"] != nil {
		return nil
	}
	g := &groupFinder{sql: sql, tables: tables}
	from, _ := n["from_table"].(object)
	if from["type"] != "BASE_TABLE" || !g.table(from) {
		return nil
	}
	f := &firstFinder{groupFinder: g, FirstRows: &FirstRows{Table: g.Tables[0]}}
	if !f.modifiers(n["modifiers"]) || !f.items(n["select_list"]) || !f.condition(n["where_clause"]) || !f.where(n["where_clause"] != nil) {
		return nil
	}
	slices.Sort(f.Items)
	slices.Sort(f.Conditions)
	return f.FirstRows
}

// firstFinder fills a FirstRows in.
type firstFinder struct {
	*groupFinder
	*FirstRows
	by      int      // where ORDER BY's first column stands
	aliases []string // of items, in lower case
}

// modifiers takes one ORDER BY and one LIMIT.
func (f *firstFinder) modifiers(part any) bool {
	list, _ := part.([]any)
	if len(list) != 2 {
		return false
	}
	order, _ := list[0].(object)
	limit, _ := list[1].(object)
	by, _ := order["orders"].([]any)
	if order["type"] != "ORDER_MODIFIER" || limit["type"] != "LIMIT_MODIFIER" || len(by) == 0 {
		return false
	}
	for i, e := range by {
		o, _ := e.(object)
		if i > 0 {
			if _, ok := rowwise(o["expression"], itemClasses); !ok {
				return false
			}
			continue
		}
		column, _ := o["expression"].(object)
		c, ok := f.column(column)
		if !ok || c.Table != "" && !sameName(c.Table, f.Table.Alias) {
			return false
		}
		f.Column, f.by = lower(c.Column), c.At
		f.Descending = o["type"] == "DESCENDING"
		if !f.Descending && o["type"] != "ASCENDING" && o["type"] != "ORDER_DEFAULT" {
			return false
		}
	}
	rows, ok := whole(limit["limit"])
	if offset := limit["offset"]; offset != nil && ok {
		var more int64
		more, ok = whole(offset)
		rows += more
	}
	f.Rows = rows
	return ok && rows >= 1 && rows <= mostFirstRows
}

// whole reads a constant that is a whole number and not negative.
func whole(part any) (int64, bool) {
	n, ok := wholeNumber(part)
	return n, ok && n >= 0 && n <= mostFirstRows
}

func wholeNumber(part any) (int64, bool) {
	o, _ := part.(object)
	value, _ := o["value"].(object)
	typ, _ := value["type"].(object)
	n, ok := value["value"].(float64)
	if o["type"] != "VALUE_CONSTANT" || !ok || typ["id"] != "INTEGER" && typ["id"] != "BIGINT" || math.Abs(n) > 1<<52 || n != math.Trunc(n) {
		return 0, false
	}
	return int64(n), true
}

// items takes the SELECT list, of which nothing may have the name of the column that is
// ordered by, unless it is that column.
func (f *firstFinder) items(part any) bool {
	list, _ := part.([]any)
	for _, it := range list {
		o, _ := it.(object)
		if alias := lower(text(o, "alias")); alias != "" {
			if alias == f.Column {
				return false
			}
			f.aliases = append(f.aliases, alias)
		}
		if o["class"] == "STAR" {
			if !f.plainStar(o) {
				return false
			}
			f.Star = true
			continue
		}
		columns, ok := rowwise(o, itemClasses)
		if !ok || !f.add(&f.Items, columns) {
			return false
		}
	}
	return true
}

// plainStar says that a star is all columns as they are, but for some.
func (f *firstFinder) plainStar(o object) bool {
	of := text(o, "relation_name")
	return (of == "" || sameName(of, f.Table.Alias)) && isBare(o, "STAR", "class", "type", "query_location", "relation_name", "exclude_list")
}

// condition takes WHERE. Where it says what the column is, few rows are read anyway.
func (f *firstFinder) condition(part any) bool {
	if part == nil {
		return true
	}
	columns, ok := rowwise(part, conditionClasses)
	if !ok || !f.add(&f.Conditions, columns) {
		return false
	}
	for _, alias := range f.aliases {
		if slices.Contains(f.Conditions, alias) {
			return false
		}
	}
	o, _ := part.(object)
	all := []any{o}
	if o["type"] == "CONJUNCTION_AND" {
		all, _ = o["children"].([]any)
	}
	for _, one := range all {
		if !f.conjunct(one) {
			return false
		}
	}
	return true
}

// conjunct looks at one condition of several that all must hold.
func (f *firstFinder) conjunct(part any) bool {
	o, _ := part.(object)
	side := func(name string) bool { c, _ := o[name].(object); return f.isColumn(c) }
	switch o["type"] {
	case "COMPARE_EQUAL":
		return !side("left") && !side("right")
	case "COMPARE_IN":
		children, _ := o["children"].([]any)
		first, _ := children[0].(object)
		return !f.isColumn(first)
	case "COMPARE_GREATERTHAN", "COMPARE_GREATERTHANOREQUALTO":
		if n, ok := wholeNumber(o["right"]); ok && side("left") && !f.Descending {
			f.From = &n
		}
	case "COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO":
		if n, ok := wholeNumber(o["right"]); ok && side("left") && f.Descending {
			f.From = &n
		}
	}
	return true
}

func (f *firstFinder) isColumn(o object) bool {
	names, _ := o["column_names"].([]any)
	if o["class"] != "COLUMN_REF" || len(names) == 0 {
		return false
	}
	last, _ := names[len(names)-1].(string)
	return sameName(last, f.Column)
}

// add notes columns; false where one is more than a column of the dataset.
func (f *firstFinder) add(to *[]string, columns [][]any) bool {
	for _, names := range columns {
		last, _ := names[len(names)-1].(string)
		if len(names) > 2 {
			return false
		}
		if table, _ := names[0].(string); len(names) == 2 && !sameName(table, f.Table.Alias) {
			return false
		}
		if name := lower(last); !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	return true
}

// The classes of expressions that an item or a further element of ORDER BY, and a
// condition, may be made of.
var (
	itemClasses      = sqltext.WordSet("between case cast column_ref comparison conjunction constant function operator")
	conditionClasses = sqltext.WordSet("between case cast collate column_ref comparison conjunction constant function operator parameter")
)

// rowwiseFunctions have one value for each row, which depends on that row alone. They are
// not all of the kind, and a function that is not among them is none to be sure of.
var rowwiseFunctions = sqltext.WordSet(`
!~~ !~~* % & + - * / // | || ~~ ~~* ^ @> <@ ->> ~ !~
abs ceil ceiling coalesce concat concat_ws contains date_add date_diff date_part date_sub date_trunc
datediff datepart datetrunc day dayname dayofweek dayofyear ends_with epoch epoch_ms floor format
greatest hour ifnull isfinite isnan isodow isoyear json_extract json_extract_string last_day lcase
least left len length list_contains list_has lower lpad ltrim md5 minute mod month monthname nullif
prefix printf quarter regexp_extract regexp_full_match regexp_matches regexp_replace replace reverse
right round rpad rtrim second sign split_part starts_with strftime strip_accents strlen strptime
substr substring suffix to_days to_hours to_minutes to_months to_seconds to_weeks to_years trim trunc
try_strptime typeof ucase upper week weekday weekofyear year yearweek`)

// rowwise says whether an expression is made of such parts alone, and gives the names of
// its columns.
func rowwise(part any, classes map[string]bool) (columns [][]any, ok bool) {
	switch part := part.(type) {
	case object:
		class, isNode := part["class"].(string)
		switch {
		case !isNode:
		case !classes[lower(class)], part["type"] == "OPERATOR_UNPACK", part["type"] == "GROUPING_FUNCTION":
			return nil, false
		case class == "FUNCTION" && (!rowwiseFunctions[lower(text(part, "function_name"))] || text(part, "schema") != "" || part["filter"] != nil):
			return nil, false
		case class == "COLUMN_REF":
			names, _ := part["column_names"].([]any)
			return [][]any{names}, len(names) > 0
		}
		for name, p := range part {
			if isNode && name == "value" || name == "cast_type" {
				continue // a constant, a type
			}
			more, ok := rowwise(p, classes)
			if !ok {
				return nil, false
			}
			columns = append(columns, more...)
		}
	case []any:
		for _, p := range part {
			more, ok := rowwise(p, classes)
			if !ok {
				return nil, false
			}
			columns = append(columns, more...)
		}
	}
	return columns, true
}

// where finds the condition between FROM and ORDER BY.
func (f *firstFinder) where(there bool) bool {
	tokens, err := sqltext.Tokens(f.sql)
	if err != nil {
		return false
	}
	from := slices.IndexFunc(tokens, func(t sqltext.Token) bool { return t.Start >= f.Table.End })
	if from < 1 || tokens[from-1].End != f.Table.End || tokens[0].Depth != 0 || !tokens[0].Is("select") {
		return false
	}
	where, order := -1, -1
	for i := from; i < len(tokens) && order < 0; i++ {
		switch t := tokens[i]; {
		case t.Depth > 0:
		case t.Is("where"):
			if where >= 0 {
				return false
			}
			where = i
		case t.Is("order"):
			order = i
		}
	}
	if order < 1 || order+2 >= len(tokens) || !tokens[order+1].Is("by") || tokens[order+2].Start != f.by || (where >= 0) != there {
		return false
	}
	f.Form = formOf(tokens)
	f.WhereEnd = tokens[order-1].End
	f.Where = f.WhereEnd
	if there {
		if where+1 >= order {
			return false
		}
		f.Where = tokens[where+1].Start
	}
	return true
}

// formOf is what tokens say without the values of numbers and strings.
func formOf(tokens []sqltext.Token) string {
	var b strings.Builder
	last := ""
	for _, t := range tokens {
		word := t.Word
		switch {
		case t.Kind == sqltext.Text, t.Kind == sqltext.Mark && word >= "0" && word <= "9":
			word = "?"
		}
		if word == "?" && last == "?" {
			continue
		}
		b.WriteString(word)
		b.WriteByte(' ')
		last = word
	}
	return b.String()
}

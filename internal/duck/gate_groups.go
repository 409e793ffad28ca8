//go:build duckdb_arrow

package duck

import (
	"strings"
	"unicode/utf8"

	"tarn/internal/lake"
)

// Grouped is what must be known of a query to have it group by something else
// that gives the same groups: where its text names relations and the columns that
// it groups by. There is one only for a text that is a plain SELECT … FROM
// datasets … GROUP BY without stars, and whose places in the tree were found in the
// text; whoever changes the text goes by these places and touches nothing else.
type Grouped struct {
	Tables []GroupedTable
	By     []GroupedColumn // what GROUP BY names by a column, or by the number of an item
	Items  []GroupedColumn // items of the SELECT list that are a column and nothing more
	// Elsewhere has the names, in lower case, that stand in other items, in HAVING,
	// QUALIFY or USING, or in ORDER BY where they do not mean an item.
	Elsewhere map[string]bool
	// Bare has the names, in lower case, that stand anywhere without their table.
	Bare map[string]bool
}

// GroupedTable is a relation of FROM: its place, and the name that columns give it.
type GroupedTable struct {
	Dataset lake.Name
	Alias   string
	Aliased bool // the text says the alias
	At, End int  // of the dataset's name in the text
}

// GroupedColumn is a column at a place of the text; Table is "" where it is not
// said. Of an item that GROUP BY numbers, the place is that of the number.
type GroupedColumn struct {
	Table, Column string
	Alias         string // of an item; "" for none
	At, End       int
}

// groupedOf gives what is known of a statement; nil where it is not of the kind.
func groupedOf(sql string, statement object, tables func(namespace, name string) (lake.Name, bool)) *Grouped {
	n, _ := statement["node"].(object)
	ctes, _ := n["cte_map"].(object)
	by, _ := n["group_expressions"].([]any)
	if n["type"] != "SELECT_NODE" || !isEmpty(ctes["map"]) || len(by) == 0 || !onlyOneSet(n["group_sets"], len(by)) || n["aggregate_handling"] != "STANDARD_HANDLING" {
		return nil
	}
	f := &groupFinder{sql: sql, tables: tables, Grouped: Grouped{Elsewhere: map[string]bool{}, Bare: map[string]bool{}}}
	from, _ := n["from_table"].(object)
	items, _ := n["select_list"].([]any)
	if !f.from(from) || !f.items(items) || !f.by(by, items) || !f.modifiers(n["modifiers"]) {
		return nil
	}
	f.elsewhere(n["having"])
	f.elsewhere(n["qualify"])
	f.bare(statement)
	if hasStar(statement) || f.seesAll(statement) {
		return nil
	}
	return &f.Grouped
}

// seesAll says whether a statement names a relation as a value, which is a row with
// all its columns, or a column that is ours.
func (f *groupFinder) seesAll(statement object) bool {
	for _, t := range f.Tables {
		if f.Bare[lower(t.Alias)] {
			return true
		}
	}
	ours := false
	eachColumn(statement, func(names []any) {
		for _, n := range names {
			s, _ := n.(string)
			ours = ours || strings.HasPrefix(lower(s), "_tarn_")
		}
	})
	return ours
}

// onlyOneSet says that GROUP BY groups by all its expressions at once.
func onlyOneSet(sets any, n int) bool {
	list, _ := sets.([]any)
	if len(list) != 1 {
		return false
	}
	one, _ := list[0].([]any)
	return len(one) == n
}

type groupFinder struct {
	sql    string
	tables func(namespace, name string) (lake.Name, bool)
	Grouped
}

// from takes the relations of FROM: datasets, joined by conditions or columns.
func (f *groupFinder) from(t object) bool {
	switch t["type"] {
	case "BASE_TABLE":
		return f.table(t)
	case "JOIN":
		if t["ref_type"] != "REGULAR" && t["ref_type"] != "CROSS" {
			return false
		}
		using, _ := t["using_columns"].([]any)
		for _, name := range using {
			s, _ := name.(string)
			f.Elsewhere[lower(s)] = true
		}
		left, _ := t["left"].(object)
		right, _ := t["right"].(object)
		return f.from(left) && f.from(right)
	}
	return false
}

func (f *groupFinder) table(t object) bool {
	namespace, name := text(t, "schema_name"), text(t, "table_name")
	names := []string{name}
	if namespace != "" {
		names = []string{namespace, name}
	} else {
		namespace = lake.DefaultNamespace
	}
	dataset, ok := f.tables(namespace, name)
	at, end, found := f.place(t, names)
	if !ok || !found || !isEmpty(t["column_name_alias"]) || text(t, "catalog_name") != "" {
		return false
	}
	g := GroupedTable{Dataset: dataset, Alias: text(t, "alias"), Aliased: text(t, "alias") != "", At: at, End: end}
	if !g.Aliased {
		g.Alias = name
	}
	for _, other := range f.Tables {
		if sameName(other.Alias, g.Alias) {
			return false
		}
	}
	f.Tables = append(f.Tables, g)
	return true
}

// items takes the SELECT list.
func (f *groupFinder) items(items []any) bool {
	for _, it := range items {
		o, _ := it.(object)
		if c, ok := f.column(o); ok {
			f.Items = append(f.Items, c)
			continue
		}
		f.elsewhere(it)
	}
	return true
}

// by takes what GROUP BY names.
func (f *groupFinder) by(by, items []any) bool {
	for _, e := range by {
		o, _ := e.(object)
		if c, ok := f.column(o); ok {
			f.By = append(f.By, c)
			continue
		}
		k, at, end, ok := f.number(o)
		if !ok {
			f.elsewhere(e)
			continue
		}
		if k < 1 || k > len(items) {
			return false
		}
		item, _ := items[k-1].(object)
		if c, ok := f.column(item); ok {
			c.At, c.End = at, end
			f.By = append(f.By, c)
		}
	}
	return true
}

// modifiers takes ORDER BY and LIMIT.
func (f *groupFinder) modifiers(part any) bool {
	list, _ := part.([]any)
	for _, m := range list {
		o, _ := m.(object)
		switch o["type"] {
		case "LIMIT_MODIFIER":
			f.elsewhere(m)
		case "ORDER_MODIFIER":
			orders, _ := o["orders"].([]any)
			for _, e := range orders {
				order, _ := e.(object)
				by, _ := order["expression"].(object)
				if !f.meansItem(by) {
					f.elsewhere(by)
				}
			}
		default:
			return false
		}
	}
	return true
}

// meansItem says whether ORDER BY names an item of the SELECT list: by its number,
// or by its alias or the name of its column.
func (f *groupFinder) meansItem(by object) bool {
	if _, _, _, ok := f.number(by); ok {
		return true
	}
	names, _ := by["column_names"].([]any)
	if by["class"] != "COLUMN_REF" || len(names) != 1 {
		return false
	}
	name, _ := names[0].(string)
	for _, it := range f.Items {
		if it.Alias == "" && sameName(it.Column, name) || sameName(it.Alias, name) {
			return true
		}
	}
	return false
}

// column reads an expression that is a column, by its name or its table's and its.
func (f *groupFinder) column(o object) (c GroupedColumn, ok bool) {
	parts, _ := o["column_names"].([]any)
	if o["class"] != "COLUMN_REF" || len(parts) < 1 || len(parts) > 2 {
		return c, false
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i], _ = p.(string)
	}
	c.Column, c.Alias = names[len(names)-1], text(o, "alias")
	if len(names) == 2 {
		c.Table = names[0]
	}
	c.At, c.End, ok = f.place(o, names)
	return c, ok
}

// number reads an expression that is a small whole number.
func (f *groupFinder) number(o object) (k, at, end int, ok bool) {
	value, _ := o["value"].(object)
	n, isNumber := value["value"].(float64)
	at, found := location(o)
	if o["type"] != "VALUE_CONSTANT" || !isNumber || !found || n < 1 || n > 1000 || n != float64(int(n)) {
		return 0, 0, 0, false
	}
	for end = at; end < len(f.sql) && f.sql[end] >= '0' && f.sql[end] <= '9'; end++ {
		k = 10*k + int(f.sql[end]-'0')
	}
	return k, at, end, k == int(n)
}

// elsewhere notes all names that a part holds.
func (f *groupFinder) elsewhere(part any) {
	eachColumn(part, func(names []any) {
		for _, n := range names {
			s, _ := n.(string)
			f.Elsewhere[lower(s)] = true
		}
	})
}

// bare notes the names without a table.
func (f *groupFinder) bare(part any) {
	eachColumn(part, func(names []any) {
		if s, ok := names[0].(string); ok && len(names) == 1 {
			f.Bare[lower(s)] = true
		}
	})
}

// eachColumn calls with the names of every column that a part refers to, also
// within subqueries.
func eachColumn(part any, call func(names []any)) {
	switch part := part.(type) {
	case object:
		if names, _ := part["column_names"].([]any); part["class"] == "COLUMN_REF" && len(names) > 0 {
			call(names)
		}
		for _, p := range part {
			eachColumn(p, call)
		}
	case []any:
		for _, p := range part {
			eachColumn(p, call)
		}
	}
}

func hasStar(part any) bool {
	switch part := part.(type) {
	case object:
		if part["class"] == "STAR" {
			return true
		}
		for _, p := range part {
			if hasStar(p) {
				return true
			}
		}
	case []any:
		for _, p := range part {
			if hasStar(p) {
				return true
			}
		}
	}
	return false
}

func location(o object) (int, bool) {
	at, ok := o["query_location"].(float64)
	return int(at), ok && at >= 0 && at == float64(int(at))
}

// place finds the names, parted by points, where the tree says that they begin.
func (f *groupFinder) place(o object, names []string) (at, end int, ok bool) {
	if at, ok = location(o); !ok || at >= len(f.sql) {
		return 0, 0, false
	}
	end = at
	for i, name := range names {
		if i > 0 {
			if end = skipBlanks(f.sql, end); end >= len(f.sql) || f.sql[end] != '.' {
				return 0, 0, false
			}
			end = skipBlanks(f.sql, end+1)
		}
		got, next := identAt(f.sql, end)
		if got != name {
			return 0, 0, false
		}
		end = next
	}
	return at, end, true
}

func skipBlanks(sql string, at int) int {
	for at < len(sql) && strings.IndexByte(" \t\r\n", sql[at]) >= 0 {
		at++
	}
	return at
}

// identAt reads an identifier, quoted or not; "" where there is none.
func identAt(sql string, at int) (name string, end int) {
	if at < len(sql) && sql[at] == '"' {
		for end = at + 1; end < len(sql); end++ {
			if sql[end] != '"' {
				continue
			}
			if end+1 < len(sql) && sql[end+1] == '"' {
				end++
				continue
			}
			return strings.ReplaceAll(sql[at+1:end], `""`, `"`), end + 1
		}
		return "", at
	}
	for end = at; end < len(sql); end++ {
		c := sql[end]
		if c < utf8.RuneSelf && c != '_' && c != '$' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			break
		}
	}
	return sql[at:end], end
}

//go:build duckdb_arrow

package duck

import (
	"slices"

	"tarn/internal/sqltext"
)

// grammar is what the gate knows of the trees that json_serialize_sql makes: for
// each kind of node its parts, and what to do with each. A kind that is not
// here, and a part that its kind does not have here, is refused.
type grammar struct {
	expressions map[string]shape // by class
	tables      map[string]shape // what can stand in FROM, by type
	nodes       map[string]shape // queries, by type
	modifiers   map[string]shape // ORDER BY, LIMIT, DISTINCT, by type
	order       shape            // one element of ORDER BY
	statement   shape            // a query with its parameters
	cte         shape            // what a name in WITH stands for
}

// object is a node, or a part of one, as decoded from JSON.
type object = map[string]any

// check looks at one part of a node.
type check func(w *walker, part any, in *scope) error

// shape is the parts of a node in the order in which they are looked at.
type shape []part

type part struct {
	name string
	look check
}

// commonParts are those of every node.
var commonParts = shape{{"class", harmless}, {"type", harmless}, {"alias", harmless}, {"query_location", harmless}}

// operators are the types of the class OPERATOR.
var operators = sqltext.WordSet(`
operator_not operator_is_null operator_is_not_null operator_coalesce operator_nullif operator_unpack operator_try
compare_in compare_not_in array_extract array_slice array_constructor struct_extract arrow grouping_function`)

const sampling = "TABLESAMPLE and USING SAMPLE, which take other rows from memory than from files"

func newGrammar() *grammar {
	g := &grammar{
		expressions: expressionShapes(),
		tables:      tableShapes(),
		nodes:       nodeShapes(),
		modifiers: map[string]shape{
			"ORDER_MODIFIER":         {{"orders", listOf(orderBy)}},
			"LIMIT_MODIFIER":         {{"limit", maybe(expression)}, {"offset", maybe(expression)}},
			"LIMIT_PERCENT_MODIFIER": {{"limit", maybe(expression)}, {"offset", maybe(expression)}},
			"DISTINCT_MODIFIER":      {{"distinct_on_targets", listOf(expression)}},
		},
		order:     shape{{"type", harmless}, {"null_order", harmless}, {"expression", expression}},
		statement: shape{{"node", node}, {"named_param_map", harmless}},
		cte:       shape{{"aliases", harmless}, {"query", statement}, {"materialized", harmless}, {"key_targets", listOf(expression)}},
	}
	for kind, s := range g.expressions {
		g.expressions[kind] = slices.Concat(commonParts, s)
	}
	for kind, s := range g.tables {
		g.tables[kind] = slices.Concat(commonParts, shape{{"sample", mustBe(nil, sampling)}}, s)
	}
	for _, kinds := range []map[string]shape{g.nodes, g.modifiers} {
		for kind, s := range kinds {
			kinds[kind] = slices.Concat(shape{{"type", harmless}}, s)
		}
	}
	return g
}

func expressionShapes() map[string]shape {
	when := shape{{"when_expr", expression}, {"then_expr", expression}}
	replaced := shape{{"key", harmless}, {"value", expression}}
	called := shape{{"function_name", harmless}, {"schema", harmless}, {"catalog", harmless}, {"children", listOf(expression)}, {"distinct", harmless}}
	return map[string]shape{
		"BETWEEN":     {{"input", expression}, {"lower", expression}, {"upper", expression}},
		"CASE":        {{"case_checks", listOf(partsOf(when))}, {"else_expr", expression}},
		"CAST":        {{"child", expression}, {"cast_type", harmless}, {"try_cast", harmless}},
		"COLLATE":     {{"child", expression}, {"collation", harmless}},
		"COLUMN_REF":  {{"column_names", columnNames}},
		"COMPARISON":  {{"left", expression}, {"right", expression}},
		"CONJUNCTION": {{"children", listOf(expression)}},
		"CONSTANT":    {{"value", harmless}},
		"FUNCTION": slices.Concat(called, shape{{"filter", maybe(expression)}, {"order_bys", maybe(modifier)}, {"is_operator", harmless},
			{"export_state", mustBe(false, "EXPORT_STATE")}}),
		"LAMBDA":               {{"lhs", expression}, {"expr", expression}},
		"OPERATOR":             {{"children", listOf(expression)}},
		"PARAMETER":            {{"identifier", harmless}},
		"POSITIONAL_REFERENCE": {{"index", harmless}},
		"STAR": {{"relation_name", harmless}, {"exclude_list", harmless}, {"qualified_exclude_list", harmless}, {"rename_list", harmless},
			{"replace_list", listOf(partsOf(replaced))}, {"columns", harmless}, {"expr", maybe(expression)}},
		"SUBQUERY": {{"subquery_type", harmless}, {"subquery", statement}, {"child", maybe(expression)}, {"comparison_type", harmless}},
		"WINDOW": slices.Concat(called, shape{{"partitions", listOf(expression)}, {"orders", listOf(orderBy)}, {"start", harmless}, {"end", harmless},
			{"start_expr", maybe(expression)}, {"end_expr", maybe(expression)}, {"offset_expr", maybe(expression)}, {"default_expr", maybe(expression)},
			{"ignore_nulls", harmless}, {"filter_expr", maybe(expression)}, {"exclude_clause", harmless}, {"arg_orders", listOf(orderBy)}}),
	}
}

func tableShapes() map[string]shape {
	const show = "SHOW and DESCRIBE inside of a query"
	entry := shape{{"values", pivotValues}, {"star_expr", maybe(expression)}, {"alias", harmless}}
	pivot := shape{{"pivot_expressions", listOf(expression)}, {"unpivot_names", harmless}, {"entries", listOf(partsOf(entry))},
		{"pivot_enum", mustBe("", "a PIVOT over an ENUM type")}}
	return map[string]shape{
		"BASE_TABLE": {{"catalog_name", harmless}, {"schema_name", harmless}, {"table_name", harmless}, {"column_name_alias", harmless},
			{"at_clause", lookedAt}},
		"EMPTY":           {},
		"EXPRESSION_LIST": {{"expected_names", harmless}, {"expected_types", harmless}, {"values", listOf(listOf(expression))}},
		"JOIN": {{"left", table}, {"right", table}, {"condition", maybe(expression)}, {"using_columns", columnNames}, {"join_type", harmless},
			{"ref_type", harmless}, {"delim_flipped", harmless}, {"duplicate_eliminated_columns", listOf(expression)}},
		"PIVOT": {{"source", table}, {"aggregates", listOf(expression)}, {"pivots", listOf(partsOf(pivot))}, {"unpivot_names", harmless},
			{"groups", columnNames}, {"column_name_alias", harmless}, {"include_nulls", harmless}},
		// Of what SHOW_REF stands for only SUMMARIZE means the same everywhere.
		"SHOW_REF": {{"show_type", mustBe("SUMMARY", show)}, {"catalog_name", mustBe("", show)}, {"schema_name", mustBe("", show)},
			{"table_name", mustBe("", show)}, {"query", node}},
		"SUBQUERY":       {{"subquery", statement}, {"column_name_alias", harmless}},
		"TABLE_FUNCTION": {{"function", tableFunction}, {"column_name_alias", harmless}, {"with_ordinality", harmless}},
	}
}

// nodeShapes has what follows the CTEs of a query, which are looked at first.
func nodeShapes() map[string]shape {
	return map[string]shape{
		"SELECT_NODE": {{"cte_map", lookedAt}, {"from_table", maybe(table)}, {"sample", mustBe(nil, sampling)}, {"select_list", listOf(expression)},
			{"where_clause", maybe(expression)}, {"group_expressions", listOf(expression)}, {"group_sets", harmless}, {"aggregate_handling", harmless},
			{"having", maybe(expression)}, {"qualify", maybe(expression)}, {"modifiers", listOf(modifier)}},
		"SET_OPERATION_NODE": {{"cte_map", lookedAt}, {"setop_type", harmless}, {"setop_all", harmless}, {"left", node}, {"right", node},
			{"modifiers", listOf(modifier)}},
		"RECURSIVE_CTE_NODE": {{"cte_map", lookedAt}, {"cte_name", harmless}, {"union_all", harmless}, {"aliases", harmless}, {"left", node},
			{"right", recursiveTerm}, {"key_targets", listOf(expression)}, {"modifiers", listOf(modifier)}},
	}
}

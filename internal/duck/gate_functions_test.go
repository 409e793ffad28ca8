//go:build duckdb_arrow

package duck

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tarn/internal/sqltext"
)

// Every function of this DuckDB stands in exactly one list, and the lists hold
// nothing else.
func TestEveryFunctionIsJudged(t *testing.T) {
	_, c := open(t)
	rows, err := c.Rows(t.Context(), "SELECT DISTINCT lower(function_name), function_type FROM duckdb_functions()")
	if err != nil {
		t.Fatal(err)
	}
	// The parser makes these without a function of the name.
	values, tables := sqltext.WordSet("unnest unlist"), map[string]bool{}
	for _, r := range rows {
		name, kind := r[0].(string), r[1].(string)
		switch kind {
		case "table", "table_macro":
			tables[name] = true
		case "pragma":
			if tableCallable[name] {
				t.Errorf("the pragma %s can be called", name)
			}
		default:
			values[name] = true
		}
	}
	lists := map[string]map[string]bool{"callable": callable, "volatileCallable": volatileCallable}
	maps.Copy(lists, notCallable)
	heldAgainst(t, values, lists)
	heldAgainst(t, tables, map[string]map[string]bool{"tableCallable": tableCallable, "notTableCallable": notTableCallable})
	t.Logf("%d functions and %d table functions: %d may be called", len(values), len(tables), len(callable)+len(volatileCallable)+len(tableCallable))
}

func heldAgainst(t *testing.T, there map[string]bool, lists map[string]map[string]bool) {
	t.Helper()
	found := map[string][]string{}
	for list, names := range lists {
		for name := range names {
			found[name] = append(found[name], list)
			if !there[name] {
				t.Errorf("%s is in %s and no function of DuckDB", name, list)
			}
		}
	}
	for name := range there {
		if len(found[name]) != 1 {
			t.Errorf("%s is in %d lists: %v", name, len(found[name]), found[name])
		}
	}
}

// A macro that may be called calls nothing that may not.
func TestMacrosCallOnlyTheCallable(t *testing.T) {
	_, c := open(t)
	rows, err := c.Rows(t.Context(), "SELECT DISTINCT lower(function_name), macro_definition FROM duckdb_functions() WHERE function_type = 'macro'")
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, r := range rows {
		name, definition := r[0].(string), r[1].(string)
		if !callable[name] && !volatileCallable[name] {
			continue
		}
		answer := cell(t, c, "SELECT json_serialize_sql(?::VARCHAR)", "SELECT "+definition)
		var tree any
		if err := json.Unmarshal([]byte(answer.(string)), &tree); err != nil {
			t.Fatal(err)
		}
		for _, called := range calls(tree) {
			judged++
			switch {
			case callable[called]:
			case volatileCallable[called] && volatileCallable[name]:
			default:
				t.Errorf("%s calls %s: %s", name, called, definition)
			}
		}
	}
	if judged < 50 {
		t.Errorf("only %d calls were looked at", judged)
	}
}

// calls gives the functions called anywhere in a tree.
func calls(tree any) (out []string) {
	switch tree := tree.(type) {
	case object:
		if name, ok := tree["function_name"]; ok {
			out = append(out, strings.ToLower(fmt.Sprint(name)))
		}
		for _, key := range slices.Sorted(maps.Keys(tree)) {
			out = append(out, calls(tree[key])...)
		}
	case []any:
		for _, part := range tree {
			out = append(out, calls(part)...)
		}
	}
	return out
}

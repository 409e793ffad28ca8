package sqltext

import "strings"

// WordSet is a set of the words of a text.
func WordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// The keywords of DuckDB 1.5.6 that without quotes are no name everywhere, by the
// categories of duckdb_keywords(), which a test in duck holds them against.
var (
	// Reserved are no name anywhere.
	Reserved = WordSet(`
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
deferrable desc describe distinct do else end except false fetch for foreign from group having in initially intersect
into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing primary qualify
references returning select show some summarize symmetric table then to trailing true union unique unpivot using
variadic when where window with`)
	// TypeFunction can name a type or a function, and no relation or column.
	TypeFunction = WordSet(`
anti asof at authorization binary by collation columns concurrently cross freeze full generated glob ilike inner is
isnull join left like map natural notnull outer overlaps positional right semi similar struct tablesample try_cast unpack
verbose`)
	// ColumnName can name a relation or column, and no type or function.
	ColumnName = WordSet(`
between bigint bit boolean char character coalesce dec decimal exists extract float grouping grouping_id inout int
integer interval national nchar none nullif numeric out overlay position precision real row setof smallint substring
time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse
xmlpi xmlroot xmlserialize xmltable`)
)

// Unquote gives the name in quotes; of one that does not end, all but its quote.
func Unquote(s string) string {
	return strings.ReplaceAll(strings.TrimSuffix(s[1:], `"`), `""`, `"`)
}

// Quote gives a name as it stands in SQL: in quotes where it must.
func Quote(name string) string {
	low := strings.ToLower(name)
	plain := name != "" && (name[0] < '0' || name[0] > '9') && !Reserved[low] && !TypeFunction[low] && !ColumnName[low]
	for i := range len(name) {
		plain = plain && isNameByte(name[i]) && name[i] < 0x80
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Named finds the value of a parameter $name: exactly or, as names in SQL have no case, in
// another case. given is the name that it has.
func Named(values map[string]any, name string) (given string, v any, ok bool) {
	if v, ok := values[name]; ok {
		return name, v, true
	}
	for given, v := range values {
		if strings.EqualFold(given, name) {
			return given, v, true
		}
	}
	return "", nil, false
}

// SessionColumns are names that DuckDB takes for a function of the session where
// no column has them.
// `user` is one too and is let through: datasets have columns of that name, and where
// none has it the value is the same for everybody.
var SessionColumns = WordSet(`
current_catalog current_role current_schema current_user session_user`)

// VolatileColumns are such names too, of functions that may be called.
var VolatileColumns = WordSet(`
current_date current_time current_timestamp localtime localtimestamp`)

// Package sqltext reads the words of SQL as DuckDB's lexer cuts them: where comments,
// strings and names begin and end, and which words are DuckDB's own.
//
// A Cursor goes over the tokens of one statement, for the small parsers of outer forms.
//
// Callers are duck (bounds, EXPLAIN, better errors, AT, parameters), keyread (reads by
// key), sqlwrite, sqlddl and sqlcopy (the outer forms of what is no query), handover (what
// a cluster is sent), and prompt and cli (statements as they are typed, names in quotes).
// It judges nothing: what may run is decided on DuckDB's own tree.
package sqltext

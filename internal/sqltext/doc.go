// Package sqltext reads the words of SQL as DuckDB's lexer cuts them: where comments,
// strings and names begin and end, and which words are DuckDB's own.
//
// Callers are duck (bounds, EXPLAIN, better errors, reads by key) and sqlwrite (the outer form of
// a statement that changes rows). It judges nothing: what may run is decided on
// DuckDB's own tree.
package sqltext

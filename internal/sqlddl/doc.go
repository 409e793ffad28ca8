// Package sqlddl reads the statements that make and drop datasets and change their
// columns: CREATE TABLE (with columns, or AS a query), DROP TABLE and ALTER TABLE.
//
// Words:
//
//   - a Statement is what such a text says, with names unquoted and types as
//     lake.ParseType reads them;
//   - the query of a CREATE TABLE AS is kept as it came, unread: it goes through the
//     gate like every query.
//
// What a lake has not (views, schemas, indexes, default values, …) is refused in words.
//
// Callers are httpapi and cli (is it such a statement?), guard (which dataset?) and
// engine. The package never runs SQL.
package sqlddl

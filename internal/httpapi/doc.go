// Package httpapi is HTTP in and out: it reads requests strictly, asks the lake
// through engine.Door and writes answers, streams and problems.
//
// Words. A route is one row of the table in routes.go: method, path, what it
// takes, what it answers, its handler. The table is the single source of the
// mux, of the strictness about query parameters, of the OpenAPI document and of
// the page at /docs, so that these cannot disagree. A problem is an error as
// clients see it (RFC 9457); statusOf in problem.go is the one place where a
// lake.Code becomes an HTTP status. An exchange is one request with what is
// known of it for problem, log and metrics.
//
// Every path also works under /v1, which is taken off before the mux. The mux
// sees each path in its percent-encoded form, so that the key of a row reaches
// Door.Row as the client wrote it.
//
// A query's answer is never buffered: the first bytes are awaited before the
// status goes out, so that an early error has its own status; an error after
// them ends the connection without the last chunk, in every format.
//
// The OpenAPI document is made of huma's model and schemas. Its typed handlers
// are not used: they report errors through a variable of the whole process and
// buffer bodies.
//
// Callers: the serve command, and every command that opens a lake itself (over
// memory, see package client). The package never touches a file, DuckDB or the
// store, and decides nothing about data.
package httpapi

// Package sqlcopy reads COPY: rows of a file of the client into a dataset, or the answer
// of a query into a file of the client. A server opens no file that a text names, so COPY
// is the client's: cli is the caller.
//
// COPY FROM is an import that appends; COPY TO is a query. The package opens no file and
// knows no lake.
package sqlcopy

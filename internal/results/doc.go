// Package results holds answers that were given, to give them again: while the
// read points of their datasets are the same, the same query has the same answer
// (I3), and needs no worker. It holds rows by their keys too (rows.go), each until
// its key is changed, and all rows of datasets that are read by key often (table.go,
// tables.go).
//
// Words. A *question* is what decides an answer beside the data: the SQL with its
// white space made plain, the parameters, the format, which datasets there are for who asks. An *entry* is one whole
// answer to a question with the read points that it was given at; it is *current*
// while these are. A *recorder* passes an answer on as it streams and keeps it once
// it has ended well.
//
// Only answers that are repeatable are kept: nothing random, nothing of the clock,
// nothing about how data are stored, and at least one dataset. What is kept counts
// against a budget of bytes; the least recently used goes first.
//
// The engine calls it, and it alone says what is current: entries are asked for
// with a function that holds an answer's head against the lake. This package knows
// no dataset, and never runs a query.
package results

// Package handover has a cluster that somebody runs, Spark or Trino, answer a query in
// tarn's place, and gives its answer as Arrow batches.
//
// Words. A *cluster* is a configured server of the one or the other, which reads the lake
// by the Iceberg REST catalog, under the name of its *catalog* there. A *query* is a text
// that the gate let pass: one SELECT in DuckDB's words. Its *spelling* is the same words as
// the cluster's lexer cuts them (dialect.go): comments are gone, names and strings are in
// the cluster's quotes, so that what the gate judged is what the cluster reads. An *answer*
// is a running query's batches.
//
// The caller is engine, which asks the gate, folds what is pending, and encodes. This
// package knows no dataset, and keeps nothing between two queries but connections.
// docs/design/handover.md is the plan of it.
package handover

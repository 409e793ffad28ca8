// Package sqlwrite reads the outer form of a statement that changes rows (INSERT,
// UPDATE, DELETE, MERGE) and makes of it the one SELECT that gives the rows to upsert,
// the keys to delete, and what the statement returns.
//
// Words:
//
//   - a Statement is the outer form: target, columns, clauses; what stands in a
//     clause is kept as a piece, the text as it came;
//   - a Read is the SELECT made of a Statement and the target's schema;
//   - a Transaction is BEGIN; Statements; COMMIT in one text, each with the parameters
//     that it uses;
//   - a flag is a number beside a row of a Read that says why the row may not be
//     taken.
//
// The parser splits at keywords outside of all brackets and judges nothing else. A
// piece never reaches out of its place in the Read: its brackets are balanced, its
// comments and strings are closed, an expression stands in parentheses of its own, and
// what would end a FROM is refused. What a piece may do is the gate's to say, which
// sees the Read as it sees every SELECT.
//
// Callers are httpapi and cli (is it such a statement?), guard (whom does it change?)
// and engine. The package never runs SQL and knows no dataset but by its schema.
package sqlwrite

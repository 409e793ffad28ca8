// Package demo is the guided tour: it makes a data set (or takes somebody's own
// Parquet files), starts a real server on it, imports, asks, changes, compacts,
// kills the server in the middle of a write load, and compares every answer
// with arithmetic of its own.
//
// Words: a tour is the whole walk; a step has a title and ends in checks; a
// check is one sentence that is true or false. The tour fails when a check does.
// The tour sees the lake as any client does, over HTTP; the one thing it looks
// at besides is the list of base files, to show that none is rewritten.
//
// Caller: the demo command. It never opens a lake inside its own process.
package demo

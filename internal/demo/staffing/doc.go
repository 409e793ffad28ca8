// Package staffing makes the data set of the demo and of the benchmarks: a
// staffing agency with its clients, candidates, job orders, placements,
// timesheets, calls and mails; 2,467,000 rows at scale 1.
//
// Every value is a pure function of (seed, table, row, field): no state, no
// library whose numbers may change, no floating point. So the data is the same
// on every machine, any row can be made again alone (the demo compares answers
// of the lake with its own arithmetic over the same rows), and a foreign key
// always meets its row.
//
// Words: a Table names rows of one shape; a Set is all tables at one scale and
// seed. Callers: internal/demo, benchmarks and tests. It never talks to a lake.
package staffing

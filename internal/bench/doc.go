// Package bench measures a lake beside plain DuckDB on the same rows, and finds
// a wrong answer while it does.
//
// Words:
//
//   - a subject answers queries: the lake, or a peer;
//   - a peer is plain DuckDB in a process of its own (`tarn bench-peer`), which
//     reads Parquet, or holds tables in memory, plain or compressed;
//   - an entrant is a subject with the rows it is asked for (clean; 1% or 10%
//     changed and nothing compacted); a race asks a query of all its entrants in
//     turns, A B C A B C, and compares their answers: rows and a checksum that
//     does not depend on their order;
//   - a section is a race of all queries in one state of the lake, cold or hot;
//   - a goal is a figure aimed at; missing it is no failure, a wrong answer is.
//
// The lake is opened inside this process with worker and jobs as processes of
// their own, as a server has them, and asked through the engine's door: from the
// call to the last byte of an Arrow stream, which crosses the worker's socket. A
// peer's time is from the call to the last batch, inside its process: what the
// lake's process boundary costs counts against the lake.
//
// Caller: the bench command, and tests. It never judges by a clock whether
// something is right.
package bench

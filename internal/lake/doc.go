// Package lake holds the words of tarn as types: dataset names, schemas and
// their types, read points, base files, deltas, the entries of the stream that
// the worker hears, and the errors that every floor speaks in.
//
// Everyone imports it; it imports nothing of tarn. It never touches a disk, a
// network or DuckDB.
package lake

// Package duck is the one room that knows DuckDB: sessions, the SQL gate, and
// results as Arrow streams. It is used by serving (in the worker) and by job;
// the server itself never imports it, so that no query can hurt it.
//
// Words:
//
//   - a DB is one DuckDB instance with its settings and a scratch folder that no
//     other instance may share (two that share one corrupt each other);
//   - a Conn is one connection: one statement at a time, one goroutine at a time;
//   - a Stream is a running query whose batches are computed as they are read;
//     the next statement on its connection ends it;
//   - a RowMask marks rows of Parquet files as dead, for a function in C that
//     views call;
//   - the Gate says whether a text of a user may run, what it names, and what
//     exactly to run; it holds even where the database is not locked, and a
//     locked database (Options.Lock) holds even where the gate does not.
//
// Every wait takes a context: when it ends, the statement is interrupted and the
// call returns only once DuckDB has let go of it. DuckDB does not answer to an
// interrupt inside a few functions (levenshtein of huge strings, list_sort of
// very long lists); whoever needs a bound there ends the process.
//
// Errors are *lake.Error without paths of the lake in their texts. A *Fatal in
// the chain says that the instance is done for and its process must be replaced.
//
// The package never decides what a dataset is, never holds durable state, and
// never retries.
package duck

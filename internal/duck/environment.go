package duck

// Environment is what a process that opens DuckDB is to be started with. DuckDB's
// allocator (jemalloc) keeps the addresses of memory that it has given back, which count
// against a limit of what the process writes to (RLIMIT_DATA) as if they were in use: a
// job of minutes came to its limit with half of it free. The variable is jemalloc's
// MALLOC_CONF under DuckDB's prefix; it is read before the program's first line runs.
func Environment() []string { return []string{"DUCKDB_JE_MALLOC_CONF=retain:false"} }

//go:build duckdb_arrow

package duck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
)

// Options are the settings of one DuckDB instance.
type Options struct {
	Path             string   // the database file; "" is in memory
	Scratch          string   // folder for spilled data, this instance's own; "" never spills and fails with out of memory instead
	MemoryLimitBytes int64    // of operators; 0 is DuckDB's default, 80% of the machine
	Threads          int      // 0 is DuckDB's default, one a core
	AllowedDirs      []string // with Lock: the folders below which files may be opened
	Lock             bool     // no files outside AllowedDirs and Scratch, and no setting can be changed any more
	TempLimitBytes   int64    // bytes in Scratch; 0 is DuckDB's default, 90% of the free disk
	// PlainJoins keeps joins from pushing filters into the scans of their other side.
	// With these DuckDB 1.5.6 gives wrong rows: the filter of a recursive query's
	// first round stays in what is computed once (DISTINCT, GROUP BY), and BLOB
	// values are looked up in Parquet's Bloom filters by their escaped text. Without
	// them there is no late materialization either: for ORDER BY … LIMIT up to 50 that
	// reads the table twice and, to find the rows again, all of it (2.4 ms became 6).
	PlainJoins bool
	// JoinsAsWritten has joins build their hash table of the right side, in the order
	// of the text. Files that are read by a schema have no estimate of their rows:
	// DuckDB 1.5.6 takes a thousand for ten million and builds the table of them.
	JoinsAsWritten bool
}

// DB is one DuckDB instance. Its methods may be called from many goroutines.
type DB struct {
	db    duckdb.Database
	paths pathCleaner
	close sync.Once
}

// Open starts an instance. Extensions are off, the time zone is UTC so that
// answers do not depend on the machine, freed memory goes back to the system,
// and no checkpoint runs by itself.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Scratch != "" {
		if err := os.MkdirAll(o.Scratch, 0o700); err != nil {
			return nil, lake.Errorf(lake.CodeOutOfDisk, "scratch folder for DuckDB: %w", err)
		}
	}
	db := &DB{paths: newPathCleaner(append([]string{o.Scratch, o.Path}, o.AllowedDirs...))}
	if err := db.open(o); err != nil {
		return nil, err
	}
	if err := db.configure(ctx, o); err != nil {
		db.Close()
		return nil, lake.Step("configure DuckDB", err)
	}
	return db, nil
}

// open starts the instance with the settings that only count from the start.
func (db *DB) open(o Options) error {
	settings := map[string]string{
		"autoinstall_known_extensions": "false",
		"autoload_known_extensions":    "false",
		"allow_community_extensions":   "false",
		"allow_persistent_secrets":     "false",
		"allocator_background_threads": "true",
		"allocator_flush_threshold":    "1MB",
		"checkpoint_threshold":         "1TB",
		"enable_external_file_cache":   "false", // no gain on local files, and it would hold what may since have changed
		"arrow_lossless_conversion":    "true",  // results.go takes its forms back to plain ones, exactly
		"temp_directory":               o.Scratch,
	}
	if o.MemoryLimitBytes > 0 {
		settings["memory_limit"] = bytesSetting(o.MemoryLimitBytes)
	}
	if o.Threads > 0 {
		settings["threads"] = strconv.Itoa(o.Threads)
	}
	var config duckdb.Config
	defer duckdb.DestroyConfig(&config)
	if duckdb.CreateConfig(&config) == duckdb.StateError {
		return lake.Errorf(lake.CodeOutOfMemory, "DuckDB made no configuration")
	}
	for name, value := range settings {
		if duckdb.SetConfig(config, name, value) == duckdb.StateError {
			return lake.Errorf(lake.CodeInternal, "DuckDB does not know the setting %s", name)
		}
	}
	path := o.Path
	if path == "" {
		path = ":memory:"
	}
	var message string
	if duckdb.OpenExt(path, &db.db, config, &message) == duckdb.StateError {
		return lake.Step("open DuckDB", db.failure(context.Background(), message))
	}
	return nil
}

// configure makes the settings that need a running instance, the lock last.
func (db *DB) configure(ctx context.Context, o Options) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.registerLive(); err != nil {
		return err
	}
	statements := []string{"SET GLOBAL TimeZone = 'UTC'"}
	var without []string
	if o.PlainJoins {
		without = append(without, "join_filter_pushdown", "late_materialization")
	}
	if o.JoinsAsWritten {
		without = append(without, "build_side_probe_side", "join_order")
	}
	if len(without) > 0 {
		statements = append(statements, "SET disabled_optimizers = "+lake.QuoteString(strings.Join(without, ",")))
	}
	if o.TempLimitBytes > 0 && o.Scratch != "" {
		// Given at the start, DuckDB shows this limit and does not keep it.
		statements = append(statements, "SET max_temp_directory_size = "+lake.QuoteString(bytesSetting(o.TempLimitBytes)))
	}
	if o.Lock {
		dirs := make([]string, len(o.AllowedDirs))
		for i, d := range o.AllowedDirs {
			// Without the slash at its end a folder would stand for every name
			// that begins like it.
			dirs[i] = lake.QuoteString(strings.TrimRight(d, "/") + "/")
		}
		statements = append(statements,
			"SET allowed_directories = ["+strings.Join(dirs, ", ")+"]",
			"SET enable_external_access = false",
			"SET lock_configuration = true")
	}
	for _, s := range statements {
		if err := c.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the instance once its last connection is closed. It can be called
// twice.
func (db *DB) Close() { db.close.Do(func() { duckdb.Close(&db.db) }) }

// Memory gives the bytes that the instance holds, by DuckDB's tag
// (IN_MEMORY_TABLE, BASE_TABLE, HASH_TABLE, …).
func (db *DB) Memory(ctx context.Context) (map[string]int64, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	rows, err := c.Rows(ctx, "SELECT tag, memory_usage_bytes::BIGINT FROM duckdb_memory()")
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r[0].(string)] = r[1].(int64)
	}
	return out, nil
}

func bytesSetting(n int64) string { return fmt.Sprintf("%dB", n) }

// abs is the path as DuckDB may print it; what cannot be made absolute stays.
func abs(path string) string {
	if p, err := filepath.Abs(path); err == nil {
		return p
	}
	return path
}

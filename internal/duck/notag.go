//go:build !duckdb_arrow

package duck

// DuckDB's Arrow functions stand behind a build tag of its Go bindings. Without
// it this line is what the compiler prints: build with make, or with
// -tags duckdb_arrow.
var _ = build_tarn_with_make_or_the_tag_duckdb_arrow

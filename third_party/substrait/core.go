// Package substrait stands in for the module of the same name, which is a set of
// YAML files: the functions that Substrait plans may call. The Iceberg library parses
// all of them when a program starts, 77 ms and 32 MB of garbage in every command,
// worker and job, for the scans with filters that it can do itself. tarn plans with
// that library and reads with DuckDB, so it gives it none: such a scan would say that
// it knows no function.
package substrait

import "embed"

//go:embed extensions/*
var extensions embed.FS

// GetSubstraitExtensionsFS has the folder extensions with one file that defines
// nothing, as an embedded folder cannot be empty.
func GetSubstraitExtensionsFS() embed.FS { return extensions }

// GetSubstraitFS is GetSubstraitExtensionsFS.
func GetSubstraitFS() embed.FS { return extensions }

// GetSubstraitTestsFS is empty.
func GetSubstraitTestsFS() embed.FS { return embed.FS{} }

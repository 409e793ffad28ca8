// Package base keeps the bases of datasets: Apache Iceberg v2 tables whose files
// lie in the lake's store and whose every byte is under a hash.
//
// Words:
//
//   - folder: where a table lies, base/<namespace>/<name>-<table uuid>; it holds
//     data/ and metadata/
//   - root: the URI of the lake when the table was made. Iceberg's metadata holds
//     absolute locations below it; we take the root off and use the rest as a key,
//     so that a lake that was moved opens where it is
//   - hash in the name: data files are …-x<hash>.parquet, manifests and manifest
//     lists …-x<hash>.avro, metadata is <number>-<hash as a uuid>.metadata.json.
//     So the metadata's key, which the catalog version holds, is the root of a
//     tree of hashes over everything in the table
//   - foreign: a file that others wrote, without a hash in its name
//   - to take in: to move a Parquet file that a job left into the store as a data
//     file, which belongs to the table once a commit adds it
//   - folded-through: the sequence up to which deltas are part of the base, kept
//     as a property of the table and in the summary of the snapshot that folded
//   - to verify: to read a file whole and hold it against the hash in its name
//
// One writer at a time commits to a table. Table values never change: Commit
// gives the next one. Imports, compaction and the engine call it; upkeep asks
// what a table reaches. It never deletes a file, and never says what is current:
// that is the catalog's, by the function that Commit is given.
package base

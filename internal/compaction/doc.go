// Package compaction folds pending deltas into the base: plan, execute, commit,
// publish.
//
//	Plan     a pure value: which deltas, which base files, why, what it costs
//	execute  a job writes new Parquet from the affected files and the deltas
//	commit   one Iceberg commit, made current by one catalog version
//	publish  the worker hears of the new base; the content is what it was
//
// Removing duplicates of a dataset without a key (Dedupe) is a content commit
// and passes through the committer. The policy decides when a fold is due.
//
// Callers are engine (on request) and its policy loop. Nothing is deleted here:
// trimming and collection are upkeep's.
package compaction

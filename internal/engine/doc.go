// Package engine is an opened lake: recovery, the datasets, the activities wired
// together, and the one door (Door) that every adapter goes through.
//
// An Engine owns all goroutines of a lake: the worker's supervisor, a committer
// per dataset, jobs, upkeep and the compaction policy. Close ends them and may be
// called twice. Adapters are httpapi and cli.
package engine

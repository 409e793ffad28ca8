// Package workshop is where imports and compactions get done: it gives a job its
// scratch folder and its slot, takes the files it leaves into the store, and
// makes the base that they belong to current.
//
// Everything before the catalog's commit can be thrown away; scratch always is.
// Callers are imports and compaction. It knows nothing of sequences or of the
// worker.
package workshop

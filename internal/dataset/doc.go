// Package dataset joins a dataset's base and its delta log into one state.
//
// A State is immutable: name, schema, base files, folded-through, the deltas
// still kept. A Dataset holds the newest State and replaces it whole. Whoever
// replaces it does so inside worker.Stream.Do, so that the state changes and
// the worker's entry is numbered in one step; the entries themselves are made
// here (State.Publish, State.Replay).
//
// Callers are the activities: change appends deltas, imports and compaction
// make new bases current, upkeep trims, engine opens. This package decides
// nothing: it does not commit, does not talk to the worker, and starts no
// goroutine.
package dataset

// Package change makes rows change: it takes requests, and what else must pass
// in order with them, through one committer per dataset.
//
//	Request    decoded changes of one client, with its conditions
//	Committer  the one goroutine that gives a dataset's sequences out
//	batch      the requests that share a delta
//	Prepare    makes a request of the newest state, while the committer stands still
//	Held       the committer, standing still, in the hand of an exclusive step
//	Part       what a transaction changes in one dataset; its committers stand still
//	           together, and its deltas count all or none (docs/design/transactions.md)
//
// The delta's creation under the next sequence is the commit; the acknowledgement
// follows it, the worker's apply comes behind. Callers are engine (changes, drop,
// rename) and imports and compaction (exclusive steps). This package never talks
// to the worker but through the stream, and never touches the base.
package change

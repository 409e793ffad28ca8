// Package cache decides which datasets are held in memory: the policy over the
// worker's images, under a budget of bytes. docs/CACHE.md is its page for people.
//
// Words. A *use* is a query that named a dataset: a hit where an image answered,
// a miss where files did. A *pin* is a wish that outlives restarts: the dataset
// is to be hot, and no load of another may evict it. A *plan* says whether a load
// fits and which images go for it; it is a pure value. *Victims* are the images
// that a plan evicts, least recently used first; *displaced* are those that a load
// really evicted, which come back if it fails. A dataset is *wanted* when a load
// of it is to be tried in the background.
//
// The worker holds and measures the images and takes no slice that would exceed
// the budget, whatever is asked of it here; so a plan that was wrong costs a load
// that ends early, never memory. What this package knows of images is what the
// worker last said.
//
// The engine calls it: Used after each query, the rest for the calls of
// /query/cache. No query ever waits for it. It never touches DuckDB or a durable
// file of the lake; pins are a file of this node's own.
package cache

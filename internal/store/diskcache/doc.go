// Package diskcache keeps whole files of an object store on this machine's disk,
// as DuckDB reads local files only.
//
// Words:
//
//   - to fill: to bring a file here, its ranges in parallel; it is checked against
//     its hash before anybody sees it. However many ask, a file is filled once
//   - to hold: to keep files from being evicted, until they are released
//   - budget: the bytes that files may take. What nobody holds goes when others
//     need the room, the least recently used first
//   - kept: a file that we wrote ourselves and that was linked in, without a fill
//
// Files of an earlier server are found again at New, and each is checked before
// its first use. Nothing here is durable: losing the folder costs fills.
//
// The engine makes a Store of it before a bucket; whoever needs several files at
// once asks Hold, so that two who wait for room never wait for each other.
package diskcache

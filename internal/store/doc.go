// Package store is the object store under a lake: named, immutable objects
// that are created only if absent. Everything durable in tarn stands on that one
// primitive; there is no database beside the files.
//
// Words:
//
//   - object: bytes under a key, whole from the first moment it can be seen, and
//     never changed after
//   - key: a path of slash-separated segments, relative to the root:
//     "catalog/00000000000000000001.json"
//   - root: where the lake is, as a URI; Root()+"/"+key names an object to others
//   - unknown outcome: the answer got lost, so the object may be there, may not
//     be, or may be there and not yet be safe from power loss
//   - to settle: to create the same bytes again until the outcome is known
//     (CreateSettled)
//   - to materialise: to bring an object to a file that DuckDB can open (Local)
//
// The local store is Local. It is written against pebble's vfs, so that tests
// can cut the power at each write. Package storetest has the contract as a test
// suite, a store that loses answers, and a disk that crashes.
//
// Beside the store stand the lock that keeps a second process out of a local
// lake (Lock) and the hash that durable files carry (HashBytes, HashFile).
//
// Catalog, delta log and base call it; whoever reads a durable file by its path
// asks Local for it. It never looks into an object and knows no format.
package store

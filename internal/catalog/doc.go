// Package catalog keeps the numbered versions of a lake's catalog: which
// datasets exist, and which Iceberg metadata file is current for each. A version
// is one file, catalog/<number, 20 digits>.json, written once and never changed;
// the highest number is the current one. So create, rename, drop and every
// commit of a base are each one atomic step: the creation of the next version.
//
// Words:
//
//   - version: format.Version, one such file
//   - epoch: counts the openings of a lake. Open writes a version with the next
//     one; a version of somebody else under the number that we want means that
//     the lake was taken over, and we are fenced: nothing is committed any more
//   - to settle: to create the same version again after a lost answer, until it
//     is known whether it is there
//
// The engine opens it; imports, compaction and the engine commit by it; upkeep
// reads and deletes old versions. It never looks into a base or a delta, and
// never decides what may be deleted.
package catalog

// Package backup copies what one catalog version of a lake reaches into a folder,
// and brings it back from there.
//
// Words:
//
//   - instant: a catalog version, with the sequence up to which each dataset's
//     deltas belong to it
//   - backup folder: files/, where each durable file lies under the key that it has
//     in the lake, once however many backups need it, and backups/, where each
//     backup has its manifest. It is no lake: deltas of two instants lie side by
//     side in it, and a catalog version alone does not say where its own end
//   - manifest: format.Backup, the list of one backup's files with their hashes. It
//     is created last, so whatever is not in one is the rest of a copy that failed
//   - view: one backup as a store to read from
//
// The engine calls it and says what the instant is; it holds the files against
// collection meanwhile. This package never opens a lake, and never deletes a file
// that a manifest in its folder needs.
package backup

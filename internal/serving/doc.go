// Package serving holds the serving database of a worker: one DuckDB instance
// in memory in which every dataset of the lake is a relation of its own name.
//
// Words. A *tail* is the pending changes of a dataset, the latest per key, as a
// table. A *view* is how base files and tail show as one relation. A file is
// *touched* when the tail holds a key that may be in it and is not *placed*: whose
// row in the files is not known by its number. Only touched files are anti-joined
// with the tail; rows that are *dead* by place are passed over by a *mask*. A
// file's *form* is its columns as the file itself has them: where a dataset had other
// schemas, files of one form are read by one scan (docs/design/schema.md). A
// *large* delta is not loaded: its keys are, and the view reads its file. An
// *image* is all rows of a dataset, merged, as a table in memory, with a filter of
// its keys; a dataset that has one is *hot* and has no tail. *Codes* number the
// values of a text column that has few; a query that groups by the column is
// *recoded* to them. A query for the first rows of an image by its key is run with a
// *bound* of the key, which a *look* into the image finds. A *load* builds an image
// aside, in slices; a *rebuild* is a load that sorts a hot dataset's image anew. An
// image is *demoted* when its dataset goes back to files and tail; a dropped image is
// *held* while a reader may still see it. The *ledger* books the bytes of images as
// measured around each step.
//
// The *publisher* is the one goroutine that writes: it takes the stream's entries
// in order, many in one transaction, and does the steps of loads in between. A
// dataset is *behind* when its changes could not be applied; it answers an error
// that says why, and is built anew from its files until that succeeds. *Heard* is
// the last entry taken in, *applied* the last that queries see; while nobody waits, what
// is heard is *gathered* before it is applied, and its deltas are loaded *ahead*.
//
// A query's *reading* is the snapshot of everything that it runs over, and at which read
// points the datasets stand in it: as of the publisher's last commit, where none comes
// before the statement's own snapshot is fixed, else as a transaction's first read, of the
// table lake._tarn.datasets, says.
//
// A query that runs out of memory beside others runs again when it has the *turn* in
// its *lane* (docs/design/memory.md).
//
// The worker calls it. It never writes a durable file, never gives a sequence,
// and keeps nothing that a replay of the stream cannot build again.
package serving

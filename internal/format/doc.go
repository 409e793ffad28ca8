// Package format encodes, decodes and verifies the two durable files that are
// tarn's own: the catalog version (JSON) and the delta (Parquet with a footer
// entry). docs/format describes both for a reader without this code.
//
// Words:
//
//   - A sum is the xxh3-128 of the whole file in 32 lower-case hex digits, taken
//     while the digits of the sum itself are all '0', and then written in their
//     place. So a file carries its own proof, and any other byte is damage.
//   - A feature is a name in the file that says what a reader must know to read
//     it right. A reader that does not know one refuses the file.
//   - Changes are a batch of a delta's rows: the dataset's columns and, for each
//     row, whether it is upserted or deleted.
//
// The catalog, the delta log, jobs and the worker call it. It never decides
// where a file lies, never keeps one open, and trusts no byte before the sum of
// the whole was found right. It imports internal/lake and no other room.
package format

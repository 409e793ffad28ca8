// Package delta keeps the delta log of a dataset: its deltas in order, each one
// file, deltas/<table uuid>/<sequence, 20 digits>.parquet. The log grows at its
// end, by creating the next sequence only if it is absent, which is the commit
// of the changes in it; and it is trimmed at its front.
//
// Words:
//
//   - sequence: 1, 2, 3, … in the dataset. A file may stand for a range of them;
//     its name is the last
//   - to settle: to create the same delta again after a lost answer, until it is
//     known whether it is there. Until then the log takes no other sequence
//
// The committer of a dataset creates, recovery opens, upkeep trims. It never
// looks at the changes themselves, and knows nothing of bases: what is folded is
// its callers' business.
package delta

// Package keys turns primary keys into bytes, so that keys can be compared,
// sorted, hashed and put into maps without looking at their types again.
//
// Words:
//
//   - key bytes: one row's whole key. Equal keys have equal bytes; the order of
//     the bytes is the order of the keys, column by column, as DuckDB's ORDER BY
//     has it; no key's bytes start another's.
//   - first bytes: the first key column alone, as bounds of base files have it.
//
// The bytes of one value:
//
//	BOOLEAN                           1: 0 or 1
//	INTEGER, DATE                     4: big-endian, sign bit flipped
//	BIGINT, TIME, TIMESTAMP[TZ]       8: the same
//	DECIMAL                           16: the same, of the unscaled value
//	UUID                              16: as they are
//	VARCHAR, BLOB                     first bytes: as they are
//	                                  key bytes: 00 becomes 00 FF, then 00 01 ends the value
//
// Key bytes live in memory and in messages between the processes of one build.
// They are not part of any durable file.
//
// base, the serving database and the plans of compaction call it; ParsePath is
// for those who serve rows by their key. It never compares values by SQL and
// knows nothing of datasets.
package keys

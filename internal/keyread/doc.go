// Package keyread recognises the SQL that reads one row by its key, SELECT * FROM a
// dataset WHERE its key = a value, so that it can be answered without planning it.
//
// Words: a *read* is such a text in its parts; its *key* is the value that it asks for,
// where that can be held against the dataset's key without a cast of either.
//
// The server calls it for rows that it holds itself, the worker before its gate: both
// must take the same texts for the same reads. It reads no data and knows no dataset
// beyond the schema that it is given.
package keyread

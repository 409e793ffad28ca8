// Package rows turns the formats of clients into Arrow batches of a dataset's
// schema, and the batches of a query's answer into the formats of clients.
//
// Words: a format is a body's media type; a row is one record of it, counted
// from 1; a misfit is a row that parses but does not fit the schema (type,
// null, missing or unknown column, out of range). A body that does not parse
// is CodeInvalidRequest and ends at once, naming the place. Misfits are
// CodeRowsInvalid: the first few are named by row and column, the rest is
// counted, and the caller must take nothing of the body, also not the batches
// that came before.
//
// The way in: a feed buffers the body, a source finds the rows in it, cells
// append their values to Arrow builders, and Decoder hands out batches. The
// way out: a render writes the values of one Arrow column as text, an Encoder
// frames them. Both sides speak the same spelling of every value, so that what
// is written can be read again unchanged.
//
// Where there is no schema yet, Look reads a body of text once to find the forms
// of its columns: what their values have in common, and so the types that keep
// every one of them. The way in then takes the body by these types.
//
// Called by httpapi and cli (bodies, answers), the worker (answers) and jobs
// (large bodies). It never runs SQL, never touches DuckDB, and keeps nothing
// between two bodies.
package rows

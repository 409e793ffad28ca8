// Package query admits reads and hands them to the worker.
//
// At most so many run at once; a bounded queue waits; beyond that a query is
// refused at once. Both are shared among those who ask. Each has an id, a deadline that covers waiting, running and
// sending, and can be cancelled. A query sees everything that was acknowledged
// before it came: it carries the stream's end to the worker.
//
// The caller is engine. It knows nothing of datasets.
package query

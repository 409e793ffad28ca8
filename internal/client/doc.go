// Package client is the Go client of tarn's HTTP, as the command line uses it:
// typed calls over any http.RoundTripper, to a server or, by InMemory, to a
// handler in the same process.
//
// Words. A body is rows, keys or a file with its media type. An answer is the
// stream of a query; it has ended well only when its trailers have come. A job
// is an import, compaction or the like as the server tells of it.
//
// Errors are *lake.Error with the server's code, step and hint. The client adds
// three kinds of its own: CodeUnavailable where no connection came about,
// CodeUnknownOutcome where one was lost while something was being changed, and
// CodeInternal where the answer is not tarn's.
//
// Callers: internal/cli and tests. The package retries nothing: a caller that
// gives an Idempotency-Key can.
package client

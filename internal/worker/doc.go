// Package worker is the seam between the server and the process that answers
// queries: the messages, the stream of changes, the supervisor that keeps one
// worker alive, and the serving of the messages inside the worker.
//
// Words. The *stream* is the numbered order of everything that changes what a
// query sees; Stream numbers it. A *generation* is one life of the worker: one
// process, one socket, one scratch folder. The *replay* is what a new generation
// hears first: the whole state as of one number. A query is *in flight* in a
// generation from the moment its message was written until the generation ended
// the exchange.
//
// Messages are JSON over HTTP on a unix socket; each can be sent twice. Results
// are encoded in the worker and passed on as bytes. The worker is told what to
// be by one line on its standard input, and dies when that input ends, so that
// it never outlives its server.
//
// A worker process puts limits and walls around itself before it opens anything
// (package walls, docs/design/walls.md).
//
// The query and engine packages call it. The server's half never touches DuckDB
// or a durable file; the worker's half keeps nothing that cannot be rebuilt.
package worker

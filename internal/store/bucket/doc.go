// Package bucket is the object store of a lake in a bucket: S3 and what speaks
// it, Google Cloud Storage and Azure Blob Storage, by gocloud.dev/blob.
//
// Words:
//
//   - conditional put: a put with If-None-Match: *, which the store refuses (412)
//     where the key is taken. It is what makes Create exclusive; Probe finds out
//     whether a store really honours it
//   - call: one request to the store, with a time limit of its own. Calls that
//     change nothing are repeated with growing, jittered pauses; a put is not, as
//     its first try may have gone in: its caller settles that (store.CreateSettled)
//   - breaker: after some calls in a row that the store did not answer, none is
//     made for a while, and everyone is told so at once. Then one call tries
//     whether it is back
//
// The engine opens it for a lake whose data are a URL. It gives files on this
// machine by plain copies; package diskcache stands before it and keeps them.
package bucket

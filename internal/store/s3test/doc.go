// Package s3test starts a real S3 server (versitygw, over a folder) for tests, and
// proxies before it that lose, cut and invent answers.
//
// The server comes from the Go module in the folder versitygw, which is one of its
// own so that its many dependencies are not tarn's; `go tool` builds it once and
// keeps it in Go's build cache.
//
// Only tests import it.
package s3test

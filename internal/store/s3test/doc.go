// Package s3test starts a real S3 server (versitygw, over a folder) for tests, stand-ins
// for Google Cloud Storage (fake-gcs-server) and Azure Blob Storage (Azurite), and
// proxies before the first that lose, cut and invent answers.
//
// Azurite is a program of npm that the environment names. The other servers come from the Go modules in the folders versitygw and fakegcs, which are
// of their own so that their many dependencies are not tarn's; `go tool` builds them
// once and keeps them in Go's build cache.
//
// Only tests import it.
package s3test

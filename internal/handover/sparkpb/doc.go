// Package sparkpb has the messages of Spark Connect's protocol that handing a query over
// takes: one SQL text with its arguments in, Arrow batches out, the session's configuration,
// an interrupt and the release of the session.
//
// connect.proto is written here: that part of the protocol (Spark's package spark.connect), by
// the numbers and types that Spark 3.5 to 4.1 have. connect.pb.go is generated of it by protoc
// with protoc-gen-go, whose versions stand at its head, in this folder:
//
//	protoc --go_out=. --go_opt=paths=source_relative connect.proto
//
// It has messages alone. The caller, handover, makes the calls of the service by their names.
package sparkpb

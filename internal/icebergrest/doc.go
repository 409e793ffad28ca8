// Package icebergrest is an Iceberg REST catalog over the lake's door, as a mount of
// httpapi: requests of Apache Iceberg's OpenAPI in, its answers and its errors out.
//
// Words. A *table* is a dataset's base as Iceberg sees it, a *namespace* the first part
// of a dataset's name: there is no other, and none within another. A *staged* table is one
// that was described and not made. A *commit* is requirements and updates in iceberg-go's
// own types; what becomes of it is the engine's.
//
// Callers: the serve command. The package reads no file, keeps nothing between two
// requests, and decides nothing about data or about who may see it.
// docs/design/iceberg-rest.md is the plan of it.
package icebergrest

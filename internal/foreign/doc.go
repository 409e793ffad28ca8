// Package foreign reads Iceberg tables that others own: their metadata, and their files.
//
// Words:
//
//   - source: what a person names: the folder of a table, one metadata file of it, or a
//     table of a catalog
//   - root: a folder or bucket from which tables may be attached (the setting
//     attach_roots). No file outside of the roots is read, whatever metadata names it
//   - catalog: an Iceberg REST catalog that is configured. It is asked what the newest
//     metadata is, and for nothing else: files are read with the server's own rights
//   - URI: where a file lies, as their metadata spells it. Nothing in it is decoded, as
//     Iceberg decodes nothing. Files that others mean by it are found under several
//     spellings: file:/x, file:///x and /x; s3, s3a and s3n; azblob, abfs and wasb
//   - to fetch: to make a file of theirs appear on this machine, linked where it can be
//
// What is wrong with their table is a fault of the request that named it
// (lake.CodeRowsInvalid), and no damage of the lake; what tarn does not do is
// lake.CodeUnsupported, and a file that is not there lake.CodeNotFound: its owner may have
// removed it after a newer snapshot, and whoever reads the table again finds that one.
//
// The package never writes to a root, keeps nothing between two calls but connections, and
// looks into no data file.
package foreign

package lake

import "time"

// ReadPoint is what a reader sees of a dataset. It alone decides the content.
type ReadPoint struct {
	TableUUID string `json:"table_uuid"`
	Sequence  int64  `json:"sequence"`
}

// Place is a ReadPoint as a query's answer reports it.
type Place struct {
	ReadPoint
	Snapshot *string `json:"snapshot"` // Iceberg snapshot id, nil before the first
}

// The values of served_from.
const (
	ServedFromImage   = "image"
	ServedFromParquet = "parquet"
)

// BaseFile is one data file of a base, with what a reader or a plan needs.
type BaseFile struct {
	Key     string `json:"key"`            // in the store
	Path    string `json:"path,omitempty"` // on this machine, filled in for worker and job
	Rows    int64  `json:"rows"`           // in the file, dead ones included
	Bytes   int64  `json:"bytes"`
	Ordinal int64  `json:"ordinal"` // order of arrival of its rows among the files of a dataset without a key
	// Lower and Upper bound the first key column as keys.First encodes it,
	// outwards; nil is unbounded. Both nil without a key.
	Lower []byte `json:"lower,omitempty"`
	Upper []byte `json:"upper,omitempty"`
	// Deletes are the Iceberg position delete files that apply to the file.
	Deletes []DeleteFile `json:"deletes,omitempty"`
	// Dead is how many rows the delete files of ours take away. Those of others, of
	// which one may be of several data files, are not counted.
	Dead int64 `json:"dead,omitempty"`
	// Identity is fileid.Of(Path) when the file was last verified. A reader that
	// finds another one must not read on.
	Identity string `json:"identity,omitempty"` // or NotLocal
	// Foreign files were written by others: their rows are in any order.
	Foreign bool `json:"foreign,omitempty"`
}

// NotLocal is the Identity of a file that may not be on this machine: whoever
// reads it asks for it first. Path is then where it will be.
const NotLocal = "not local"

// CodeNotLocal is the code of a read that met such files, with the table uuids of
// their datasets as its message. It is between worker and server: no client sees it.
const CodeNotLocal Code = "files_not_local"

// Live is how many rows a reader finds in the file.
func (f BaseFile) Live() int64 { return f.Rows - f.Dead }

// DeleteFile is an Iceberg v2 position delete file.
type DeleteFile struct {
	Key      string `json:"key"`
	Path     string `json:"path,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Identity string `json:"identity,omitempty"` // as that of a BaseFile
}

// Delta names one delta of a dataset and what its footer says of it.
type Delta struct {
	Key      string    `json:"key"`
	Path     string    `json:"path,omitempty"`
	First    int64     `json:"first_sequence"` // equals Sequence unless the file stands for a range
	Sequence int64     `json:"sequence"`
	Rows     int64     `json:"rows"`
	Bytes    int64     `json:"bytes"`
	Time     time.Time `json:"time"`
	Requests []Request `json:"requests,omitempty"`
	// LakePosition is the delta's place among the deltas of all datasets, and
	// UUID its own identity; both as its footer has them.
	LakePosition int64  `json:"lake_position,omitempty"`
	UUID         string `json:"uuid,omitempty"`
	Epoch        int64  `json:"epoch,omitempty"` // of its writer
	Seal         *Seal  `json:"seal,omitempty"`  // nil: it is none
	// Transaction is that which the delta is part of, nil: none. Void says that it was
	// aborted: then Rows and Requests are none, whatever the file holds.
	Transaction *Transaction `json:"transaction,omitempty"`
	Void        bool         `json:"void,omitempty"`
}

// Transaction is what the delta of a transaction over several statements says of it.
type Transaction struct {
	UUID       string                 `json:"uuid"`
	Deltas     []TransactionDelta     `json:"deltas"`     // all of it, this one too
	Statements []TransactionStatement `json:"statements"` // in their order
}

// TransactionDelta is where a delta of a transaction lies.
type TransactionDelta struct {
	TableUUID string `json:"table_uuid"`
	Sequence  int64  `json:"sequence"`
}

// TransactionStatement is what a statement of a transaction did.
type TransactionStatement struct {
	Statement string `json:"statement"` // insert, update, delete, …
	TableUUID string `json:"table_uuid"`
	Rows      int64  `json:"rows"`
}

// Avoid gives a delta of an aborted transaction as it counts: without rows and requests.
func (d Delta) Avoid() Delta {
	d.Void, d.Rows, d.Requests = true, 0, nil
	return d
}

// Seal is what an empty delta says that ends the log for a former server: as it was put
// every delta up to After was there. What is missing between the two was not there yet,
// and is no damage.
type Seal struct {
	After int64 `json:"after"`
}

// Empty says that a delta has no change and no request in it: it takes a sequence for
// a content commit, or is a seal.
func (d Delta) Empty() bool { return d.Rows == 0 && len(d.Requests) == 0 }

// Request is one acknowledged request within a delta.
type Request struct {
	Place int    `json:"place"`          // from 1 in its delta
	Rows  int64  `json:"rows"`           // changes in the request, before the latest per key won
	Key   string `json:"key,omitempty"`  // Idempotency-Key
	Hash  string `json:"hash,omitempty"` // of the request, where it has a key; xxh3-128 in hex
}

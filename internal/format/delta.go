package format

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
)

// DeltaFormat is the format version of deltas that this build writes, and the
// newest that it reads.
const DeltaFormat = 1

// OpColumn is the column of a delta that says what each row does, and OpFieldID
// its field id, far from any that Iceberg gives to a dataset's columns.
const (
	OpColumn  = lake.ReservedColumnPrefix + "op"
	OpFieldID = 1_000_000_000
)

// The values of OpColumn.
const (
	OpUpsert uint8 = 0
	OpDelete uint8 = 1 // only the key columns are set
)

// DeltaHeader is what a delta's footer says of it.
type DeltaHeader struct {
	Sum           string   `json:"sum"` // set by encoding and reading
	FormatVersion int      `json:"format_version"`
	Features      []string `json:"features"`
	TableUUID     string   `json:"table_uuid"`
	// First and Sequence are equal, unless the file stands for a range.
	First        int64          `json:"first_sequence"`
	Sequence     int64          `json:"sequence"`
	SchemaID     int            `json:"schema_id"` // Iceberg schema id that its columns follow
	UUID         string         `json:"uuid"`      // the delta's own: it settles an unknown outcome
	Epoch        int64          `json:"epoch"`     // of the writer
	LakePosition int64          `json:"lake_position"`
	Rows         int64          `json:"rows"` // set by encoding: the rows of the file
	Time         time.Time      `json:"time"`
	Requests     []lake.Request `json:"requests"`
	Seal         *lake.Seal     `json:"seal,omitempty"` // of one that seals the log
	// Transaction is that which the delta is part of; encoding adds the feature.
	Transaction *lake.Transaction `json:"transaction,omitempty"`
}

// featureTransaction is of a delta that counts only if the others of its transaction
// are there.
const featureTransaction = "transaction"

var deltaFeatures = map[string]bool{featureTransaction: true}

// Changes is a batch of a delta's rows in the columns of ChangesSchema, with
// what each row does (OpUpsert or OpDelete) in Ops.
type Changes struct {
	Rows arrow.RecordBatch
	Ops  []uint8
}

// ChangesSchema is the schema of Changes.Rows: the dataset's columns in order,
// with key columns non-null and all others nullable, since a delete sets only
// the key.
func ChangesSchema(s lake.Schema) *arrow.Schema {
	return arrow.NewSchema(changeFields(s), nil)
}

func changeFields(s lake.Schema) []arrow.Field {
	key := map[int]bool{}
	for _, i := range s.KeyIndexes() {
		key[i] = true
	}
	fields := make([]arrow.Field, len(s.Columns), len(s.Columns)+1)
	for i, c := range s.Columns {
		fields[i] = c.Arrow()
		fields[i].Nullable = !key[i]
	}
	return fields
}

// Lake gives the delta as the other rooms name it. key and bytes are what the
// header cannot know.
func (h DeltaHeader) Lake(key string, bytes int64) lake.Delta {
	return lake.Delta{
		Key: key, First: h.First, Sequence: h.Sequence,
		Rows: h.Rows, Bytes: bytes, Time: h.Time, Requests: h.Requests,
		LakePosition: h.LakePosition, UUID: h.UUID, Epoch: h.Epoch, Seal: h.Seal,
		Transaction: h.Transaction,
	}
}

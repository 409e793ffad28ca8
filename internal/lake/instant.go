package lake

import "strconv"

// Instant is a dataset as it was at a sequence, or at a time.
type Instant struct {
	Dataset  Name   `json:"dataset"`
	Sequence int64  `json:"sequence"`
	Time     string `json:"time,omitempty"` // as text; "": Sequence says it
	// TimeMicros is Time since 1970, where somebody worked it out.
	TimeMicros int64 `json:"time_us,omitempty"`
	// Placed is the dataset as it is now, without a key, with PlaceColumn (PlacedVersion).
	Placed bool `json:"placed,omitempty"`
}

// String is what errors call it.
func (i Instant) String() string {
	if i.Placed {
		return i.Dataset.String()
	}
	if i.Time != "" {
		return i.Dataset.String() + " AT (TIMESTAMP => " + QuoteString(i.Time) + ")"
	}
	return i.Dataset.String() + " AT (SEQUENCE => " + strconv.FormatInt(i.Sequence, 10) + ")"
}

// InstantFiles is what an Instant is read from: base files, and the deltas that came
// after them, in order. With Present it is the dataset as it is now instead of files, and
// the deltas are changes that nobody else sees.
type InstantFiles struct {
	Instant   Instant    `json:"instant"` // as it was asked for
	TableUUID string     `json:"table_uuid"`
	Sequence  int64      `json:"sequence"`
	Snapshot  *string    `json:"snapshot"`
	Schema    Schema     `json:"schema"`
	Evolved   bool       `json:"evolved,omitempty"` // files may have other columns than Schema
	Present   bool       `json:"present,omitempty"`
	Files     []BaseFile `json:"files"`
	Deltas    []Delta    `json:"deltas"` // with Path
}

// CodeInstants is the code of a read that names instants whose files it was not given,
// with the list of them as JSON for its message. It is between worker and server: no
// client sees it.
const CodeInstants Code = "instants"

package lake

// Entry is one entry of the stream: the numbered order in which the worker
// hears of everything that changes what a query sees. Exactly one of the
// pointers is set. Entries are idempotent: hearing one twice changes nothing.
//
// More says that the next entry belongs with this one: no query may see the one
// without the other.
type Entry struct {
	Number  int64    `json:"number"`
	Publish *Publish `json:"publish,omitempty"`
	Apply   *Apply   `json:"apply,omitempty"`
	Rename  *Rename  `json:"rename,omitempty"`
	Drop    *Drop    `json:"drop,omitempty"`
	More    bool     `json:"more,omitempty"`
}

// Publish makes a base current: of a new dataset (create, import), after a
// fold, after a content commit, and when a worker starts. Entries of the tail
// up to FoldedThrough are dropped, the rest is classified anew. Where Content
// is set, the commit changed the content: Sequence is the sequence its empty
// delta took, and an image of the dataset is dropped.
type Publish struct {
	TableUUID     string     `json:"table_uuid"`
	Name          Name       `json:"name"`
	Schema        Schema     `json:"schema"`
	Files         []BaseFile `json:"files"`
	FoldedThrough int64      `json:"folded_through"`
	Sequence      int64      `json:"sequence"` // the dataset's newest sequence as of this entry
	Snapshot      *string    `json:"snapshot"`
	Content       bool       `json:"content,omitempty"`
	// Evolved says that the table had other schemas: files may have other columns than
	// Schema, which are found by field id.
	Evolved bool `json:"evolved,omitempty"`
}

// Apply adds committed deltas, in order and without a gap.
type Apply struct {
	TableUUID string  `json:"table_uuid"`
	Deltas    []Delta `json:"deltas"` // with Path
}

// Rename gives a dataset another name.
type Rename struct {
	TableUUID string `json:"table_uuid"`
	To        Name   `json:"to"`
}

// Drop takes a dataset away.
type Drop struct {
	TableUUID string `json:"table_uuid"`
}

package bench

// What is said to a peer and what it answers: a JSON object a line, one answer
// to each request, in order.

// PeerMode is how a peer keeps its tables.
type PeerMode string

// Plain DuckDB as people run it.
const (
	PeerParquet    PeerMode = "parquet"    // views over read_parquet
	PeerPlain      PeerMode = "plain"      // tables of an in-memory database
	PeerCompressed PeerMode = "compressed" // the same with DuckDB's compression
)

// peerRequest asks for exactly one thing.
type peerRequest struct {
	Open *peerOpen `json:"open,omitempty"`
	Load *peerLoad `json:"load,omitempty"`
	Exec string    `json:"exec,omitempty"` // a statement whose rows nobody wants
	Run  string    `json:"run,omitempty"`  // a query whose answer is timed and summed up
}

// peerOpen starts DuckDB; the first request.
type peerOpen struct {
	Mode        PeerMode `json:"mode"`
	Scratch     string   `json:"scratch"`
	Threads     int      `json:"threads"` // 0: one a core
	MemoryBytes int64    `json:"memory_bytes"`
}

// peerLoad makes a table, or view, of Parquet files.
type peerLoad struct {
	Schema string   `json:"schema"`
	Table  string   `json:"table"`
	Files  []string `json:"files"`
}

// peerReply answers one request.
type peerReply struct {
	Error       string `json:"error,omitempty"`
	Version     string `json:"version,omitempty"` // of DuckDB, to open
	ElapsedNS   int64  `json:"elapsed_ns"`        // of load and run
	MemoryBytes int64  `json:"memory_bytes"`      // of all tables, after load
	digest
}

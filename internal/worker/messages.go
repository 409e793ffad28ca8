package worker

import (
	"encoding/json"
	"time"

	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/walls"
)

// Open is what a worker is told when it starts: one line of JSON on its
// standard input. Nothing in it changes during its life.
type Open struct {
	Generation int64  `json:"generation"`
	Scratch    string `json:"scratch"` // a folder of its own; the supervisor makes and removes it
	// LakeDirs are the folders whose Parquet files may be read.
	LakeDirs         []string `json:"lake_dirs"`
	MemoryLimitBytes int64    `json:"memory_limit_bytes"` // of DuckDB's operators; the process may have 1 GB more
	TempLimitBytes   int64    `json:"temp_limit_bytes"`   // of spilled data; 0: DuckDB's default
	Threads          int      `json:"threads"`
	MaxConcurrent    int      `json:"max_concurrent"`    // queries at once
	LargeDeltaBytes  int64    `json:"large_delta_bytes"` // above it a delta is not loaded; 0: 64 MiB
	// ImageBudgetBytes is what images may take, beside MemoryLimitBytes; 0: none
	// can be loaded.
	ImageBudgetBytes int64 `json:"image_budget_bytes"`
}

// QueryRequest is one read: SQL, or the rows of keys where Get is set.
type QueryRequest struct {
	ID          string          `json:"id"` // unique among running queries
	SQL         string          `json:"sql,omitempty"`
	Params      json.RawMessage `json:"params,omitempty"` // an array for ? and $1, an object for $name, or nothing
	Format      rows.OutFormat  `json:"format"`
	See         int64           `json:"see"`                // the stream's number that the answer must contain
	Deadline    time.Time       `json:"deadline,omitzero"`  // covers waiting, running and sending; zero: none
	MaxSQLBytes int             `json:"max_sql_bytes"`      // 0: the gate's own
	Trusted     bool            `json:"trusted,omitempty"`  // tarn's own SQL: it does not pass the gate
	Datasets    []lake.Name     `json:"datasets,omitempty"` // with Trusted: what the SQL reads
	Get         *Get            `json:"get,omitempty"`
	// Visible are the datasets that there are for the SQL; nil: all. Others are as if
	// they did not exist. Datasets of Trusted and Get are not held against it.
	Visible *lake.NameSet `json:"visible,omitempty"`
	// Instants are the files of those that the SQL names; without them the worker asks
	// for them (lake.CodeInstants).
	Instants []lake.InstantFiles `json:"instants,omitempty"`
	// Snapshot says that Instants are what the SQL reads of their datasets where it names
	// these as they are; it takes no AT. It is of a transaction, whose own changes are
	// among them.
	Snapshot bool `json:"snapshot,omitempty"`
	// Placed is the dataset that the SQL may name by lake.PlacedVersion.
	Placed lake.Name `json:"placed,omitzero"`
	// Owner is who asked; the server alone knows it. Caller, which the supervisor sets,
	// tells owners apart in the worker without saying who they are.
	Owner  string `json:"-"`
	Caller uint64 `json:"caller,omitempty"`
	// Within says that it is asked for a statement that is listed itself.
	Within bool `json:"-"`
	// Check asks what the gate says of the SQL, which is not run: the answer is one text,
	// the JSON of a lake.Checked.
	Check bool `json:"check,omitempty"`
	// AddedBytes are those of SQL that are tarn's own, beyond the bound of a text.
	AddedBytes int `json:"-"`
}

// Get asks for the rows of keys of one dataset; keys that are absent are left
// out, and a key that comes twice gives one row.
type Get struct {
	TableUUID string      `json:"table_uuid"`
	Format    rows.Format `json:"format"`
	Keys      []byte      `json:"keys"` // a body of that format with the key columns only
}

// Status is what a worker says of itself.
type Status struct {
	PID     int   `json:"pid"`
	Heard   int64 `json:"heard"`   // the stream's last number taken in
	Applied int64 `json:"applied"` // and the last one that queries see
	// Released is a number up to which every running query's snapshot has the
	// entries: files that these took away are no longer read by this worker.
	Released int64             `json:"released"`
	Running  int               `json:"running"`            // queries
	Behind   map[string]string `json:"behind,omitempty"`   // datasets that answer nothing now, and why
	Memory   map[string]int64  `json:"memory,omitempty"`   // bytes by DuckDB's tags
	Overdue  []string          `json:"overdue,omitempty"`  // ids of queries past their deadline
	Datasets int               `json:"datasets,omitempty"` // served
	Walls    walls.Report      `json:"walls"`
	// ImageBytes are those of images, also of dropped ones that a reader holds.
	ImageBytes int64 `json:"image_bytes,omitempty"`
}

type (
	replayMessage struct {
		Entries []lake.Entry `json:"entries"`
		End     int64        `json:"end"`
	}
	hearMessage struct {
		Entries []lake.Entry `json:"entries"`
	}
	heardMessage struct {
		Applied int64 `json:"applied"` // the last entry that queries see; 0 before the replay
	}
	headMessage struct {
		Head        rows.Head     `json:"head"`
		Columns     []rows.Column `json:"columns"`
		ContentType string        `json:"content_type"`
	}
	endMessage struct {
		Tail  rows.Tail  `json:"tail"`
		Error *wireError `json:"error,omitempty"`
	}
	imageMessage struct { // of load, project and drop
		TableUUID string `json:"table_uuid"`
		After     int64  `json:"after"` // the stream's number that must be applied first
	}
	imageAnswer struct {
		Image Image      `json:"image"`
		Error *wireError `json:"error,omitempty"` // beside the image, which says how large it would be
	}
	runningMessage struct {
		Running bool `json:"running"`
	}
)

// wireError is a *lake.Error between processes: its code, its words, its hint.
type wireError struct {
	Code lake.Code `json:"code"`
	Step string    `json:"step,omitempty"`
	Msg  string    `json:"msg"`
	Hint string    `json:"hint,omitempty"`
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Code: lake.CodeOf(err), Msg: err.Error(), Hint: lake.HintOf(err)}
	if e, ok := err.(*lake.Error); ok && e.Step != "" {
		w.Step = e.Step
		rest := *e
		rest.Step = ""
		w.Msg = rest.Error()
	}
	return w
}

func (w *wireError) error() error {
	if w == nil {
		return nil
	}
	return &lake.Error{Code: w.Code, Step: w.Step, Msg: w.Msg, Hint: w.Hint}
}

// The names of headers and trailers; their values are JSON in base64, since
// columns have any name.
const (
	headHeader  = "Tarn-Head"
	againHeader = "Tarn-Again" // there where the query was run twice
	endTrailer  = "Tarn-End"
)

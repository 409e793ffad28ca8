package bench

import (
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"tarn/internal/lake"
)

// Report is everything that a run measured.
type Report struct {
	Tarn    string    `json:"tarn"`
	DuckDB  string    `json:"duckdb"`
	Began   time.Time `json:"began"`
	Machine Machine   `json:"machine"`

	Scale         float64 `json:"scale"`
	Seed          uint64  `json:"seed"`
	TimesheetRows int64   `json:"timesheet_rows"`
	CandidateRows int64   `json:"candidate_rows"`
	Rounds        int     `json:"rounds"`
	Threads       int     `json:"threads"`            // of the lake's worker, and of each peer
	QueryMemory   int64   `json:"query_memory_bytes"` // the same

	Queries []Timing `json:"queries"`
	Writes  []Writes `json:"writes"`
	Loads   []Load   `json:"loads"`
	Held    []Held   `json:"held"`
	Goals   []Goal   `json:"goals"`

	// ImageBytes are the bytes that the cache counted for one image, at each of
	// its loads: the same rows each time.
	ImageBytes []int64 `json:"image_bytes"`
	// HeldDoubt says why the bytes that the cache counts cannot be right. No goal
	// is judged by them then.
	HeldDoubt string `json:"held_doubt,omitempty"`

	// Compared is how many answers were held against another's about the same
	// rows; one that differs ends the run.
	Compared int64 `json:"answers_compared"`
}

// Machine is what the run had.
type Machine struct {
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	CPUs        int    `json:"cpus"`
	MemoryBytes int64  `json:"memory_bytes"`
	// Load is how many processes wanted to run in the minute before, 0 where the
	// system does not say; a run beside other work says little.
	Load float64 `json:"load_before,omitempty"`
}

// Load is rows brought into place.
type Load struct {
	What string  `json:"what"` // import, image, or a peer's table
	Data string  `json:"data"`
	Rows int64   `json:"rows"`
	MS   float64 `json:"ms"`
	PerS float64 `json:"rows_per_s"`
}

// Held is the memory that a system holds the timesheets and candidates in: as
// the cache has it, for a peer as duckdb_memory() has its tables.
type Held struct {
	System string  `json:"system"`
	Data   string  `json:"data"`
	Rows   int64   `json:"rows"`
	Bytes  int64   `json:"bytes"`
	PerRow float64 `json:"bytes_per_row"`
}

func newReport(o Options) *Report {
	return &Report{
		Tarn: o.Version, Began: time.Now().UTC().Truncate(time.Second),
		Machine: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), MemoryBytes: o.MemoryBytes, Load: loadAverage()},
		Scale:   o.Scale, Seed: o.Seed, Rounds: o.Rounds, Threads: o.threads(), QueryMemory: o.memoryBytes(),
		Queries: []Timing{}, Writes: []Writes{}, Loads: []Load{}, Held: []Held{}, Goals: []Goal{}, ImageBytes: []int64{},
	}
}

// loadAverage is that of the last minute, as Linux tells it.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

func (r *Report) addLoad(what, data string, rows int64, took float64) {
	r.Loads = append(r.Loads, Load{What: what, Data: data, Rows: rows, MS: took, PerS: over(float64(rows), took/1000)})
}

func (r *Report) addImport(namespace, table string, rows int64, took time.Duration) {
	if namespace == clean0 {
		r.addLoad("import", table, rows, ms(took))
	}
}

func (r *Report) addImageLoad(dataset lake.Name, rows int64, took Times) {
	r.addLoad("image", dataset.Dataset, rows, took.MedianMS)
}

func (r *Report) addPeerHeld(mode PeerMode, rows, bytes int64, took time.Duration) {
	system := plainTable
	if mode == PeerCompressed {
		system = compressed
	}
	r.addHeld(system, clean0, rows, bytes)
	r.addLoad(system, "timesheets and candidates", rows, ms(took))
}

func (r *Report) addHeld(system, data string, rows, bytes int64) {
	r.Held = append(r.Held, Held{System: system, Data: data, Rows: rows, Bytes: bytes, PerRow: over(float64(bytes), float64(rows))})
}

// timing finds a query's timing; ok is false where it was not measured.
func (r *Report) timing(state State, query, system, data string) (t Timing, ok bool) {
	for _, t := range r.Queries {
		if t.State == state && t.Query == query && t.System == system && t.Data == data {
			return t, true
		}
	}
	return Timing{}, false
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

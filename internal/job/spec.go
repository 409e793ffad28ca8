package job

import (
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Kind is the kind of a job.
type Kind string

// The kinds. Each has its part of the Spec.
const (
	KindImport  Kind = "import"
	KindFold    Kind = "fold"
	KindDedupe  Kind = "dedupe"
	KindChanges Kind = "changes"
	KindCheck   Kind = "check"
	KindMarks   Kind = "marks"
	KindRewrite Kind = "rewrite"
	KindOverlay Kind = "overlay"
)

// Spec says what a job is to do. Exactly the part that Kind names is set.
type Spec struct {
	Kind             Kind     `json:"kind"`
	Scratch          string   `json:"scratch"`             // a folder of the job's own, empty; the caller removes it
	MemoryLimitBytes int64    `json:"memory_limit_bytes"`  // of DuckDB's operators; 0 is DefaultMemoryLimitBytes
	Threads          int      `json:"threads"`             // to begin with; 0 is 1; fewer where they would not have perThreadBytes each
	TargetFileBytes  int64    `json:"target_file_bytes"`   // of data files; 0 is DefaultTargetFileBytes
	LakeDirs         []string `json:"lake_dirs,omitempty"` // folders with the durable files that the job may read

	Import  *Import  `json:"import,omitempty"`
	Fold    *Fold    `json:"fold,omitempty"`
	Dedupe  *Dedupe  `json:"dedupe,omitempty"`
	Changes *Changes `json:"changes,omitempty"`
	Check   *Check   `json:"check,omitempty"`
	Marks   *Marks   `json:"marks,omitempty"`
	Rewrite *Rewrite `json:"rewrite,omitempty"`
	Overlay *Overlay `json:"overlay,omitempty"`
}

// The defaults of a Spec.
const (
	DefaultMemoryLimitBytes = 1 << 30
	DefaultTargetFileBytes  = 32 << 20
)

// perThreadBytes is what each thread of a sort needs: 2 threads ran out of 256
// MiB at 6 million rows where 1 did not, and not of 512 MiB.
const perThreadBytes = 256 << 20

// InputFile is a file of rows in a format of clients.
type InputFile struct {
	Path   string      `json:"path"`
	Name   string      `json:"name"` // as messages name it
	Format rows.Format `json:"format"`
}

// What on_duplicate can say.
const (
	OnDuplicateError = "error"
	OnDuplicateLast  = "last"
)

// Import turns files into data files of a base.
//
// Without a Schema it is inferred from the files, which may be of any mix of
// formats: their columns must agree by name (without regard to case), and types
// are unified where every value is kept. Parquet is then read by DuckDB, the
// others by the decoders of package rows, as changes are. With a Schema these
// decoders read all of them. The compression of text (gzip, zstd) and the
// delimiter of CSV are found out.
//
// Keyed outputs are sorted by key over all files and hold disjoint key ranges;
// others keep the order of arrival: files as given, rows as they stand.
type Import struct {
	Files       []InputFile  `json:"files"`
	Schema      *lake.Schema `json:"schema,omitempty"` // nil: infer
	Key         []string     `json:"key,omitempty"`    // with a nil Schema
	OnDuplicate string       `json:"on_duplicate"`     // error or last (in order of arrival)
	MaxRowBytes int          `json:"max_row_bytes"`    // of rows that the decoders read; 0 is their default
}

// Group is a run of base files, contiguous in key order, that are rewritten
// together with the changes that belong to them: those whose first key column
// is at or above From (as keys.First encodes it) and below the next group's.
// A group without files takes new keys between files that stay as they are.
type Group struct {
	Files []int  `json:"files"` // positions in Fold.Base
	From  []byte `json:"from,omitempty"`
}

// Fold turns base files with changes into new base files.
//
// For a keyed dataset Base holds the files to be rewritten; every change must
// belong to one of them or be of a key that no file of the base holds. Imported
// rows win over all deltas. Deltas ascend by sequence.
//
// For a dataset without a key the rows of Base, which are the newest of the base
// (small files to be merged) or none, then those of the deltas, then the imported
// ones become new files in order of arrival.
type Fold struct {
	Schema   lake.Schema     `json:"schema"`
	Base     []lake.BaseFile `json:"base"`             // with Path
	Groups   []Group         `json:"groups,omitempty"` // none: one of all files
	Deltas   []lake.Delta    `json:"deltas"`           // with Path
	Imported []string        `json:"imported,omitempty"`
	// RefuseExisting makes it CodeKeyConflict if a key of Imported exists
	// already, in the base or by the deltas.
	RefuseExisting bool `json:"refuse_existing,omitempty"`
	// Exclude are Parquet files of rows: changes of the deltas to their keys are
	// ignored. A later round that catches up with an import uses it.
	Exclude []string `json:"exclude,omitempty"`
	// Marking, of a keyed dataset, keeps base files and marks their rows instead;
	// nil: all of Base is rewritten.
	Marking *Marking `json:"marking,omitempty"`
}

// Marking makes a fold write position deletes for the rows that changes replace or
// delete, and the upserts as new files. Files that have too many dead rows or
// delete files then are rewritten besides, without the changed keys.
type Marking struct {
	DeadShare float64  `json:"dead_share"`      // of a file's rows: beyond it the file is rewritten
	Rewrite   []int    `json:"rewrite"`         // positions in Base of files that are in any case
	Fixed     []int    `json:"fixed,omitempty"` // and of files that are not, however many of their rows are dead
	Locations []string `json:"locations"`       // of Base, as position deletes name them
	// Whole says that a delete file has all dead rows of its data file, of those before the
	// fold too, and not the new ones alone.
	Whole bool `json:"whole,omitempty"`
}

// Dedupe keeps, of a dataset without a key, the last row in order of arrival
// for each value of Columns, in which nulls equal each other.
type Dedupe struct {
	Schema  lake.Schema     `json:"schema"`
	Base    []lake.BaseFile `json:"base"`   // all files, in order of arrival, with Path
	Deltas  []lake.Delta    `json:"deltas"` // with Path, ascending
	Columns []string        `json:"columns"`
}

// The operations of Changes. OpKeep takes rows that lack columns (rows.MissingKeep), and
// makes an Arrow stream of them instead: the columns of rows.GivenSchema and RowColumn,
// by key and in order of arrival.
const (
	OpKeep    = "keep"
	OpUpsert  = "upsert"
	OpDelete  = "delete"
	OpChanges = "changes" // upserts and deletes, as rows.DecodeMixed reads them
)

// Changes turns a large body into the Parquet of one delta (for
// format.FinishDelta): the dataset's columns and _tarn_op; of each key the
// latest change, or all rows in order of arrival without a key.
type Changes struct {
	Schema      lake.Schema        `json:"schema"`
	Op          string             `json:"op"`
	Input       InputFile          `json:"input"`
	Deltas      []lake.Delta       `json:"deltas,omitempty"` // instead of Input: with Path, in order; Op is OpChanges, or OpUpsert without a key
	Missing     rows.MissingPolicy `json:"missing"`
	MaxRowBytes int                `json:"max_row_bytes"`
}

// Check reads what a commit of another program would make of a base. It writes nothing.
//
// CodeRowsInvalid: a null in a required column, a file that is not as its manifest says.
// CodeKeyConflict: a key twice. CodePreconditionFailed: it changes rows that changed
// meanwhile.
type Check struct {
	Schema  lake.Schema     `json:"schema"`
	Kept    []lake.BaseFile `json:"kept"`    // files that stay and may have a key of the new ones; with Path
	Removed []lake.BaseFile `json:"removed"` // where changes are pending; with Path
	Added   []lake.BaseFile `json:"added"`   // with Path
	// Where changes are pending: files that stay and lose rows, as they are before, among
	// Removed, and as they are after it.
	Marked []lake.BaseFile `json:"marked,omitempty"` // with Path
	Deltas []lake.Delta    `json:"deltas"`           // that are pending, with Path
}

// Marks turns the position deletes of another program into delete files of the table's
// own (Result.Deletes, with the snapshot that each belongs to).
//
// CodeRowsInvalid: they name a data file that the table has not, a row that it has not, or
// are not as their manifests say. CodeUnsupported: rows that were deleted would come back.
type Marks struct {
	lake.ForeignDeletes // with the Path of every delete file
	// Dangling says that delete files may name data files that are none of Files, and rows
	// of files that they do not apply to: what is left of them after others were written anew.
	Dangling bool `json:"dangling,omitempty"`
}

// Rewrite makes of what a statement changes in a dataset without a key, by the places of
// rows (lake.PlaceColumn), the base files that have such rows anew, each as one in its
// order, and files of the rows of the deltas and of those that the statement inserts.
//
// Outputs have as their Group the position of the file that they replace, in ascending
// order, or the number of files of Base: those that come behind all others. Rewritten are
// the files that they replace, also those of which no row stays. Nothing is written where
// nothing is changed.
type Rewrite struct {
	Schema      lake.Schema     `json:"schema"`
	Base        []lake.BaseFile `json:"base"`    // all files, in order of arrival, with Path
	Rewrite     []int           `json:"rewrite"` // positions of files that are rewritten in any case
	Tail        int             `json:"tail"`    // so many of the last files become one with what comes behind them
	Deltas      []lake.Delta    `json:"deltas"`  // that are pending, with Path
	Op          string          `json:"op"`      // OpUpsert, OpDelete, OpChanges
	Input       InputFile       `json:"input"`   // the dataset's columns (not with OpDelete), the place, and with OpChanges rows.OpColumn
	MaxRowBytes int             `json:"max_row_bytes"`
}

// Overlay writes what stands on top of a table of others as the Parquet of one delta: an
// upsert of each row in files of tarn's own, and a delete of each key that a file of the
// owner had and that no row has now. Keys of the deltas are left out: what they say is newer.
// The dataset has a key.
type Overlay struct {
	Schema lake.Schema     `json:"schema"`
	Own    []lake.BaseFile `json:"own"`    // with Path
	Now    []lake.BaseFile `json:"now"`    // files of the owner with the dead rows that they have; with Path
	Before []lake.BaseFile `json:"before"` // the same with those that they had; with Path
	Deltas []lake.Delta    `json:"deltas"` // that are pending, with Path
}

// RowColumn is the number of a row in the body, from 1, a BIGINT.
const RowColumn = lake.ReservedColumnPrefix + "row"

// Progress is where a job is. Done and Total are rows or bytes by step; a Total
// of 0 is not known.
type Progress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// Output is a Parquet file that the job wrote, not synced.
type Output struct {
	Path  string `json:"path"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	Group int    `json:"group"` // of a fold: the group that it replaces
}

// Result is what a job made. Outputs are in key order, or in order of arrival.
// Counts that do not belong to the kind are 0.
type Result struct {
	Schema  *lake.Schema `json:"schema,omitempty"` // of an import, with field ids
	Outputs []Output     `json:"outputs"`
	Rows    int64        `json:"rows"` // rows of the inputs; changes in the request, before the latest per key won

	BaseRows  int64 `json:"base_rows"`  // live rows of the base files read
	DeltaRows int64 `json:"delta_rows"` // change rows in the deltas
	Updated   int64 `json:"updated"`    // rows of the base that got another content
	Inserted  int64 `json:"inserted"`   // rows that the base did not have
	Deleted   int64 `json:"deleted"`    // rows of the base that are gone
	FinalRows int64 `json:"final_rows"` // rows of the outputs

	// Rewritten are positions in Base: of a rewrite those of the files that Outputs
	// replace, of a marking fold those of which Rewrites, which are not among Outputs, have
	// the live rows, in key order.
	Rewritten []int     `json:"rewritten,omitempty"`
	Rewrites  []Output  `json:"rewrites,omitempty"`
	Deletes   []Deletes `json:"deletes,omitempty"` // of a marking fold
}

// Deletes is a position delete file for one file of the base. Its Rows are those
// that it takes away.
type Deletes struct {
	Base     int `json:"base"`               // position in Fold.Base, or in Marks.Files
	Snapshot int `json:"snapshot,omitempty"` // of Marks: the one of the commit that it comes with
	Output
}

// check refuses a Spec that names no work. Its faults are the caller's.
func (s Spec) check() error {
	parts := map[Kind]bool{
		KindImport: s.Import != nil, KindFold: s.Fold != nil,
		KindDedupe: s.Dedupe != nil, KindChanges: s.Changes != nil, KindCheck: s.Check != nil, KindMarks: s.Marks != nil,
		KindRewrite: s.Rewrite != nil, KindOverlay: s.Overlay != nil,
	}
	for kind, set := range parts {
		if set != (kind == s.Kind) {
			return lake.Errorf(lake.CodeInternal, "job of kind %q: its part of the spec is missing, or another is set", s.Kind)
		}
	}
	if !parts[s.Kind] {
		return lake.Errorf(lake.CodeInternal, "job of unknown kind %q", s.Kind)
	}
	if s.Scratch == "" {
		return lake.Errorf(lake.CodeInternal, "a job without a scratch folder")
	}
	return nil
}

// bounded is a number of threads of which each has the memory that it needs.
func (s Spec) bounded(threads int) int {
	return max(1, min(threads, int(s.MemoryLimitBytes/perThreadBytes)))
}

func (s Spec) withDefaults() Spec {
	if s.MemoryLimitBytes <= 0 {
		s.MemoryLimitBytes = DefaultMemoryLimitBytes
	}
	s.Threads = s.bounded(s.Threads)
	if s.TargetFileBytes <= 0 {
		s.TargetFileBytes = DefaultTargetFileBytes
	}
	return s
}

package engine

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Column is a column as clients see it; Type is in DuckDB's spelling.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

// Description is what is known of a dataset at one read point.
type Description struct {
	Dataset       string   `json:"dataset"`
	Columns       []Column `json:"columns"`
	PrimaryKey    []string `json:"primary_key"` // empty: none
	FormatVersion int      `json:"format_version" doc:"of the Iceberg table: 2, or 3 with deletion vectors"`
	Rows          int64    `json:"rows"`           // exact, pending changes merged
	BaseRows      int64    `json:"base_rows"`      // in the base alone
	Files         int      `json:"files"`          // data files of the base
	Bytes         int64    `json:"bytes"`          // of these files
	PendingDeltas int      `json:"pending_deltas"` // that hold changes
	PendingRows   int64    `json:"pending_rows"`   // changes in them
	PendingBytes  int64    `json:"pending_bytes"`
	FoldedThrough int64    `json:"folded_through"`
	// TrimmedThrough is the sequence after which all deltas are kept.
	TrimmedThrough int64      `json:"trimmed_through" doc:"the earliest sequence after which GET …/changes can be read"`
	ReadPoint      lake.Place `json:"read_point"`
	ETag           string     `json:"-"`
	// Attached says on which table of others the dataset stands; nil: it is tarn's own.
	Attached *Attachment `json:"attached,omitempty" doc:"the table of others that the dataset stands on; absent: it is tarn's own"`
	// Problem says, in a list, why the rows could not be counted; Rows is -1 then.
	Problem string `json:"problem,omitempty"`
}

// Idempotency carries an Idempotency-Key and what else of the request its hash
// covers: method, path without /v1, sorted query and content type, a line each.
// The engine adds the body. The zero value asks for none.
type Idempotency struct {
	Key   string
	Scope string
	// Owner keeps apart the keys of those who are asked who they are: each has keys of
	// his own.
	Owner string
}

// CreateRequest makes an empty dataset.
type CreateRequest struct {
	Dataset lake.Name
	Schema  lake.Schema // Columns and Key; ids are given here
	// FormatVersion is that of the Iceberg table, 0 for Settings.IcebergFormatVersion.
	FormatVersion int
	Properties    map[string]string // of the Iceberg table, besides tarn's own; none by HTTP
	Idempotency   Idempotency
}

// ChangeOp says what the body of a ChangeRequest holds.
type ChangeOp string

// What a body can hold: rows to upsert (or to append, without a key), keys to
// delete, or both in order (NDJSON).
const (
	OpUpsert  ChangeOp = "upsert"
	OpDelete  ChangeOp = "delete"
	OpChanges ChangeOp = "changes"
)

// ChangeRequest changes rows of one dataset, all or none.
type ChangeRequest struct {
	Dataset     lake.Name
	Op          ChangeOp
	Format      rows.Format
	Body        io.Reader // read to its end; over Settings.MaxBodyBytes: CodeTooLarge
	Missing     rows.MissingPolicy
	IfMatch     string // the header's value, "" for none
	Idempotency Idempotency
}

// ChangeResult is the answer to an acknowledged change.
type ChangeResult struct {
	Rows      int64          `json:"rows"` // changes in the request
	Sequence  int64          `json:"sequence"`
	ReadPoint lake.ReadPoint `json:"read_point"`
	ETag      string         `json:"-"`
}

// ImportMode says what an import does to the dataset.
type ImportMode string

// The modes of an import.
const (
	ImportCreate  ImportMode = "create"
	ImportAppend  ImportMode = "append"
	ImportReplace ImportMode = "replace"
)

// OnDuplicate says what an import does with keys that are double or exist.
type OnDuplicate string

// Double keys are an error, or the last row of a key wins.
const (
	DuplicateError OnDuplicate = "error"
	DuplicateLast  OnDuplicate = "last"
)

// ImportFile is one file to import: a file of this machine by Path, or a Body
// that is spooled to scratch.
type ImportFile struct {
	Name   string // for messages
	Format rows.Format
	Path   string
	Body   io.Reader
	Type   string // its Content-Type, part of an Idempotency-Key's hash
}

// ImportRequest brings files into a dataset, all in one commit.
type ImportRequest struct {
	Dataset     lake.Name
	Mode        ImportMode  // "" is create
	PrimaryKey  []string    // nil: not said
	OnDuplicate OnDuplicate // "" is error
	// Next gives the files one by one and then io.EOF, as Files does; a Body is read
	// before Next is called again.
	Next        func() (ImportFile, error)
	Idempotency Idempotency
}

// Files is the ImportRequest.Next of these files.
func Files(files ...ImportFile) func() (ImportFile, error) {
	return func() (ImportFile, error) {
		if len(files) == 0 {
			return ImportFile{}, io.EOF
		}
		f := files[0]
		files = files[1:]
		return f, nil
	}
}

// ImportResult is the answer to an import.
type ImportResult struct {
	Dataset   string         `json:"dataset"`
	Rows      int64          `json:"rows"`  // rows taken in from the files
	Files     int            `json:"files"` // files read
	Sequence  int64          `json:"sequence"`
	ReadPoint lake.ReadPoint `json:"read_point"`
}

// CompactRequest folds pending deltas of one dataset, or of all when Dataset is
// nil. PrimaryKey asks for the removal of earlier duplicates by these columns
// of a dataset without a key.
type CompactRequest struct {
	Dataset    *lake.Name
	PrimaryKey []string
	DryRun     bool
}

// CompactResult says exactly what a compaction did or, for a dry run, would do.
type CompactResult struct {
	Dataset        string         `json:"dataset"`
	DryRun         bool           `json:"dry_run,omitempty"`
	BaseRows       int64          `json:"base_rows"`     // in the base before
	DeltaRows      int64          `json:"delta_rows"`    // change rows in the folded deltas
	FinalRows      int64          `json:"final_rows"`    // in the base after; absent from a dry run (-1)
	DeltasMerged   int            `json:"deltas_merged"` // that hold changes
	Inserted       int64          `json:"inserted"`
	Updated        int64          `json:"updated"`
	Deleted        int64          `json:"deleted"`
	FilesRewritten int            `json:"files_rewritten"`
	FilesKept      int            `json:"files_kept"`
	FilesAdded     int            `json:"files_added"`
	DeleteFiles    int            `json:"delete_files"` // written: position deletes of rows in files kept
	BytesRewritten int64          `json:"bytes_rewritten"`
	BytesPending   int64          `json:"bytes_pending"`
	FoldedThrough  int64          `json:"folded_through"`
	Snapshot       *string        `json:"snapshot"`
	ReadPoint      lake.ReadPoint `json:"read_point"`
	Reason         string         `json:"reason"` // why this was, or would be, done or not
	ElapsedMS      float64        `json:"elapsed_ms"`
	// Problem says, where all datasets were asked for, why this one was not done.
	Problem string `json:"problem,omitempty"`
}

// CompactResults is the answer where no dataset was named.
type CompactResults struct {
	Results []CompactResult `json:"results"`
}

// JobState is where a job stands.
type JobState string

// The states of a job.
const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// JobProgress is how far a job is; Total is 0 while unknown.
type JobProgress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// JobInfo is one job as clients see it.
type JobInfo struct {
	ID       string      `json:"id"`
	Kind     string      `json:"kind"` // import, compact, attach, sync, backup, reroot
	Dataset  string      `json:"dataset,omitempty"`
	State    JobState    `json:"state"`
	Created  time.Time   `json:"created"`
	Ended    *time.Time  `json:"ended,omitempty"`
	Progress JobProgress `json:"progress"`
	Result   any         `json:"result,omitempty"`
	Err      error       `json:"-"` // httpapi renders it as "error": a problem
}

// QueryRequest is one read. The answer streams in Format.
type QueryRequest struct {
	SQL     string
	Params  json.RawMessage // an array for ? and $1, an object for $name, or nil
	Timeout time.Duration   // 0: the setting's
	Format  rows.OutFormat
	Fresh   bool   // not the answer of before, though it were right
	Engine  string // who answers: EngineHere ("" too), handover.Spark, handover.Trino, EngineAuto
	ID      string // of /queries/{id}, unique; "": one is made
	Owner   string // of the query, "" where nobody is asked who he is
	// Visible are the datasets that there are for the query; nil: all. Others are as if
	// they did not exist.
	Visible *lake.NameSet
}

// GetRequest asks for the rows of keys; Body holds the key columns.
type GetRequest struct {
	Dataset lake.Name
	Format  rows.Format
	Body    io.Reader
	Out     rows.OutFormat
	ID      string // of /queries/{id}, unique; "": one is made
	Owner   string // of the query, "" where nobody is asked who he is
}

// Answer is a streaming result. Close it always; closing before the end cancels.
type Answer struct {
	ID          string // of /queries/{id}
	ContentType string
	Columns     []rows.Column // nil of an answer that was given before
	Head        rows.Head
	ETag        string        // of a read of one dataset, else ""
	Deadline    time.Time     // covers sending: a client that takes longer is cut
	Outage      bool          // the bucket does not answer: whether another server took the lake over is not known
	Engine      string        // the cluster that answers; "": this server
	Again       bool          // it was given before at the same read points, and no worker was asked
	Body        io.ReadCloser // a read error of type *lake.Error after the first byte ends the answer
	Tail        func() rows.Tail
}

// QueryInfo is one running query.
type QueryInfo struct {
	ID      string    `json:"id"`
	SQL     string    `json:"sql"`
	State   string    `json:"state"` // queued, running
	Started time.Time `json:"started"`
	Owner   string    `json:"owner,omitempty" doc:"the token that asked, where the server has tokens"`
}

// DeltaInfo is one delta that is still kept.
type DeltaInfo struct {
	Sequence int64     `json:"sequence"`
	Rows     int64     `json:"rows"`
	Bytes    int64     `json:"bytes"`
	Time     time.Time `json:"time"`
	State    string    `json:"state"` // folded, pending
	Requests int       `json:"requests"`
}

// Finding is one thing that Verify found wrong.
type Finding struct {
	Key     string `json:"key"` // the object, or the dataset
	Problem string `json:"problem"`
}

// VerifyReport says what was read and what is wrong.
type VerifyReport struct {
	Backups         int       `json:"backups,omitempty"` // of a backup folder; what follows is of the newest, or of all files
	CatalogVersions int       `json:"catalog_versions"`
	Datasets        int       `json:"datasets"`
	Objects         int       `json:"objects"`
	Bytes           int64     `json:"bytes"`
	Rows            int64     `json:"rows"`        // in the bases of the newest version
	Unreachable     int       `json:"unreachable"` // objects that nobody reaches: upkeep collects them
	Findings        []Finding `json:"findings"`
}

// CacheEntry is how one dataset stands in the cache.
type CacheEntry struct {
	Dataset   string          `json:"dataset"`
	State     string          `json:"state" enum:"cold,loading,hot,not_loaded" doc:"not_loaded: pinned, and not hot for the reason given"`
	Reason    string          `json:"reason,omitempty" doc:"of not_loaded"`
	Pinned    bool            `json:"pinned"`
	Rows      int64           `json:"rows" doc:"of the image"`
	Bytes     int64           `json:"bytes" doc:"of the image, measured"`
	Hits      int64           `json:"hits" doc:"queries that named the dataset and were answered from its image, since the server started"`
	LoadedAt  *time.Time      `json:"loaded_at" doc:"null unless hot"`
	LastUsed  *time.Time      `json:"last_used" doc:"null: not since the server started"`
	ReadPoint *lake.ReadPoint `json:"read_point" doc:"of the image; null unless hot"`
}

// CacheStats is how the cache stands.
type CacheStats struct {
	BudgetBytes int64        `json:"budget_bytes"`
	UsedBytes   int64        `json:"used_bytes" doc:"all that the budget counts: images, their key filters, dropped images that an older query still holds, answers that are kept"`
	Hits        int64        `json:"hits" doc:"datasets named by queries and answered from an image, since the server started"`
	Misses      int64        `json:"misses" doc:"and from files"`
	Loads       int64        `json:"loads"`
	Evictions   int64        `json:"evictions"`
	Datasets    []CacheEntry `json:"datasets"`
	Results     CacheResults `json:"results" doc:"answers that are kept to be given again"`
	Disk        *CacheDisk   `json:"disk,omitempty" doc:"files of the lake's bucket on this machine's disk; absent where the lake is on this machine"`
}

// CacheDisk is how the disk cache before a bucket stands.
type CacheDisk struct {
	BudgetBytes int64 `json:"budget_bytes"`
	UsedBytes   int64 `json:"used_bytes"`
	HeldBytes   int64 `json:"held_bytes" doc:"of them, files that queries may be reading, and pending changes"`
	Files       int   `json:"files"`
	Hits        int64 `json:"hits" doc:"files that were asked for and were here, since the server started"`
	Misses      int64 `json:"misses" doc:"and were fetched"`
	FilledBytes int64 `json:"filled_bytes" doc:"fetched since the server started"`
	Evictions   int64 `json:"evictions" doc:"files that left for others"`
	Refilled    int64 `json:"refilled" doc:"files that were not as they should be, and were fetched anew"`
	// StoreDown says that the bucket does not answer.
	StoreDown bool `json:"store_down" doc:"the bucket does not answer: what is here is served, marked"`
}

// CacheResults is how the answers stand that are kept to be given again.
type CacheResults struct {
	BudgetBytes int64 `json:"budget_bytes" doc:"the part of the budget that is for them"`
	UsedBytes   int64 `json:"used_bytes"`
	Entries     int   `json:"entries"`
	HeldRows    int64 `json:"held_rows" doc:"rows of datasets that are held whole, to be read by their keys"`
	Hits        int64 `json:"hits" doc:"queries that were answered so, since the server started"`
	HeldHits    int64 `json:"held_hits" doc:"of them, reads by key that were answered from rows that are held"`
	Misses      int64 `json:"misses" doc:"queries that were not"`
}

// Door is everything an adapter can ask of an opened lake. *Engine is the one
// implementation; adapters name the interface so that it stays the only door.
type Door interface {
	// List describes the datasets that there are for the caller; a nil set is all. The
	// others are not looked at.
	List(ctx context.Context, visible *lake.NameSet) ([]Description, error)
	Describe(ctx context.Context, name lake.Name) (Description, error)
	Create(ctx context.Context, r CreateRequest) (Description, error)
	Rename(ctx context.Context, name, to lake.Name, idem Idempotency) (Description, error)
	Drop(ctx context.Context, name lake.Name, idem Idempotency) error
	// Alter changes a dataset's schema.
	Alter(ctx context.Context, r AlterRequest) (AlterResult, error)
	Deltas(ctx context.Context, name lake.Name) ([]DeltaInfo, error)
	// Feed opens a dataset's changes after a sequence, to be read by its Run.
	Feed(ctx context.Context, r FeedRequest) (*Feed, error)

	Change(ctx context.Context, r ChangeRequest) (ChangeResult, error)
	// Execute runs a statement that changes rows, all or nothing.
	Execute(ctx context.Context, r StatementRequest) (StatementResult, error)
	ExecuteTransaction(ctx context.Context, r TransactionRequest) (TransactionResult, error)
	// Define runs a CREATE TABLE or DROP TABLE. Its ctx ends the query of CREATE TABLE AS;
	// what is being committed goes on.
	Define(ctx context.Context, r DefinitionRequest) (DefinitionResult, error)
	// Import reads the files, then starts a job and returns it.
	Import(ctx context.Context, r ImportRequest) (*Job, error)
	// Compact starts a job; its result is a CompactResult or CompactResults.
	Compact(ctx context.Context, r CompactRequest) (*Job, error)
	// Attach starts a job that makes a dataset of a table of others, Sync one that takes the
	// owner's newest commit; their results are an AttachResult. Detach makes it tarn's own.
	Attach(ctx context.Context, r AttachRequest) (*Job, error)
	Sync(ctx context.Context, name lake.Name) (*Job, error)
	Detach(ctx context.Context, name lake.Name) (Description, error)
	// Backup starts a job; its result is a BackupResult.
	Backup(ctx context.Context, r BackupRequest) (*Job, error)
	// IcebergNames, IcebergLoad, IcebergCreate and IcebergCommit are for programs of
	// Apache Iceberg; see the types of their requests.
	IcebergNames(ctx context.Context, visible *lake.NameSet) ([]lake.Name, error)
	IcebergLoad(ctx context.Context, r IcebergLoadRequest) (IcebergTable, error)
	IcebergCreate(ctx context.Context, r IcebergCreateRequest) (IcebergTable, error)
	IcebergCommit(ctx context.Context, r IcebergCommitRequest) (IcebergTable, error)
	IcebergTransaction(ctx context.Context, all []IcebergCommitRequest) error
	// Reroot starts a job; its result is a RerootResult.
	Reroot(ctx context.Context) (*Job, error)
	Jobs() []JobInfo
	Job(id string) (*Job, error)
	CancelJob(id string) (JobInfo, error)

	Query(ctx context.Context, r QueryRequest) (*Answer, error)
	Get(ctx context.Context, r GetRequest) (*Answer, error)
	// Row gives one row as a JSON object and the ETag of the state read.
	Row(ctx context.Context, name lake.Name, key string) (row []byte, etag string, err error)
	Queries() []QueryInfo
	CancelQuery(id string) (QueryInfo, error)

	// CachePin answers when the dataset is hot and its pin is durable;
	// lake.CodeCacheFull where it does not fit beside the other pins.
	CachePin(ctx context.Context, name lake.Name) (CacheEntry, error)
	CacheUnpin(ctx context.Context, name lake.Name) (CacheEntry, error)
	// CacheEvict makes a dataset cold, and unpins it.
	CacheEvict(ctx context.Context, name lake.Name) (CacheEntry, error)
	// CacheEvictAll makes all datasets cold that are not pinned, or all, and
	// gives the entries of all.
	CacheEvictAll(ctx context.Context, pinnedToo bool) ([]CacheEntry, error)
	CacheStats(ctx context.Context) (CacheStats, error)

	Verify(ctx context.Context, progress func(JobProgress)) (VerifyReport, error)
	// Workers tells of the processes that answer queries: the living, the last dead.
	Workers(ctx context.Context) (WorkersInfo, error)
	// Following says how far a follower is; ok is false where the lake is written.
	Following() (now Following, ok bool)
	// Ready is nil when every way works; else the reason (CodeNotReady, CodeBehind).
	Ready() error
	// Outage says whether answers may be old, as the lake's bucket does not answer.
	Outage() bool
	Settings() Settings
}

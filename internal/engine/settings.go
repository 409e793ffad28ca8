package engine

import (
	"reflect"
	"time"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/compaction"
	"tarn/internal/store/bucket"
)

// Settings are the limits and policies of an opened lake. Sizes are bytes. The
// zero value of a field means its default, which Defaults gives.
type Settings struct {
	QueryConcurrency int           // queries that run at once
	QueryQueue       int           // queries that wait; beyond: CodeOverloaded
	QueryTimeout     time.Duration // of a query that says none; also the longest one may ask for is MaxQueryTimeout
	MaxQueryTimeout  time.Duration
	QueryMemoryBytes int64 // DuckDB's memory limit in the worker
	QuerySpillBytes  int64 // on disk, of queries beyond it; 0: half of what is free when the lake opens
	Threads          int   // of the worker; 0: all cores
	MaxSQLBytes      int64
	MaxFeeds         int           // change feeds that are read at once; beyond: CodeOverloaded
	FeedHeartbeat    time.Duration // how often a feed that is followed says that it is there

	CacheBytes int64 // budget of what is held in memory to answer from; NoCache: none
	// ResultCacheBytes is the part of CacheBytes that is for answers to be given
	// again; NoCache: none.
	ResultCacheBytes int64

	MaxBodyBytes   int64 // of one change request
	SpoolBytes     int64 // bodies above it are spooled and a job makes the delta
	MaxRowBytes    int64
	MaxImportBytes int64 // of one import's uploads; 0: what the disk has free

	MaxPendingBytes  int64 // of a dataset; beyond it changes wait, then CodePendingFull
	MaxPendingDeltas int
	PendingWait      time.Duration
	LargeDeltaBytes  int64 // a delta above it, or above largeDelta, is not held in the tail

	CompactAuto     bool          // the policy compacts by itself
	CompactDeltas   int           // pending deltas that make a compaction due
	CompactBytes    int64         // pending bytes that always make it due
	CompactRatio    float64       // pending bytes over bytes to rewrite that makes it due
	CompactInterval time.Duration // how often the policy looks
	// CompactDeadShare above 0 has compaction mark changed rows dead by position
	// deletes, until a larger share of a file's rows is; 0 rewrites their files.
	CompactDeadShare float64
	TargetFileBytes  int64 // of base files; 0: by the dataset's size

	JobMemoryBytes int64 // DuckDB's memory limit in a job
	JobThreads     int
	JobRetention   time.Duration

	SnapshotRetention    time.Duration
	DeltaRetention       time.Duration
	IdempotencyRetention time.Duration
	UpkeepInterval       time.Duration

	// IcebergFold is what a load of an Iceberg table does with pending changes: FoldOff,
	// FoldBounded (within IcebergFoldBytes and IcebergFoldWait), FoldAlways.
	IcebergFold      string
	IcebergFoldBytes int64         // of deltas and base files that such a fold reads
	IcebergFoldWait  time.Duration // how long the load waits for it
	// IcebergFormatVersion is that of the tables of new datasets: 2, or 3 with deletion
	// vectors.
	IcebergFormatVersion int
	IcebergFileGrace     time.Duration // how long files of other programs stay that no commit has

	// HandoverBytes is how much the datasets of a query have that engine=auto hands over:
	// base files and pending changes.
	HandoverBytes int64

	// AttachInterval is how often the owners of attached tables are asked for what is new;
	// NoSync: only when a sync is asked for.
	AttachInterval time.Duration

	FollowInterval time.Duration // how often a follower looks for what is new
	MaxStaleness   time.Duration // beyond it a follower answers nothing: CodeBehind
	// For a lake in a bucket.
	DiskCacheBytes int64         // files of the bucket on this machine's disk; 0: most of what the disk has free
	StoreTimeout   time.Duration // of one call to the bucket; a second more for each MiB
	// FenceCheckInterval is the longest time without a look whether another server
	// took the lake over: reads are never staler, while the bucket answers.
	FenceCheckInterval time.Duration
	// OutageReadLimit is how long reads go on, marked, that need no call to a bucket
	// that does not answer.
	OutageReadLimit time.Duration
}

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
	gb  = int64(1_000_000_000)
)

// resultShare is the part of the cache that is for answers where nothing is said:
// little, as images are what makes the first answer fast.
func resultShare(cacheBytes int64) int64 { return min(cacheBytes/32, 256*mib) }

// NoCache is the budget of a cache that holds nothing, as 0 means the default.
const NoCache = -1

// NoSync is the AttachInterval of a lake that syncs only when it is asked to, as 0 means the
// default.
const NoSync = time.Duration(-1)

// Defaults are settings that work with no setting at all on any machine of
// memoryBytes. The cache has 16 GB or half of the memory, whichever is less;
// queries have half of the rest, and jobs, of which an import or compaction and a
// large change run at once, a sixteenth of the memory each. What remains is for
// the server, for what DuckDB takes outside its limits, and for the system.
func Defaults(memoryBytes int64) Settings {
	cache := min(16*gb, memoryBytes/2)
	return Settings{
		QueryConcurrency: 8, QueryQueue: 64,
		QueryTimeout: 60 * time.Second, MaxQueryTimeout: time.Hour,
		QueryMemoryBytes: max(256*mib, (memoryBytes-cache)/2), MaxSQLBytes: 128 << 10,
		MaxFeeds: 64, FeedHeartbeat: 15 * time.Second,
		CacheBytes: cache, ResultCacheBytes: resultShare(cache),
		MaxBodyBytes: gib, SpoolBytes: 8 * mib, MaxRowBytes: 16 * mib,
		MaxPendingBytes: 2 * gib, MaxPendingDeltas: 20_000, PendingWait: 10 * time.Second, LargeDeltaBytes: 64 * mib,
		CompactAuto: true, CompactDeltas: 1_000, CompactBytes: 256 * mib, CompactRatio: 0.1, CompactInterval: 5 * time.Second,
		JobMemoryBytes: max(128*mib, memoryBytes/16), JobThreads: 1, JobRetention: 24 * time.Hour,
		SnapshotRetention: time.Hour, DeltaRetention: 24 * time.Hour, IdempotencyRetention: 24 * time.Hour,
		UpkeepInterval: time.Minute,
		IcebergFold:    FoldBounded, IcebergFoldBytes: 256 * mib, IcebergFoldWait: 10 * time.Second, IcebergFileGrace: 24 * time.Hour, IcebergFormatVersion: base.VersionDefault,
		HandoverBytes:  64 * gib,
		AttachInterval: time.Minute,
		FollowInterval: time.Second, MaxStaleness: time.Minute,
		StoreTimeout: bucket.DefaultTimeout, FenceCheckInterval: 5 * time.Second, OutageReadLimit: 24 * time.Hour,
	}
}

// withDefaults fills zero fields in.
func (s Settings) withDefaults(memoryBytes int64) Settings {
	if s.CacheBytes != 0 && s.ResultCacheBytes == 0 { // a part of what was given
		s.ResultCacheBytes = max(1, resultShare(s.CacheBytes))
	}
	have, def := reflect.ValueOf(&s).Elem(), reflect.ValueOf(Defaults(memoryBytes))
	for i := range have.NumField() {
		if f := have.Field(i); f.IsZero() && f.Kind() != reflect.Bool {
			f.Set(def.Field(i))
		}
	}
	return s
}

// cacheShares parts the cache between images and answers.
func (s Settings) cacheShares() (images, answers int64) {
	all := max(0, s.CacheBytes)
	answers = min(max(0, s.ResultCacheBytes), all)
	return all - answers, answers
}

func (s Settings) changeLimits() change.Limits {
	return change.Limits{
		PendingBytes: s.MaxPendingBytes, PendingDeltas: s.MaxPendingDeltas, Wait: s.PendingWait,
		BatchRows: 100_000, BatchBytes: 64 * mib, Gather: time.Millisecond,
	}
}

// largeDelta is the bytes above which a delta is not held in the tail: it takes some
// ten times its bytes there, more while it is loaded, and is not alone.
func (s Settings) largeDelta() int64 { return min(s.LargeDeltaBytes, s.QueryMemoryBytes/64) }

// policy is due well before writers reach the bounds of what may be pending,
// whatever was set.
func (s Settings) policy() compaction.Policy {
	return compaction.Policy{
		Deltas: max(1, min(s.CompactDeltas, s.MaxPendingDeltas/2)), Bytes: min(s.CompactBytes, s.MaxPendingBytes/2),
		Ratio: s.CompactRatio, Large: s.largeDelta(),
	}
}

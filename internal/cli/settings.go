package cli

import (
	"iter"
	"reflect"
	"time"

	"tarn/internal/engine"
)

// settings are engine.Settings as flags. Each field has the name of the
// engine's (a test holds that), its flag too unless a tag says else; nil is not
// given, which leaves the default.
type settings struct {
	QueryConcurrency *int           `group:"settings" setting:"" placeholder:"N" help:"Queries that run at once."`
	QueryQueue       *int           `group:"settings" setting:"" placeholder:"N" help:"Queries that wait for a place; beyond it they are refused (429)."`
	QueryTimeout     *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"Time of a query that asks for none."`
	MaxQueryTimeout  *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"The longest time that a query may ask for."`
	QueryMemoryBytes *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Memory that queries work in; beyond it they spill."`
	QuerySpillBytes  *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Disk that queries spill to; 0 is half of what is free at the start."`
	Threads          *int           `group:"settings" setting:"" placeholder:"N" help:"Threads of queries; 0 is all cores."`
	MaxSQLBytes      *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Longest SQL text."`

	MaxFeeds      *int           `group:"settings" setting:"" placeholder:"N" help:"Change feeds that are read at once; beyond it they are refused (429)."`
	FeedHeartbeat *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How often a change feed that is followed says that it is there."`

	CacheBytes       *size `name:"cache-size" group:"settings" setting:"" placeholder:"SIZE" help:"Memory for datasets in use; 0 holds none."`
	ResultCacheBytes *size `name:"result-cache-size" group:"settings" setting:"" placeholder:"SIZE" help:"The part of it for answers that are given again; unless said, a 32nd of it and at most 256MiB; 0 keeps none."`

	MaxBodyBytes   *size `group:"settings" setting:"" placeholder:"SIZE" help:"Largest body of one change request."`
	SpoolBytes     *size `group:"settings" setting:"" placeholder:"SIZE" help:"Change bodies above it go through a file instead of memory."`
	MaxRowBytes    *size `group:"settings" setting:"" placeholder:"SIZE" help:"Largest row."`
	MaxImportBytes *size `group:"settings" setting:"" placeholder:"SIZE" help:"Largest upload of one import; 0 is what the disk has free."`

	MaxPendingBytes  *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Pending changes of a dataset beyond which writers wait."`
	MaxPendingDeltas *int           `group:"settings" setting:"" placeholder:"N" help:"Pending deltas of a dataset beyond which writers wait."`
	PendingWait      *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long writers wait there before they are refused (429)."`
	LargeDeltaBytes  *size          `group:"settings" setting:"" placeholder:"SIZE" help:"A delta above it is read from its file, not held in memory."`

	CompactAuto      bool           `group:"settings" setting:"" default:"true" negatable:"" help:"Compact by itself when it is due."`
	CompactDeltas    *int           `group:"settings" setting:"" placeholder:"N" help:"Pending deltas that make a compaction due."`
	CompactBytes     *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Pending bytes that make a compaction due."`
	CompactRatio     *float64       `group:"settings" setting:"" placeholder:"RATIO" help:"Pending bytes over bytes to rewrite that make a compaction due."`
	CompactDeadShare *float64       `group:"settings" setting:"" placeholder:"SHARE" help:"Above 0, mark changed rows dead until a larger share of a file's rows is, and only then rewrite it."`
	CompactInterval  *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How often it is looked whether a compaction is due."`
	TargetFileBytes  *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Size of base files; 0 is by the size of the dataset."`

	JobMemoryBytes *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Memory that an import or compaction works in."`
	JobThreads     *int           `group:"settings" setting:"" placeholder:"N" help:"Threads of an import or compaction while somebody asks or changes something; else it takes all cores."`
	JobRetention   *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long jobs that ended are listed."`

	SnapshotRetention    *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long old snapshots of the base are kept."`
	DeltaRetention       *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long folded deltas are kept."`
	IdempotencyRetention *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long an Idempotency-Key is remembered."`
	UpkeepInterval       *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How often what nobody can reach is cleared away."`

	IcebergFold          *string        `group:"settings" setting:"" placeholder:"WHEN" help:"Fold what is pending when an Iceberg program loads a table: off, bounded, always."`
	IcebergFoldBytes     *size          `group:"settings" setting:"" placeholder:"SIZE" help:"With bounded: only where this much is to be read at most."`
	IcebergFoldWait      *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"With bounded: how long the load waits; the fold goes on."`
	IcebergFormatVersion *int           `group:"settings" setting:"" placeholder:"N" help:"Of Iceberg tables of new datasets: 2, or 3 with deletion vectors."`
	IcebergFileGrace     *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long files stay that an Iceberg program wrote and did not commit."`

	HandoverBytes *size `group:"settings" setting:"" placeholder:"SIZE" help:"With engine=auto: a query goes to the cluster where its datasets have more than this."`

	AttachInterval *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How often the owners of attached tables are asked for newer commits; 0 is only by tarn sync."`

	FollowInterval     *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"With --read-only: how often it is looked for what is new."`
	MaxStaleness       *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"With --read-only: how old an answer may be; beyond it 503."`
	DiskCacheBytes     *size          `group:"settings" setting:"" placeholder:"SIZE" help:"Of a lake in a bucket: files of it on this machine's disk; 0 is most of what the disk of --state has free, at most 100GB."`
	StoreTimeout       *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"Time limit of one call to the bucket, and a second more for each MiB."`
	FenceCheckInterval *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"The longest time without a look whether another server took the bucket over."`
	OutageReadLimit    *time.Duration `group:"settings" setting:"" placeholder:"TIME" help:"How long a bucket that does not answer is read from memory and disk."`
}

// over gives the defaults with the settings that were given put over them.
func (s settings) over(defaults engine.Settings) engine.Settings {
	from, to := reflect.ValueOf(s), reflect.ValueOf(&defaults).Elem()
	for i := range from.NumField() {
		given, target := from.Field(i), to.FieldByName(from.Type().Field(i).Name)
		if given.Kind() == reflect.Pointer {
			if given.IsNil() {
				continue
			}
			given = given.Elem()
		}
		target.Set(given.Convert(target.Type()))
	}
	if s.CacheBytes != nil && s.ResultCacheBytes == nil {
		defaults.ResultCacheBytes = 0 // not of the default cache, but of this one
	}
	none := func(given *size, to *int64) {
		if given != nil && *given == 0 {
			*to = engine.NoCache // 0 is not given, to the engine
		}
	}
	none(s.CacheBytes, &defaults.CacheBytes)
	none(s.ResultCacheBytes, &defaults.ResultCacheBytes)
	if s.AttachInterval != nil && *s.AttachInterval == 0 {
		defaults.AttachInterval = engine.NoSync
	}
	return defaults
}

// settingDefault gives the default of the setting of a field, as its flag
// would be written; ok is false for a flag that is no engine setting.
func settingDefault(defaults engine.Settings, field string) (text string, ok bool) {
	v := reflect.ValueOf(defaults).FieldByName(field)
	if !v.IsValid() {
		return "", false
	}
	own, _ := reflect.TypeFor[settings]().FieldByName(field)
	t := own.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	given := v.Convert(t).Interface()
	if n, isSize := given.(size); isSize && len(n.String()) > len("1024MiB") {
		return "about " + bytesShown(int64(n)), true // of this machine's memory
	}
	return textOf(given), true
}

// settingFields lists the names of the fields.
func settingFields() iter.Seq[string] {
	return func(yield func(string) bool) {
		t := reflect.TypeFor[settings]()
		for i := range t.NumField() {
			if !yield(t.Field(i).Name) {
				return
			}
		}
	}
}

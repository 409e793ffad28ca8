package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/worker"
)

// hereTries is how often a query is run again as files of its datasets were not on
// this machine: each time, another fold may have brought new ones.
const hereTries = 10

// runHere runs a query, and brings the files that it needs to this machine where
// they are not. They stay until its read transaction has begun; from then on the
// worker's readers keep them.
func (e *Engine) runHere(ctx context.Context, q worker.QueryRequest, timeout time.Duration) (*query.Result, error) {
	res, err := e.queries.Run(ctx, q, timeout)
	if lake.CodeOf(err) != lake.CodeNotLocal || e.remote == nil {
		return res, err
	}
	until, _ := e.queries.Deadline(timeout)
	bringing, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	mine := map[string]func(){}
	defer func() {
		for _, release := range mine {
			release()
		}
	}()
	for try := 0; lake.CodeOf(err) == lake.CodeNotLocal && try < hereTries; try++ {
		absent := tablesIn(err)
		if err := e.fitTogether(append(slices.Collect(maps.Keys(mine)), absent...)); err != nil {
			return nil, err
		}
		for _, table := range absent {
			release, err := e.remote.here.acquire(bringing, table)
			if err != nil {
				return nil, err
			}
			if before := mine[table]; before != nil {
				before()
			}
			mine[table] = release
		}
		left := time.Until(until)
		if left <= 0 {
			return nil, lake.Errorf(lake.CodeDeadline, "bringing its files to this machine took the query's time").
				WithHint("ask again, or for more time by timeout")
		}
		res, err = e.queries.Run(ctx, q, left)
	}
	if lake.CodeOf(err) == lake.CodeNotLocal {
		err = lake.Errorf(lake.CodeNotReady, "the files of its datasets changed faster than they could be brought to this machine").WithHint("try again")
	}
	return res, err
}

// fitTogether refuses datasets whose files can never be on this machine at once.
func (e *Engine) fitTogether(tables []string) error {
	var bytes int64
	slices.Sort(tables)
	for _, table := range slices.Compact(tables) {
		if m := e.memberByUUID(table); m != nil {
			for _, n := range needsOf(m.ds.State().Files) {
				bytes += n.Size
			}
		}
	}
	if bytes <= e.set.DiskCacheBytes {
		return nil
	}
	return lake.Errorf(lake.CodeOutOfDisk, "its datasets have %d bytes of files, and disk_cache_bytes is %d", bytes, e.set.DiskCacheBytes).
		WithHint("raise disk_cache_bytes above it, or ask for fewer datasets at once")
}

// tablesIn reads the table uuids of a CodeNotLocal.
func tablesIn(err error) []string {
	var out []string
	text := err.Error()
	const length = 36
	for i := 0; i+length <= len(text); i++ {
		if text[i+8] == '-' && uuid.Validate(text[i:i+length]) == nil {
			out = append(out, text[i:i+length])
			i += length - 1
		}
	}
	return out
}

func (e *Engine) memberByUUID(uuid string) *member {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.mu.byUUID[uuid]
}

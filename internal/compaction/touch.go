package compaction

import (
	"bytes"
	"context"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// touch remembers which base files the pending changes of a dataset fall into,
// and reads each delta's keys only once for a base.
type touch struct {
	mu struct {
		sync.Mutex
		snapshot string
		through  int64
		files    map[string]bool
	}
}

// of gives the keys of the touched files of s, as a map of the caller's own.
func (t *touch) of(ctx context.Context, s *dataset.State) (map[string]bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock() // held over reads of deltas: one reader of a delta is enough
	id := ""
	if snap := s.Table.SnapshotID(); snap != nil {
		id = *snap
	}
	if t.mu.files == nil || t.mu.snapshot != id || t.mu.through > s.Sequence {
		t.mu.snapshot, t.mu.through, t.mu.files = id, s.FoldedThrough, map[string]bool{}
	}
	if s.Schema.Keyed() {
		for _, d := range s.Pending() {
			if d.Sequence <= t.mu.through || d.Rows == 0 {
				continue
			}
			if err := t.add(ctx, s, d); err != nil {
				return nil, lake.Step("read the keys of "+d.Key, err)
			}
			t.mu.through = d.Sequence
		}
	}
	out := make(map[string]bool, len(t.mu.files))
	for k := range t.mu.files {
		out[k] = true
	}
	return out, nil
}

func (t *touch) add(ctx context.Context, s *dataset.State, d lake.Delta) error {
	enc := keys.NewEncoder(s.Schema.KeySchema(), s.Schema.KeyIndexes())
	_, err := format.OpenDelta(ctx, d.Path, s.Schema, func(c format.Changes) error {
		mark(s.Files, enc, c.Rows, t.mu.files)
		return nil
	})
	return err
}

// TouchedBy adds the base files of s into whose key ranges rows of a job's
// Parquet file fall.
func TouchedBy(ctx context.Context, s *dataset.State, path string, touched map[string]bool) error {
	key := s.Schema.KeySchema()
	enc := keys.NewEncoder(key, key.KeyIndexes())
	return format.ReadColumns(ctx, path, key.Columns, func(rec arrow.RecordBatch) error {
		mark(s.Files, enc, rec, touched)
		return nil
	})
}

// mark adds the files into whose key ranges rows of a batch fall.
func mark(files []lake.BaseFile, enc *keys.Encoder, rec arrow.RecordBatch, touched map[string]bool) {
	var key []byte
	for row := range int(rec.NumRows()) {
		key = enc.First(key[:0], rec, row)
		for _, f := range files {
			if !touched[f.Key] && inRange(f, key) {
				touched[f.Key] = true
			}
		}
	}
}

func inRange(f lake.BaseFile, key []byte) bool {
	return (f.Lower == nil || bytes.Compare(f.Lower, key) <= 0) && (f.Upper == nil || bytes.Compare(key, f.Upper) <= 0)
}

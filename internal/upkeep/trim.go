package upkeep

import (
	"time"

	"tarn/internal/dataset"
)

// TrimThrough says up to which sequence the deltas of a dataset can go: folded
// in every state that is kept, older than before, and never the newest, which
// holds the place of the ETag.
func TrimThrough(s *dataset.State, folded int64, before time.Time) int64 {
	through := s.TrimmedThrough
	for _, d := range s.Deltas[:max(0, len(s.Deltas)-1)] {
		if d.Sequence > folded || !d.Time.Before(before) {
			break
		}
		through = d.Sequence
	}
	return through
}

package dataset

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// State is a dataset at one instant. It is never changed after it was made.
type State struct {
	Name   lake.Name
	UUID   string
	Schema lake.Schema

	Table *base.Table     // the base at its current metadata
	Files []lake.BaseFile // its data files, with Path and Identity

	// Sequence is the newest committed one, 0 before the first. Deltas holds
	// those still kept in order; up to FoldedThrough they are in the base.
	Sequence       int64
	FoldedThrough  int64
	TrimmedThrough int64
	Deltas         []lake.Delta
	sums           []sum // of Deltas, running

	Dropped bool
}

// sum counts the deltas that hold changes, their rows and their bytes, from the first
// delta ever kept up to one. Others leave a fold nothing to do, so that nobody may wait
// for room that they take: an empty delta, and one of an aborted transaction, whose file
// can be of any size.
type sum struct {
	deltas      int
	rows, bytes int64
}

// add appends a delta. States share the arrays: each ends where it ends, and only
// the newest is ever appended to, so nobody sees beyond his own end.
func (s *State) add(d lake.Delta) {
	var last sum
	if n := len(s.sums); n > 0 {
		last = s.sums[n-1]
	}
	if d.Rows > 0 {
		last.deltas++
		last.rows += d.Rows
		last.bytes += d.Bytes
	}
	s.Deltas, s.sums = append(s.Deltas, d), append(s.sums, last)
	s.Sequence = d.Sequence
}

// Pending is the deltas after folded-through.
func (s *State) Pending() []lake.Delta {
	return s.Deltas[s.firstPending():]
}

// FirstKept is the sequence after which every delta is kept.
func (s *State) FirstKept() int64 {
	if len(s.Deltas) == 0 {
		return s.Sequence
	}
	return s.Deltas[0].First - 1
}

// After is the first kept delta with a sequence after one; ok is false where there is
// none.
func (s *State) After(sequence int64) (d lake.Delta, ok bool) {
	i := sort.Search(len(s.Deltas), func(i int) bool { return s.Deltas[i].Sequence > sequence })
	if i == len(s.Deltas) {
		return lake.Delta{}, false
	}
	return s.Deltas[i], true
}

func (s *State) firstPending() int {
	return sort.Search(len(s.Deltas), func(i int) bool { return s.Deltas[i].Sequence > s.FoldedThrough })
}

// PendingSize counts the pending deltas that hold changes, with their change
// rows and bytes.
func (s *State) PendingSize() (deltas int, rows, bytes int64) {
	first := s.firstPending()
	if first == len(s.Deltas) {
		return 0, 0, 0
	}
	all := s.sums[len(s.sums)-1]
	if first > 0 {
		before := s.sums[first-1]
		return all.deltas - before.deltas, all.rows - before.rows, all.bytes - before.bytes
	}
	d := s.Deltas[0] // what was trimmed before it counts in its sum, and not here
	at := s.sums[0]
	deltas, rows, bytes = all.deltas-at.deltas, all.rows-at.rows, all.bytes-at.bytes
	if d.Rows > 0 {
		deltas, rows, bytes = deltas+1, rows+d.Rows, bytes+d.Bytes
	}
	return deltas, rows, bytes
}

// BaseSize counts live rows and bytes of the base's data files.
func (s *State) BaseSize() (rows, bytes int64) {
	for _, f := range s.Files {
		rows += f.Live()
		bytes += f.Bytes
	}
	return rows, bytes
}

// ReadPoint is what a reader sees now.
func (s *State) ReadPoint() lake.ReadPoint {
	return lake.ReadPoint{TableUUID: s.UUID, Sequence: s.Sequence}
}

// Place is the read point with the snapshot beside it.
func (s *State) Place() lake.Place {
	return lake.Place{ReadPoint: s.ReadPoint(), Snapshot: s.Table.SnapshotID()}
}

// ETag is `"<table uuid>.<sequence>.<place in delta>"`: the place of the last
// request in the newest delta, 0 where it has none or there is no delta.
func (s *State) ETag() string {
	place := 0
	if n := len(s.Deltas); n > 0 {
		place = len(s.Deltas[n-1].Requests)
	}
	return ETag(s.UUID, s.Sequence, place)
}

// ETag spells the ETag of a place in a delta of a dataset.
func ETag(uuid string, sequence int64, place int) string {
	return fmt.Sprintf(`"%s.%d.%d"`, uuid, sequence, place)
}

// MatchETag says whether the value of an If-Match header holds for an ETag: *
// or a list of ETags; weak ones never match (RFC 9110, 13.1.1).
func MatchETag(ifMatch, etag string) (bool, error) {
	for part := range strings.SplitSeq(ifMatch, ",") {
		part = strings.TrimSpace(part)
		switch {
		case part == "*" || part == etag:
			return true, nil
		case strings.HasPrefix(part, "W/"):
		case len(part) < 2 || part[0] != '"' || part[len(part)-1] != '"':
			return false, lake.Errorf(lake.CodeInvalidRequest, "If-Match: %s is not an ETag", strconv.Quote(part)).
				WithHint(`send the ETag of an earlier answer as it was, in double quotes`)
		}
	}
	return false, nil
}

// Publish is the stream's entry that makes the state's base current; content
// says that the commit changed what a query sees.
func (s *State) Publish(content bool) lake.Entry {
	return lake.Entry{Publish: &lake.Publish{
		TableUUID: s.UUID, Name: s.Name, Schema: s.Schema, Files: s.Files,
		FoldedThrough: s.FoldedThrough, Sequence: s.Sequence, Snapshot: s.Table.SnapshotID(), Content: content,
		Evolved: s.Table.Evolved(),
	}}
}

// Replay is the entries that build the state in a worker that knows nothing.
func (s *State) Replay() []lake.Entry {
	first := s.Publish(false)
	pending := s.Pending()
	first.Publish.Sequence = s.FoldedThrough
	if len(pending) == 0 {
		first.Publish.Sequence = s.Sequence
		return []lake.Entry{first}
	}
	return []lake.Entry{first, {Apply: &lake.Apply{TableUUID: s.UUID, Deltas: pending}}}
}

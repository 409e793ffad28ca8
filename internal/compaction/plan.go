package compaction

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"tarn/internal/dataset"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// Plan says what a fold of a dataset would do. It is a pure value: equal states
// give equal plans.
type Plan struct {
	Name     lake.Name
	UUID     string
	Snapshot *string // of the base it starts from
	Through  int64   // the sequence that will be folded-through
	Deltas   []lake.Delta
	Rewrite  []lake.BaseFile // whose rows the fold reads and replaces
	Groups   []job.Group     // of them, by key range, so that new files stay clear of those kept
	Mark     []lake.BaseFile // that stay, their changed rows marked dead; worn ones are rewritten
	Keep     []lake.BaseFile

	DeltasWithChanges int
	DeltaRows         int64
	PendingBytes      int64
	RewriteBytes      int64
	MarkBytes         int64
	Reason            string
}

// smallShare is the part of the target size under which a file counts as small;
// smallFiles is how many of them a fold leaves before it takes them along.
const (
	smallShare = 4
	smallFiles = 8
)

// mostDeletes is how many delete files the files of a dataset have together before
// those that are touched are rewritten: every reader and commit reads the manifests.
const mostDeletes = 256

// NewPlan plans a fold of everything pending in s. touched holds the keys of the
// base files into whose key ranges pending changes fall; a deadShare above 0 says that
// the rows, of a dataset with a key, are marked dead instead of rewriting their files,
// until a larger share of a file is. Files of an owner are not rewritten.
func NewPlan(s *dataset.State, touched map[string]bool, targetBytes int64, deadShare float64) Plan {
	p := Plan{Name: s.Name, UUID: s.UUID, Snapshot: s.Table.SnapshotID(), Through: s.Sequence, Deltas: s.Pending()}
	p.DeltasWithChanges, p.DeltaRows, p.PendingBytes = s.PendingSize()
	worn := wornFiles(s, deadShare)
	if p.DeltasWithChanges == 0 && len(worn) == 0 {
		p.Keep = s.Files
		p.Reason = "nothing is pending"
		return p
	}
	if deadShare > 0 {
		p.mark(s, touched, worn, targetBytes)
		return p
	}
	more := 0
	for key := range worn {
		if !touched[key] {
			touched[key] = true
			more++
		}
	}
	take := takeKeyed
	if !s.Schema.Keyed() {
		take = takeTail
	}
	small := take(afterFixed(s), touched, targetBytes)
	p.Rewrite, p.Keep, p.Groups = part(s, touched, targetBytes)
	for _, f := range p.Rewrite {
		p.RewriteBytes += f.Bytes
	}
	p.Reason = fmt.Sprintf("%d deltas with %d changes (%d bytes) are pending; they touch %d of %d base files",
		p.DeltasWithChanges, p.DeltaRows, p.PendingBytes, len(p.Rewrite)-small-more, len(s.Files))
	if more > 0 {
		p.Reason += fmt.Sprintf("; %d files are worn, of whose rows many are dead, and rewritten", more)
	}
	if small > 0 {
		p.Reason += fmt.Sprintf("; %d small files are merged on the way", small)
	}
	return p
}

// wornShare of dead rows, or wornDeletes delete files, make a data file worth rewriting
// though no pending change falls into it: other programs mark rows dead as often as they
// like, and every reader pays for it.
const (
	wornShare   = 0.3
	wornDeletes = 16
)

// wornFiles gives the keys of the worn files. Without a key the order of arrival has to
// stay, so that a file is rewritten with all that came after it: only where a good part of
// all that is dead.
func wornFiles(s *dataset.State, deadShare float64) map[string]bool {
	share := cmp.Or(deadShare, wornShare)
	out := map[string]bool{}
	from, rows, dead := len(s.Files), int64(0), int64(0)
	first := len(s.Files) - len(afterFixed(s))
	for i := len(s.Files) - 1; i >= 0; i-- {
		f := s.Files[i]
		if s.Table.Fixed(f.Key) || i < first && !s.Schema.Keyed() {
			continue
		}
		rows, dead = rows+f.Rows, dead+f.Dead
		switch {
		case len(f.Deletes) < wornDeletes && float64(f.Dead) <= share*float64(f.Rows):
		case s.Schema.Keyed():
			out[f.Key] = true
		case float64(dead) > share*float64(rows):
			from = i
		}
	}
	for _, f := range s.Files[from:] {
		out[f.Key] = true
	}
	return out
}

// afterFixed gives the files that came after the last one of an owner: without a key only
// they can be written anew, in the order of their arrival.
func afterFixed(s *dataset.State) []lake.BaseFile {
	n := len(s.Files)
	for n > 0 && !s.Table.Fixed(s.Files[n-1].Key) {
		n--
	}
	return s.Files[n:]
}

// mark plans a fold that marks rows. Only worn files are rewritten, and small ones, where
// there are many of them: each such fold adds one.
func (p *Plan) mark(s *dataset.State, touched, worn map[string]bool, targetBytes int64) {
	files := s.Files
	small := func(f lake.BaseFile) bool { return f.Bytes < targetBytes/smallShare && !s.Table.Fixed(f.Key) }
	count, deletes := 0, 0
	for _, f := range files {
		if deletes += len(f.Deletes); small(f) {
			count++
		}
	}
	for _, f := range files {
		switch {
		case worn[f.Key], count >= smallFiles && small(f), deletes > mostDeletes && touched[f.Key] && len(f.Deletes) > 0 && !s.Table.Fixed(f.Key):
			p.Rewrite = append(p.Rewrite, f)
			p.RewriteBytes += f.Bytes
		case touched[f.Key]:
			p.Mark = append(p.Mark, f)
			p.MarkBytes += f.Bytes
		default:
			p.Keep = append(p.Keep, f)
		}
	}
	p.Reason = fmt.Sprintf("%d deltas with %d changes (%d bytes) are pending; rows of theirs in %d of %d base files are marked dead",
		p.DeltasWithChanges, p.DeltaRows, p.PendingBytes, len(p.Mark), len(files))
	if len(p.Rewrite) > 0 {
		p.Reason += fmt.Sprintf("; %d files that are small, worn or have many deletes are rewritten on the way", len(p.Rewrite))
	}
}

// marked is the plan as it was carried out: of the files that were read those at
// these positions were rewritten.
func (p Plan) marked(files, read []lake.BaseFile, rewritten []int) Plan {
	p.Rewrite, p.Mark, p.Keep, p.RewriteBytes, p.MarkBytes = nil, nil, nil, 0, 0
	was := map[string]bool{}
	for _, i := range rewritten {
		was[read[i].Key] = true
	}
	for _, f := range files {
		if was[f.Key] {
			p.Rewrite = append(p.Rewrite, f)
			p.RewriteBytes += f.Bytes
		} else {
			p.Keep = append(p.Keep, f)
		}
	}
	return p
}

// takeKeyed marks small files as touched where there are many of them, and says
// how many it marked.
func takeKeyed(files []lake.BaseFile, touched map[string]bool, targetBytes int64) int {
	var small []string
	for _, f := range files {
		if !touched[f.Key] && f.Bytes < targetBytes/smallShare {
			small = append(small, f.Key)
		}
	}
	if len(small) < smallFiles {
		return 0
	}
	for _, key := range small {
		touched[key] = true
	}
	return len(small)
}

// takeTail does the same without a key: only the newest files in arrival order
// can be merged with what arrives, or the order would be lost.
func takeTail(files []lake.BaseFile, touched map[string]bool, targetBytes int64) int {
	n := 0
	for n < len(files) {
		f := files[len(files)-1-n]
		if f.Bytes >= targetBytes/smallShare {
			break
		}
		n++
	}
	if n < smallFiles {
		return 0
	}
	for _, f := range files[len(files)-n:] {
		touched[f.Key] = true
	}
	return n
}

// part parts the files into those to rewrite and those to keep, and the former
// into groups where there is a key.
func part(s *dataset.State, touched map[string]bool, targetBytes int64) (rewrite, keep []lake.BaseFile, groups []job.Group) {
	files := slices.Clone(s.Files)
	if s.Schema.Keyed() {
		slices.SortStableFunc(files, func(a, b lake.BaseFile) int {
			return cmp.Or(bytes.Compare(a.Lower, b.Lower), cmp.Compare(a.Ordinal, b.Ordinal))
		})
		groups = group(files, touched, targetBytes)
	}
	for _, f := range files {
		if touched[f.Key] {
			rewrite = append(rewrite, f)
		} else {
			keep = append(keep, f)
		}
	}
	return rewrite, keep, groups
}

// group gives the key ranges that a fold rewrites apart from each other. files
// are sorted by their lower bounds. A new group begins only where no file so far
// reaches, as a key must belong to the group of every file that may hold it: between
// files that are rewritten and such as are kept, and where a group would make more
// than about one file, so that it is sorted in little memory and written by all
// threads. Where files are kept a group without files takes the new keys among them.
func group(files []lake.BaseFile, touched map[string]bool, targetBytes int64) []job.Group {
	groups := []job.Group{{}}
	last := &groups[0]
	position := 0
	size := int64(0) // bytes of the last group's files
	var reach []byte // the highest upper bound so far
	endless := false // a file without bounds: everything belongs together
	kept := len(files) > 0 && !touched[files[0].Key]
	for _, f := range files {
		if f.Lower == nil || f.Upper == nil {
			endless = true
		}
		switched := touched[f.Key] == kept
		full := touched[f.Key] && size > 0 && size+f.Bytes > targetBytes+targetBytes/2
		if (switched || full) && !endless && bytes.Compare(f.Lower, reach) > 0 {
			groups = append(groups, job.Group{From: f.Lower})
			last, size = &groups[len(groups)-1], 0
		}
		kept = !touched[f.Key]
		if touched[f.Key] {
			last.Files = append(last.Files, position)
			position++
			size += f.Bytes
		}
		if bytes.Compare(f.Upper, reach) > 0 {
			reach = f.Upper
		}
	}
	if kept && !endless {
		groups = append(groups, job.Group{From: append(bytes.Clone(reach), 0)})
	}
	return groups
}

// TargetFileBytes is the size of base files for a dataset of so many bytes: 32 MiB
// for small ones, so that a change here and there rewrites little, up to 1 GiB, so
// that there are well under 100 of them: each costs a query some 0.1 ms, and DuckDB
// has statistics of a column only where a dataset is one file.
func TargetFileBytes(datasetBytes int64) int64 {
	const mib = int64(1) << 20
	return min(max(datasetBytes/32, 32*mib), 1024*mib)
}

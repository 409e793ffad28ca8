package job

import (
	"slices"

	"tarn/internal/lake"
	"tarn/internal/walls"
)

// beyondBytes is what a job may have beside DuckDB's own limit: for the decoders, and
// for what DuckDB takes outside its limit, which ends as an error of this job: the
// writer of 64 MB row groups of wide rows has taken 1 GB.
const beyondBytes = 3 << 29

// heapBytes is where the collector of a job process becomes eager.
const heapBytes = 512 << 20

// oomScore has the system end a job first of all: nothing was changed by it.
const oomScore = 950

// walls is what the process of a job needs of the machine: the lake and its inputs to
// read, its scratch to write.
func (s Spec) walls() walls.Plan {
	return walls.Plan{
		DataLimitBytes: s.withDefaults().MemoryLimitBytes + beyondBytes, OOMScore: oomScore,
		ReadDirs: s.LakeDirs, ReadFiles: s.inputs(), WriteDirs: []string{s.Scratch},
	}
}

// inputs are the paths of all files that the job reads.
func (s Spec) inputs() []string {
	var paths []string
	if i := s.Import; i != nil {
		for _, f := range i.Files {
			paths = append(paths, f.Path)
		}
	}
	if f := s.Fold; f != nil {
		paths = append(durablePaths(f.Base, f.Deltas), append(f.Imported, f.Exclude...)...)
	}
	if d := s.Dedupe; d != nil {
		paths = durablePaths(d.Base, d.Deltas)
	}
	if c := s.Check; c != nil {
		paths = durablePaths(slices.Concat(c.Kept, c.Removed, c.Added, c.Marked), c.Deltas)
	}
	if m := s.Marks; m != nil {
		for _, d := range m.Theirs {
			paths = append(paths, d.Path)
		}
		for _, f := range m.Files {
			for _, d := range f.Before {
				paths = append(paths, d.Path)
			}
		}
	}
	if w := s.Rewrite; w != nil {
		paths = append(durablePaths(w.Base, w.Deltas), w.Input.Path)
	}
	if c := s.Changes; c != nil {
		if paths = durablePaths(nil, c.Deltas); len(c.Deltas) == 0 {
			paths = append(paths, c.Input.Path)
		}
	}
	return paths
}

func durablePaths(base []lake.BaseFile, deltas []lake.Delta) []string {
	paths := make([]string, 0, len(base)+len(deltas))
	for _, b := range base {
		paths = append(paths, b.Path)
		for _, d := range b.Deletes {
			paths = append(paths, d.Path)
		}
	}
	for _, d := range deltas {
		paths = append(paths, d.Path)
	}
	return paths
}

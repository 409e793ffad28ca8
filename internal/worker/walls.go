package worker

import "tarn/internal/walls"

// beyondBytes is what a worker may have beside DuckDB's own limit: what DuckDB takes
// outside it ends as an error inside the process. 1 GB had no death under eight heavy
// sorts, half of it one.
const beyondBytes = 1 << 30

// oomScore has the system end the worker well before the server: it is replaced.
const oomScore = 900

// walls is what a worker process needs of the machine: the lake to read, its scratch
// to write.
func (o Open) walls() walls.Plan {
	p := walls.Plan{OOMScore: oomScore, ReadDirs: o.LakeDirs, WriteDirs: []string{o.Scratch}}
	if n := o.duckBytes(); n > 0 {
		p.DataLimitBytes = n + beyondBytes
	}
	return p
}

// Package job executes the long work on datasets: imports, folds, removal of
// duplicates and large changes. It is the room of the job process (`tarn job`)
// and the seam to it.
//
// Its words:
//   - Spec: what is to be done, a pure value that crosses the process boundary
//     as JSON. It names durable files by their paths on this machine, and one
//     scratch folder that is the job's own.
//   - Result: the Parquet files that were written below Scratch/out, and exact
//     counts. Nothing of it is durable: the caller takes the files in and
//     commits, or removes the scratch folder.
//   - source: a relation over one input with the columns c1…cn of the dataset's
//     types and r, the row's number in the input from 1.
//   - order gate: a streaming window in front of a COPY to several files. DuckDB
//     writes these in the order of their rows only when one thread brings them;
//     the gate makes the pipeline one of a single thread. One file it writes in
//     order by all threads, so that work is cut into pieces of about a file where
//     that can be: folds by groups, Parquet inputs by row numbers. UNION ALL keeps
//     no order at all: whatever unites inputs sorts or stages them first.
//   - host: who the job works for. It hears of progress, and says how many threads
//     the job may use, which changes as others need the machine; each has
//     perThreadBytes of memory.
//
// Columns are called c1…cn by position inside the job, whatever the dataset
// calls them. Files are read by field id, or by name where all have exactly the
// dataset's names and none of these is one of DuckDB's own (file_row_number,
// filename), which it would hide.
//
// Memory is bounded by Spec.MemoryLimitBytes, whatever the data: DuckDB sorts
// and joins on disk below Scratch, and rows decoded in Go pass through a table
// there in batches.
//
// The activities (imports, compaction, change) call it by a Runner; cmd/tarn
// enters it by Main. It never touches the store, commits anything, or writes
// outside Scratch.
package job

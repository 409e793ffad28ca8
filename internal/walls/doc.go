// Package walls puts limits and walls around a process that runs what others
// wrote: the worker, which answers their SQL, and jobs, which read their files.
//
// Words. A *limit* bounds what the process takes from the machine: memory, core
// files, its place when memory ends. A *wall* bounds what it can reach: Landlock
// for files and the network, seccomp for what it may ask of the kernel. A *Plan*
// says what the process needs, a *Report* which of it is in force.
//
// The main functions of package worker and package job call Raise within their own
// process, once every socket is there and before DuckDB opens anything. Nothing of
// it can be taken back. Where the system lacks a wall the process runs without it
// and says so, in the log and in its Report. Package duck has no part in it: the
// walls stand also where the SQL gate and DuckDB's own lock would not.
//
// It never starts a process and knows nothing of datasets. The server itself is
// not confined: what it serves has passed no gate, and it must write the lake.
package walls

package walls

import (
	"fmt"
	"log/slog"
)

// Plan says what a process needs of the machine; it gets no more.
type Plan struct {
	// DataLimitBytes bounds what the process has written to of its own memory
	// (RLIMIT_DATA), so that what it takes beyond any limit within ends as an error
	// of its own; 0: no limit.
	DataLimitBytes int64
	// OOMScore is how much sooner than the server the system ends this process where
	// memory ends all the same, up to 1000.
	OOMScore int
	// ReadDirs are the folders and ReadFiles the files that may be read, WriteDirs the
	// folders in which all may be done. What is not there yet stays out of reach.
	ReadDirs, ReadFiles, WriteDirs []string
}

// Report says which limits and walls are in force. What is not has its reason in
// Lacking.
type Report struct {
	DataLimitBytes int64 `json:"data_limit_bytes,omitempty"`
	OOMScore       int   `json:"oom_score,omitempty"`
	NoCoreFiles    bool  `json:"no_core_files"`
	DiesWithParent bool  `json:"dies_with_parent"` // at once, by signal
	// LandlockABI is the version of the kernel's Landlock that is in force; 0: none.
	LandlockABI int  `json:"landlock_abi"`
	Seccomp     bool `json:"seccomp"`
	// Lacking names each limit and wall that does not stand, and why.
	Lacking []string `json:"lacking,omitempty"`
}

func (r *Report) lacks(what string, err error) {
	r.Lacking = append(r.Lacking, fmt.Sprintf("%s: %v", what, err))
}

// Raise limits and confines this process; nothing takes it back. Everything that
// needs a socket, another process or a file outside the plan must have been done.
// What the system does not have is logged as a warning and left out.
func Raise(p Plan, log *slog.Logger) Report {
	var r Report
	limit(p, &r)
	confine(p, &r)
	for _, l := range r.Lacking {
		log.Warn("this system lacks a wall around the process", "lacking", l)
	}
	return r
}

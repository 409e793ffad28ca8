package worker

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// residentBytes is the memory of a process that lies in RAM, 0 where it is gone.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// yieldFirst has the system end this process before its siblings where memory ends.
func yieldFirst(pid int) {
	// It may be gone by now, and without it the larger one goes first.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0)
}

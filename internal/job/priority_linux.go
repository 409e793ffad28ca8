package job

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// lowerPriority makes the process yield to everything else. What fails of it is
// said and no more: the job's result does not depend on it.
func lowerPriority(stderr io.Writer) {
	warn := func(what string, err error) {
		if err != nil {
			fmt.Fprintf(stderr, "job: %s: %v\n", what, err)
		}
	}
	// On Linux niceness is a thread's own and passes to the threads it makes.
	// The second round reaches threads made during the first.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		warn("list threads", err)
		for _, t := range tasks {
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				_ = unix.Setpriority(unix.PRIO_PROCESS, tid, lowestPriority) // it may have ended
			}
		}
	}
}

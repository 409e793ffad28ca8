//go:build !linux

package job

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// lowerPriority makes the process yield to everything else and leave no core
// file. The end of stdin tells it that its parent has gone.
func lowerPriority(stderr io.Writer) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, lowestPriority); err != nil {
		fmt.Fprintf(stderr, "job: priority: %v\n", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		fmt.Fprintf(stderr, "job: core limit: %v\n", err)
	}
}

//go:build !linux

package job

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// lowerPriority makes the process yield to everything else.
func lowerPriority(stderr io.Writer) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, lowestPriority); err != nil {
		fmt.Fprintf(stderr, "job: priority: %v\n", err)
	}
}

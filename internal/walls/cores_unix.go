//go:build unix

package walls

import "golang.org/x/sys/unix"

// noCoreFiles keeps memory, in which rows of datasets lie, off the disk.
func noCoreFiles(r *Report) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		r.lacks("no core files", err)
		return
	}
	r.NoCoreFiles = true
}

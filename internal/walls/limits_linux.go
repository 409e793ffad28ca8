package walls

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// limit bounds what the process takes, and binds its life to its parent's.
func limit(p Plan, r *Report) {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		r.lacks("death with the parent", err)
	} else {
		r.DiesWithParent = true
	}
	noCoreFiles(r)
	if p.DataLimitBytes > 0 && !RaceDetector {
		n := uint64(p.DataLimitBytes)
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			r.lacks("memory limit", err)
		} else {
			r.DataLimitBytes = p.DataLimitBytes
		}
	}
	if p.OOMScore > 0 {
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(p.OOMScore)), 0); err != nil {
			r.lacks("out-of-memory score", err)
		} else {
			r.OOMScore = p.OOMScore
		}
	}
}

package worker

import (
	"log/slog"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup keeps a terminal's signals from the worker: they are the server's,
// which drains it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// limitSelf bounds this worker process and binds its life to its parent's.
// RLIMIT_DATA counts what is really written to, so that what DuckDB takes
// outside its own limit ends as an error inside this process; 1 GB above the
// operators' limit had no death under eight heavy sorts (half of that had one).
// What the system refuses is said and lived without.
func limitSelf(memoryLimitBytes int64, log *slog.Logger) {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		log.Warn("the worker does not die with its parent's thread", "error", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Warn("core dumps stay on", "error", err)
	}
	if memoryLimitBytes > 0 && !raceDetector {
		limit := uint64(memoryLimitBytes) + 1<<30
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			log.Warn("the worker's memory is not limited", "error", err)
		}
	}
	// Where memory ends all the same, the worker goes first: it is replaced.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("900"), 0)
}

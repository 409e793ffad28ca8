//go:build !linux

package worker

import (
	"log/slog"
	"syscall"
)

// ownGroup keeps a terminal's signals from the worker: they are the server's,
// which drains it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// limitSelf bounds this worker process as far as the system can. The end of its
// standard input binds its life to its parent's.
func limitSelf(_ int64, log *slog.Logger) {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		log.Warn("core dumps stay on", "error", err)
	}
}

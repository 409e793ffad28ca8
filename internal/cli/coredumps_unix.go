//go:build unix

package cli

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// noCoreDumps keeps tokens of requests that are being served out of core files.
func noCoreDumps(log *slog.Logger) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Warn("core dumps stay on; one may hold tokens", "error", err)
	}
}

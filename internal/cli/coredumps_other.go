//go:build !unix

package cli

import "log/slog"

// noCoreDumps has nothing to do where there are no core files.
func noCoreDumps(*slog.Logger) {}

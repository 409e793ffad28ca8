package engine

import (
	"errors"
	"syscall"

	"tarn/internal/lake"
)

// scratchFailed is a failed step with a scratch file.
func scratchFailed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lake.Errorf(lake.CodeOutOfDisk, "write to scratch: %w", err).
			WithHint("free space on the disk of the state folder; nothing was changed")
	}
	return lake.Errorf(lake.CodeUnavailable, "write to scratch: %w", err).
		WithHint("look at the state folder and its permissions; nothing was changed")
}

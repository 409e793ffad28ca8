package workshop

import (
	"golang.org/x/sys/unix"

	"tarn/internal/lake"
)

// FreeBytes is what the disk of a folder has free for us.
func FreeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, lake.Errorf(lake.CodeUnavailable, "ask for free disk space: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // the types differ by system
}

// CheckDisk refuses work that the disks cannot hold, before it begins: so many
// bytes of new files in the lake, and as much again in scratch for sorting.
func (w *Workshop) CheckDisk(bytes int64) error {
	for _, dir := range append([]string{w.Scratch}, w.LakeDirs...) {
		free, err := FreeBytes(dir)
		if err != nil {
			return err
		}
		if 2*bytes > free {
			return lake.Errorf(lake.CodeOutOfDisk, "about %d bytes are to be written, and as many to scratch; the disk of %s has %d free", bytes, dir, free).
				WithHint("free disk space, or put the state folder on another disk by --state; nothing was changed")
		}
	}
	return nil
}

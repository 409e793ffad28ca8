package store

import (
	"errors"
	"io/fs"
	"syscall"

	"tarn/internal/lake"
)

// notCreated is the error of a step after which the object is for sure not
// there.
func notCreated(key, step string, err error) error {
	if noSpace(err) {
		return lake.Errorf(lake.CodeOutOfDisk, "%s: %s: %w", key, step, err).
			WithHint("free space on the disk of the lake; nothing was changed")
	}
	return lake.Errorf(lake.CodeUnavailable, "%s: %s: %w", key, step, err).
		WithHint("look at the disk of the lake and its permissions; nothing was changed")
}

// readError is the error of a step that changes nothing.
func readError(key, step string, err error) error {
	if absent(err) {
		return lake.Errorf(lake.CodeNotFound, "%s: %s: %w", key, step, err)
	}
	return lake.Errorf(lake.CodeUnavailable, "%s: %s: %w", key, step, err).
		WithHint("look at the disk of the lake and its permissions")
}

func exists(key string) error {
	return lake.Errorf(CodeExists, "%s exists already", key)
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// absent says whether a name is not there, also because what stands above it is
// a file (pebble's file system in memory says that in ENOTDIR's words alone).
func absent(err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return true
	}
	var path *fs.PathError
	return errors.As(err, &path) && path.Err.Error() == syscall.ENOTDIR.Error()
}

// linkRefused says whether link(2) answered before it did anything, so that the
// new name is for sure not ours. Anything else (EIO above all) is unknown.
func linkRefused(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS,
		syscall.EXDEV, syscall.EMLINK, syscall.ENAMETOOLONG, syscall.ENOENT, syscall.ENOTDIR, syscall.ENOTSUP,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Package fileid names the state of a file on this machine, so that a file that
// was verified once is noticed when it is not that file any more.
//
// Both wings use it: the server when it verifies, worker and job before they
// read. It never reads a file's content.
package fileid

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Of gives inode, size, mtime and ctime of the file at path as one comparable
// text. A file that differs in any of them has another identity.
func Of(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return OfInfo(fi), nil
}

// OfInfo is Of for a file that was stat'ed already.
func OfInfo(fi fs.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("-:%d:%d:-", fi.Size(), fi.ModTime().UnixNano())
	}
	return fmt.Sprintf("%d:%d:%d:%d", st.Ino, fi.Size(), fi.ModTime().UnixNano(), changeTime(st))
}

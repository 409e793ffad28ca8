package walls

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// What DuckDB and the Go runtime read of the system. Without the first two DuckDB
// aborts the process in open.
var systemDirs = []string{"/proc/self", "/sys/fs/cgroup"}

var systemFiles = []string{
	"/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys/vm/overcommit_memory",
	"/sys/devices/system/cpu/online", "/sys/kernel/mm/transparent_hugepage/enabled",
	"/dev/null", "/dev/zero", "/dev/urandom",
}

// handledFS is what Landlock can refuse of files, handledNet of the network: all
// that it knows.
const (
	handledFS  = landlock.AccessFSSet(1<<17 - 1)
	handledNet = landlock.AccessNetSet(1<<4 - 1)
	readDir    = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	readFile   = landlock.AccessFSSet(ll.AccessFSReadFile)
	// A process makes and removes plain files, folders and links within its own
	// folder, and nothing that stands for a device or a channel.
	writeDir = readDir | landlock.AccessFSSet(ll.AccessFSWriteFile|ll.AccessFSRemoveDir|ll.AccessFSRemoveFile|
		ll.AccessFSMakeDir|ll.AccessFSMakeReg|ll.AccessFSMakeSym|ll.AccessFSTruncate)
)

// withLinks adds to folders where the links in them lead: a lake may have a part of it
// on another disk.
func withLinks(dirs []string) []string {
	out := slices.Clone(dirs)
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it stays out of reach
		}
		for _, e := range entries {
			if e.Type()&os.ModeSymlink == 0 {
				continue
			}
			if real, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name())); err == nil {
				out = append(out, real)
			}
		}
	}
	return out
}

// landlockSelf confines all threads of this process to the files of the plan, with no
// network, and gives the ABI that is in force. A kernel with an older Landlock refuses
// as much as it knows.
//
// Signals are left to seccomp: kernels from 6.12 that put a domain on each thread
// apart refused them between threads of one process, on which the Go runtime rests.
func landlockSelf(p Plan) (abi int, err error) {
	abi, err = ll.LandlockGetABIVersion()
	if err != nil || abi <= 0 {
		return 0, errors.Join(errors.New("the kernel has none, or it is not enabled (lsm=landlock)"), err)
	}
	config := landlock.Config{HandledAccessFS: handledFS, HandledAccessNet: handledNet, Scoped: ll.ScopeAbstractUnixSocket}
	rules := []landlock.Rule{
		landlock.PathAccess(readDir, systemDirs...).IgnoreIfMissing(),
		landlock.PathAccess(readFile, systemFiles...).IgnoreIfMissing(),
		landlock.PathAccess(readFile|landlock.AccessFSSet(ll.AccessFSWriteFile), os.DevNull).IgnoreIfMissing(),
		landlock.PathAccess(readDir, withLinks(p.ReadDirs)...).IgnoreIfMissing(),
		landlock.PathAccess(readFile, p.ReadFiles...).IgnoreIfMissing(),
		landlock.PathAccess(writeDir, p.WriteDirs...).IgnoreIfMissing(),
	}
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return 0, err
	}
	return abi, nil
}

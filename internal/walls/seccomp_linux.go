package walls

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// refused are the system calls that a confined process has no use for. They fail
// with EPERM. Those that one architecture has and another has not are left out there.
var refused = slices.Concat(
	// The network. What was opened before goes on: accept on the listener too.
	[]string{"socket", "socketpair", "connect", "bind", "listen"},
	// Other programs and processes.
	[]string{"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
		"process_madvise", "process_mrelease", "kcmp", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "tkill",
		"rt_sigqueueinfo", "rt_tgsigqueueinfo", "unshare", "setns"},
	// What Landlock does not cover of files: owner, mode, times, attributes, devices.
	[]string{"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat",
		"utime", "utimes", "utimensat", "futimesat", "truncate", "mknod", "mknodat",
		"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
		"name_to_handle_at", "open_by_handle_at", "fanotify_init"},
	// Rights and limits of its own.
	[]string{"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
		"capset", "setrlimit", "personality", "keyctl", "add_key", "request_key"},
	// Memory shared with others.
	[]string{"shmget", "shmat", "msgget", "semget", "mq_open"},
	// Wide doors into the kernel.
	[]string{"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
		"modify_ldt", "iopl", "ioperm", "lookup_dcookie"},
	// The machine.
	[]string{"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount",
		"fspick", "mount_setattr", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module",
		"delete_module", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
		"quotactl", "quotactl_fd", "acct", "syslog", "vhangup", "nfsservctl"},
)

const (
	actEPERM  = seccomp.Action(uint32(seccomp.ActionErrno)&^0xffff | uint32(unix.EPERM))
	actENOSYS = seccomp.Action(uint32(seccomp.ActionErrno)&^0xffff | uint32(unix.ENOSYS))
)

// policy is the filter for a process with this id, in the words of the library. The
// calls that are refused by their arguments need the id: a process may signal itself,
// as the Go runtime and abort do.
func policy(info *arch.Info, pid int) seccomp.Policy {
	known := func(names ...string) []string {
		return slices.DeleteFunc(names, func(name string) bool { _, ok := info.SyscallNames[name]; return !ok })
	}
	unless := func(name string, argument uint32, op seccomp.Operation, value uint64) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{{Argument: argument, Operation: op, Value: value}}}
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			// clone3 has its flags in memory, where a filter cannot look: as if the kernel
			// had none, glibc makes its threads by clone.
			{Names: known("clone3"), Action: actENOSYS},
			{Names: known(slices.Clone(refused)...), Action: actEPERM},
			{Action: actEPERM, NamesWithCondtions: []seccomp.NameWithConditions{
				unless("clone", 0, seccomp.BitsNotSet, unix.CLONE_THREAD), // a process, not a thread
				unless("kill", 0, seccomp.NotEqual, uint64(pid)),
				unless("tgkill", 0, seccomp.NotEqual, uint64(pid)),
				unless("prlimit64", 0, seccomp.NotEqual, 0), // of another process
				unless("prlimit64", 2, seccomp.NotEqual, 0), // a new limit
			}},
		},
	}
}

// program is the filter. The library's part lets calls of another architecture
// through, such as the 32-bit ones on amd64: they are refused before it comes to that.
// Calls that are newer than this list do not exist, for which callers are prepared.
func program(info *arch.Info, pid int) ([]bpf.RawInstruction, error) {
	p := policy(info, pid)
	body, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	newest := 0
	for n := range info.SyscallNumbers {
		newest = max(newest, n)
	}
	const numberOffset, archOffset, word = 0, 4, 4
	return bpf.Assemble(append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: word},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(actEPERM)},
		bpf.LoadAbsolute{Off: numberOffset, Size: word},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(newest), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(actENOSYS)},
	}, body...))
}

// filterSelf puts the filter on all threads of this process, and on those to come.
//
// The library's own way to load it takes a thread that could not be reached for
// success: the kernel then answers with that thread's id and no error.
func filterSelf() error {
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	raw, err := program(info, os.Getpid())
	if err != nil {
		return fmt.Errorf("the filter does not assemble: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // the promise below is a thread's own until the filter passes it on
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return errors.Join(errors.New("the kernel has no filters for all threads"), errno)
	case errno != 0:
		return errno
	case thread != 0:
		return fmt.Errorf("thread %d has a filter of its own", thread)
	}
	return nil
}

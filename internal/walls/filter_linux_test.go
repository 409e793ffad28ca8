package walls

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// call is a system call as a filter sees it.
type call struct {
	arch arch.AuditArch
	nr   int
	args [6]uint64
}

// verdict runs the filter of this architecture on a call: 0 is allowed, else the errno.
func verdict(t *testing.T, pid int, c call) unix.Errno {
	t.Helper()
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := program(info, pid)
	if err != nil {
		t.Fatal(err)
	}
	instructions, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the filter has unknown instructions")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64) // struct seccomp_data; the machine here loads big-endian words
	binary.BigEndian.PutUint32(data[0:], uint32(c.nr))
	binary.BigEndian.PutUint32(data[4:], uint32(c.arch))
	for i, a := range c.args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	out, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	if uint32(out) == unix.SECCOMP_RET_ALLOW {
		return 0
	}
	if uint32(out)&unix.SECCOMP_RET_ACTION_FULL != unix.SECCOMP_RET_ERRNO {
		t.Fatalf("verdict %#x", out)
	}
	return unix.Errno(uint32(out) & unix.SECCOMP_RET_DATA)
}

// TestFilter: what is refused by number, by its arguments, and by its architecture.
func TestFilter(t *testing.T) {
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	const pid = 4711
	nr := func(name string) int {
		n, ok := info.SyscallNames[name]
		if !ok {
			t.Fatalf("no system call %s", name)
		}
		return n
	}
	args := func(a ...uint64) (out [6]uint64) {
		copy(out[:], a)
		return out
	}
	const thread = unix.CLONE_THREAD | unix.CLONE_VM | unix.CLONE_SIGHAND
	for _, c := range []struct {
		what string
		call call
		want unix.Errno
	}{
		{"read", call{nr: nr("read")}, 0},
		{"accept4", call{nr: nr("accept4")}, 0},
		{"futex", call{nr: nr("futex")}, 0},
		{"mmap", call{nr: nr("mmap")}, 0},
		{"socket", call{nr: nr("socket")}, unix.EPERM},
		{"execve", call{nr: nr("execve")}, unix.EPERM},
		{"ptrace", call{nr: nr("ptrace")}, unix.EPERM},
		{"io_uring_setup", call{nr: nr("io_uring_setup")}, unix.EPERM},
		{"clone3", call{nr: nr("clone3")}, unix.ENOSYS},
		{"a thread", call{nr: nr("clone"), args: args(thread)}, 0},
		{"a process", call{nr: nr("clone"), args: args(uint64(unix.SIGCHLD))}, unix.EPERM},
		{"a process that shares memory", call{nr: nr("clone"), args: args(unix.CLONE_VM | unix.CLONE_VFORK)}, unix.EPERM},
		{"a flag of the high word is no thread", call{nr: nr("clone"), args: args(uint64(unix.CLONE_THREAD) << 32)}, unix.EPERM},
		{"a signal to itself", call{nr: nr("tgkill"), args: args(pid, 1, 6)}, 0},
		{"a signal to another", call{nr: nr("tgkill"), args: args(pid+1, 1, 6)}, unix.EPERM},
		{"kill its group", call{nr: nr("kill"), args: args(0, 9)}, unix.EPERM},
		{"kill all", call{nr: nr("kill"), args: args(^uint64(0), 9)}, unix.EPERM},
		{"ask for a limit", call{nr: nr("prlimit64"), args: args(0, unix.RLIMIT_DATA, 0, 1)}, 0},
		{"set a limit", call{nr: nr("prlimit64"), args: args(0, unix.RLIMIT_DATA, 1, 0)}, unix.EPERM},
		{"a limit of another", call{nr: nr("prlimit64"), args: args(pid+1, unix.RLIMIT_DATA, 0, 1)}, unix.EPERM},
		{"newer than the list", call{nr: 4000}, unix.ENOSYS},
		{"the 32-bit calls of amd64", call{nr: nr("read") | 0x40000000}, unix.ENOSYS},
		{"a foreign architecture", call{arch: arch.PPC64.ID, nr: nr("read")}, unix.EPERM},
		{"i386 on amd64", call{arch: arch.I386.ID, nr: 102}, unix.EPERM}, // socketcall
	} {
		if c.call.arch == 0 {
			c.call.arch = info.ID
		}
		if got := verdict(t, pid, c.call); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	for _, name := range refused {
		n, here := info.SyscallNames[name]
		_, amd64 := arch.X86_64.SyscallNames[name]
		_, arm64 := arch.AARCH64.SyscallNames[name]
		if !amd64 && !arm64 {
			t.Errorf("no architecture has a system call %s", name)
		}
		if here {
			if got := verdict(t, os.Getpid(), call{arch: info.ID, nr: n}); got != unix.EPERM {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}

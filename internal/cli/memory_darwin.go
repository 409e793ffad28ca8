package cli

import "golang.org/x/sys/unix"

// MachineMemory gives the bytes of memory of the machine; 0 is unknown.
func MachineMemory() int64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(n)
}

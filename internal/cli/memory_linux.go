package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MachineMemory gives the bytes of memory that this process may use: those of
// the machine, or of the nearest control group with a limit. 0 is unknown.
func MachineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	total := int64(info.Totalram) * int64(info.Unit)
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return total
	}
	for line := range bytes.Lines(groups) {
		// 0::/path for the one hierarchy of version 2, 7:memory:/path in version 1.
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "":
			total = leastLimit(total, "/sys/fs/cgroup", parts[2], "memory.max")
		case parts[1] == "memory":
			total = leastLimit(total, "/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
	}
	return total
}

// leastLimit reads the limits of a control group and of those above it. A
// group that this process cannot see (it may be in a namespace of its own) says
// nothing.
func leastLimit(total int64, root, group, file string) int64 {
	for dir := filepath.Clean("/" + group); ; dir = filepath.Dir(dir) {
		if text, err := os.ReadFile(filepath.Join(root, dir, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				total = min(total, n)
			}
		}
		if dir == "/" {
			return total
		}
	}
}

package access

import (
	"fmt"
	"strings"
)

// Role is what somebody may do with a dataset, or with the lake. Each role has all of
// the ones before it.
type Role int

// The roles.
const (
	None  Role = iota
	Read       // queries, rows, descriptions
	Write      // changes, imports, compaction; create, rename, drop
	Admin      // the server: memory, other people's queries, metrics
)

var roleNames = [...]string{None: "none", Read: "read", Write: "write", Admin: "admin"}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads read, write or admin.
func ParseRole(s string) (Role, error) {
	for r := Read; r <= Admin; r++ {
		if strings.EqualFold(s, r.String()) {
			return r, nil
		}
	}
	return None, fmt.Errorf("a role is read, write or admin, not %q", clip(s))
}

func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

package walls

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
)

// lackingMain is a process on a kernel that has neither wall, as far as it can see.
func lackingMain() int {
	err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{{
			Names:  []string{"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"},
			Action: actENOSYS,
		}},
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var said strings.Builder
	r := Raise(Plan{OOMScore: 900, ReadDirs: []string{"/tmp"}}, slog.New(slog.NewTextHandler(&said, nil)))
	if err := json.NewEncoder(os.Stdout).Encode(answers{Report: r, Log: said.String()}); err != nil {
		return 1
	}
	return 0
}

// TestLacking: a process on a kernel without the walls runs, with what there is, and
// says in so many words what is not.
func TestLacking(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{probeVariable + "=lacking"}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	var a answers
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	if a.Report.LandlockABI != 0 || a.Report.Seccomp || a.Report.OOMScore != 900 || !a.Report.NoCoreFiles || len(a.Report.Lacking) != 2 {
		t.Errorf("%+v", a.Report)
	}
	for _, want := range []string{"level=WARN", "Landlock: the kernel has none, or it is not enabled", "seccomp: the kernel has no filters"} {
		if !strings.Contains(a.Log, want) {
			t.Errorf("the log does not say %q:\n%s", want, a.Log)
		}
	}
}

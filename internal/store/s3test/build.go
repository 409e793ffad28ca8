package s3test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// build gives the program of a tool of the module in a folder beside this file. Go
// builds it once and keeps it in its cache.
func build(folder, tool string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "tool", "-n", tool)
	cmd.Dir = filepath.Join(filepath.Dir(here), folder)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", tool, err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/cli"
)

// tour runs the demo with real processes: this test binary is tarn.
func tour(t *testing.T, args ...string) outcome {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	p := &cli.Program{
		Args: append([]string{"demo"}, args...), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Env: func(string) (string, bool) { return "", false }, Self: []string{self}, Memory: testMemory, Version: "test",
	}
	code := p.Run(t.Context())
	return outcome{code, stdout.String(), stderr.String()}
}

func TestTheTourPasses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	lake := filepath.Join(t.TempDir(), "lake")
	out := tour(t, "--scale", "0.02", "--lake", lake)
	if out.code != 0 || strings.Contains(out.stdout, "✗") || !strings.Contains(out.stdout, "checks passed") {
		t.Errorf("exit code %d\n%s\n%s", out.code, out.stdout, out.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(temporary, "tarn-demo-*")); len(left) > 0 {
		t.Errorf("the tour left %v", left)
	}
}

func TestTheTourOfOwnFilesPasses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	if out := tour(t, "--only-parquet", "--parquet", files, "--scale", "0.002"); out.code != 0 {
		t.Fatalf("make files: %+v", out)
	}
	// call_log again as two files of a folder: its first column is then not
	// unique, so this one has no key.
	twice := filepath.Join(files, "twice")
	if err := os.Mkdir(twice, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(files, "call_log.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.parquet", "b.parquet"} {
		if err := os.WriteFile(filepath.Join(twice, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"keyed": files, "append-only": twice} {
		t.Run(name, func(t *testing.T) {
			out := tour(t, "--data", from, "--lake", filepath.Join(dir, "lake-"+name))
			if out.code != 0 || strings.Contains(out.stdout, "✗") {
				t.Errorf("exit code %d\n%s\n%s", out.code, out.stdout, out.stderr)
			}
		})
	}
}

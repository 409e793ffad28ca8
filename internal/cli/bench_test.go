package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/bench"
	"tarn/internal/cli"
)

// A short bench with real processes: this test binary is tarn, its worker, its
// jobs, and the DuckDB beside it.
func TestAQuickBenchAgreesWithDuckDB(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out := filepath.Join(t.TempDir(), "bench.json")
	var stdout, stderr bytes.Buffer
	p := &cli.Program{
		Args:  []string{"bench", "--quick", "--writers", "8", "--dir", dir, "-o", "json", "--out", out},
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Env: func(string) (string, bool) { return "", false }, Self: []string{self}, Memory: testMemory, Version: "test",
	}
	if code := p.Run(t.Context()); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var report bench.Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	if report.Tarn != "test" || report.Compared == 0 || len(report.Queries) == 0 || len(report.Writes) == 0 || report.Writes[0].Writers != 8 {
		t.Errorf("%s", stdout.String())
	}
	if kept, err := os.ReadFile(out); err != nil || !bytes.Equal(kept, stdout.Bytes()) {
		t.Errorf("--out has another report (%v)", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the bench left %s", left[0].Name())
	}
}

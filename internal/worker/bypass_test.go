package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/duck"
	"tarn/internal/walls"
)

// bypass is what a process is told that runs SQL behind the walls alone: past the
// gate, and in a DuckDB that is not locked.
type bypass struct {
	Open       Open
	Statements []string
}

// bypassed is how each statement ended: "" went through.
type bypassed struct {
	Walls  walls.Report
	Errors []string
}

func bypassMain() int {
	var b bypass
	if err := json.NewDecoder(os.Stdin).Decode(&b); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	out := bypassed{Walls: walls.Raise(b.Open.walls(), quietLog())}
	ctx := context.Background()
	db, err := duck.Open(ctx, duck.Options{Scratch: b.Open.Scratch, MemoryLimitBytes: b.Open.MemoryLimitBytes, Threads: 2})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer db.Close()
	for _, sql := range b.Statements {
		c, err := db.Conn(ctx)
		if err == nil {
			err = c.Exec(ctx, sql)
			c.Close()
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		out.Errors = append(out.Errors, text)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}

// TestSQLBehindTheWalls: SQL that got past the gate and DuckDB's own lock reads
// nothing but the lake, writes nothing but its scratch, and reaches nobody.
func TestSQLBehindTheWalls(t *testing.T) {
	l := newLakeOfOne(t)
	l.upsert(0, 10, "x")
	outside, scratch := t.TempDir(), t.TempDir()
	for dir, name := range map[string]string{outside: "secret.csv", l.dir: "base.csv"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("word\nhush\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	into := func(dir, name string) string { return filepath.Join(dir, name) }
	refused := []string{
		"CREATE TABLE a AS SELECT * FROM read_text('/etc/passwd')",
		"CREATE TABLE b AS SELECT * FROM read_csv('" + into(outside, "secret.csv") + "')",
		fmt.Sprintf("CREATE TABLE c AS SELECT * FROM read_blob('/proc/%d/environ')", os.Getpid()),
		"COPY (SELECT 1) TO '" + into(outside, "new.csv") + "'",
		"COPY (SELECT 1) TO '" + into(l.dir, "new.csv") + "'",
		"COPY (SELECT 1) TO '" + into(l.dir, "base.csv") + "'",
		"COPY (SELECT 1 AS p, 2 AS q) TO '" + l.dir + "' (FORMAT parquet, PARTITION_BY (p), OVERWRITE)",
		"ATTACH '" + into(outside, "x.duckdb") + "' AS x",
		"ATTACH '" + into(l.dir, "x.duckdb") + "' AS y",
		"EXPORT DATABASE '" + into(outside, "all") + "'",
		"SET home_directory='" + scratch + "'; INSTALL httpfs", // from the network
	}
	// What is there and works shows that the others fail by the walls.
	taken := []string{
		"CREATE TABLE ok AS SELECT * FROM read_csv('" + into(l.dir, "base.csv") + "')",
		"COPY (SELECT 1) TO '" + into(scratch, "new.csv") + "'",
		"ATTACH '" + into(scratch, "z.duckdb") + "' AS z",
		"CREATE TABLE sorted AS SELECT range AS r, repeat('x', 100) AS t FROM range(4000000) ORDER BY hash(range)",
		"SELECT now() AT TIME ZONE 'Europe/Vienna', 'ä' COLLATE de",
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(bypass{
		Open:       Open{LakeDirs: []string{l.dir}, Scratch: scratch, MemoryLimitBytes: 256 << 20},
		Statements: append(append([]string{}, taken...), refused...),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{roleVariable + "=bypass"}
	cmd.Stdin = bytes.NewReader(in)
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	var out bypassed
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if out.Walls.LandlockABI == 0 || !out.Walls.Seccomp {
		t.Skipf("this kernel lacks a wall: %v", out.Walls.Lacking)
	}
	for i, sql := range taken {
		if out.Errors[i] != "" {
			t.Errorf("%s: %s", sql, out.Errors[i])
		}
	}
	for i, sql := range refused {
		got := out.Errors[len(taken)+i]
		if !strings.Contains(got, "Permission denied") && !strings.Contains(sql, "INSTALL") || got == "" {
			t.Errorf("%s: %q", sql, got)
		}
	}
	if b, err := os.ReadFile(into(l.dir, "base.csv")); err != nil || string(b) != "word\nhush\n" {
		t.Errorf("the lake's file is now %q, %v", b, err)
	}
	t.Logf("INSTALL: %s", out.Errors[len(out.Errors)-1])
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside there is now %v, %v", left, err)
	}
}

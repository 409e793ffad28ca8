package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestHelpReadsAsWritten(t *testing.T) {
	commands := []string{"", "serve", "sql", "import", "upsert", "delete", "changes", "datasets", "create", "alter", "attach", "sync", "detach", "rename", "drop", "cache", "cache stats", "cache pin", "cache unpin", "cache evict", "compact", "backup", "restore", "reroot", "verify", "token", "token new", "token list", "token revoke", "demo", "bench", "version"}
	for _, command := range commands {
		name := strings.ReplaceAll(command, " ", "-")
		if name == "" {
			name = "tarn"
		}
		t.Run(name, func(t *testing.T) {
			args := append(strings.Fields(command), "--help")
			out := run(t, nil, args...)
			if out.code != 0 || out.stderr != "" {
				t.Fatalf("exit code %d, stderr %q", out.code, out.stderr)
			}
			golden := filepath.Join("testdata", "help", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(out.stdout), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.stdout != string(want) {
				t.Errorf("help differs from %s (go test -update writes it anew):\n%s", golden, out.stdout)
			}
			for i, line := range strings.Split(out.stdout, "\n") {
				if len(line) > 100 {
					t.Errorf("line %d is %d wide", i+1, len(line))
				}
			}
		})
	}
}

func TestNoArgumentsIsHelp(t *testing.T) {
	if bare, help := run(t, nil), run(t, nil, "--help"); bare != help {
		t.Errorf("tarn alone says %q", bare.stdout)
	}
}

// Processes that tarn starts itself are no part of what a person reads.
func TestHelpHidesWorkerAndJob(t *testing.T) {
	out := run(t, nil, "--help")
	for _, word := range []string{"worker", "job", "bench-peer"} {
		if strings.Contains(out.stdout, "\n  "+word) {
			t.Errorf("help shows %s", word)
		}
	}
}

func TestVersion(t *testing.T) {
	if out := run(t, nil, "version"); out.code != 0 || !strings.HasPrefix(out.stdout, "tarn v0.0.0-test (go") {
		t.Errorf("%d %q %q", out.code, out.stdout, out.stderr)
	}
}

func TestWrongUsageIsOneLineAndExitCode2(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"nonsense"}, "nonsense"},
		{[]string{"sql", "select 1", "--nonsense"}, "--nonsense"},
		{[]string{"sql", "select 1", "-o", "xml"}, "xml"},
		{[]string{"sql", "select ?", "--param", "1", "--param", "a=2"}, "with and without a name"},
		{[]string{"sql", "select ?", "--param", "a=1", "--param", "a=2"}, "twice"},
		{[]string{"import", "bad name", "x.csv"}, "bad name"},
		{[]string{"import", "t", filepath.Join(dir, "none*.csv")}, "there is no such file"},
		{[]string{"import", "t", dir}, "format"},
		{[]string{"import", "t", dir, "--format", "csv"}, "is a folder"},
		{[]string{"create", "t", "--column", "a"}, "a name and a type"},
		{[]string{"create", "t", "--column", `"a BIGINT`}, "not closed"},
		{[]string{"compact", "--primary-key", "a"}, "name of a dataset"},
		{[]string{"serve", "--listen", "0.0.0.0:0"}, "--insecure"},
		{[]string{"serve", "--listen", ":7070"}, "--insecure"},
		{[]string{"serve", "--listen", "192.168.1.7:7070"}, "--insecure"},
		{[]string{"serve", "--listen", "tarn.example.com:7070"}, "--insecure"},
		{[]string{"serve", "--listen", "[::]:7070"}, "--insecure"},
		{[]string{"serve", "--listen", "7070"}, "127.0.0.1:7070"},
		{[]string{"serve", "--query-memory-bytes", "lots"}, "16GB"},
		{[]string{"serve", "--spark-url", "http://host:15002"}, "sc://host:15002"},
		{[]string{"serve", "--spark-url", "sc://host/;token=secret;use_ssl=false"}, "TLS"},
		{[]string{"serve", "--trino-url", "http://host:8080"}, "user"},
		{[]string{"serve", "--attach-roots", filepath.Join(dir, "none")}, "none: no such file"},
		{[]string{"serve", "--attach-catalogs", "prod=http://127.0.0.1:1"}, "--attach-roots"},
		{[]string{"serve", "--attach-interval", "soon"}, "soon"},
		{[]string{"attach", "t"}, "<table>"},
		{[]string{"attach", "bad name", dir}, "bad name"},
		{[]string{"attach", "t", ""}, "empty name"},
		{[]string{"attach", "t", "orders", "--catalog", "prod"}, "such as sales.orders"},
		{[]string{"attach", "t", dir + "/a.b", "--catalog", "prod"}, "such as sales.orders"},
		{[]string{"attach", "t", dir, "-o", "table"}, "text"},
		{[]string{"attach", "t", dir, "--data", filepath.Join(dir, "lake"), "--attach-roots", filepath.Join(dir, "none")}, "none: no such file"},
		{[]string{"sync"}, "<name>"},
		{[]string{"detach", "a", "b"}, "b"},
		{[]string{"sql", "select 1", "--engine", "duckdb"}, "spark"},
		{[]string{"demo", "--scale", "0"}, "scale"},
		{[]string{"cache", "evict"}, "--all"},
		{[]string{"cache", "evict", "trips", "--all"}, "--all"},
		{[]string{"cache", "evict", "trips", "--pinned"}, "--pinned"},
		{[]string{"demo", "--writers", "0"}, "--writers"},
		{[]string{"demo", "--only-parquet"}, "--parquet"},
		{[]string{"bench", "--scale", "0"}, "scale"},
		{[]string{"bench", "--rounds", "0"}, "rounds"},
	} {
		out := run(t, nil, c.args...)
		if out.code != 2 || out.stdout != "" {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", c.args, out.code, out.stdout, out.stderr)
		}
		if !strings.HasPrefix(out.stderr, "tarn: ") || strings.Count(out.stderr, "\n") != 1 || !strings.Contains(out.stderr, c.says) {
			t.Errorf("%q says %q, want one line with %q", c.args, out.stderr, c.says)
		}
	}
}

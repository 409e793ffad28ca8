//go:build duckdb_arrow

package duck

import (
	"context"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"
)

const givesBackVariable = "TARN_TEST_GIVES_BACK"

// TestMemoryIsGivenBack: in a process with Environment, what a query took and gave back
// does not count against RLIMIT_DATA any more.
func TestMemoryIsGivenBack(t *testing.T) {
	if os.Getenv(givesBackVariable) == "" {
		cmd := osexec.Command(os.Args[0], "-test.run", "^TestMemoryIsGivenBack$", "-test.v")
		cmd.Env = append(append(os.Environ(), Environment()...), givesBackVariable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	_, c := open(t)
	before := dataBytes(t)
	taken := before
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			taken = max(taken, dataBytes(t))
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	err := c.Exec(context.Background(), "CREATE TEMP TABLE big AS SELECT hash(range) AS h FROM range(30_000_000) ORDER BY h; DROP TABLE big")
	close(stop)
	<-watched
	if err != nil {
		t.Fatal(err)
	}
	const much = 200 << 20
	if taken-before < 2*much {
		t.Fatalf("the query took %d MB, too little to tell anything", (taken-before)>>20)
	}
	now := dataBytes(t)
	for until := time.Now().Add(30 * time.Second); now-before > much && time.Now().Before(until); now = dataBytes(t) {
		time.Sleep(50 * time.Millisecond)
		if err := c.Exec(context.Background(), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	if now-before > much {
		t.Errorf("of %d MB that a query took %d MB still count", (taken-before)>>20, (now-before)>>20)
	}
}

// dataBytes is what counts against RLIMIT_DATA.
func dataBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmData:"); ok {
			var kb int64
			for _, r := range rest {
				if r >= '0' && r <= '9' {
					kb = kb*10 + int64(r-'0')
				}
			}
			return kb << 10
		}
	}
	t.Fatal("/proc/self/status has no VmData")
	return 0
}

package job_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tarn/internal/job"
)

// asJob makes the test binary a job process.
const asJob = "TARN_TEST_JOB"

func TestMain(m *testing.M) {
	if os.Getenv(asJob) != "" {
		os.Exit(job.Main(context.Background(), os.Stdin, os.Stdout, os.Stderr))
	}
	// A check here runs several jobs, each with a DuckDB of its own. More:
	// go test -rapid.checks=1000.
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "8"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// process is the runner that starts this test binary again.
func process(t testing.TB) job.Process {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return job.Process{Command: []string{exe}, Env: []string{asJob + "=1"}}
}

// runners are both ways to run a job; one suite holds for both.
func runners(t *testing.T, f func(t *testing.T, r job.Runner)) {
	t.Run("inside", func(t *testing.T) { f(t, job.Inside{}) })
	t.Run("process", func(t *testing.T) { f(t, process(t)) })
}

package cli_test

import (
	"strings"
	"testing"

	"tarn/internal/store/s3test"
)

// A lake in a bucket, by commands that open it themselves.
func TestBucketFromTheCommandLine(t *testing.T) {
	s := s3test.Start(t)
	where := []string{"--data", "s3://" + s.NewBucket(t) + "/lake", "--endpoint", s.URL, "--path-style"}
	refused(t, "invalid_request", append([]string{"create", "t", "--column", "id BIGINT"}, where...)...)
	where = append(where, "--state", t.TempDir(), "--disk-cache-bytes", "1GiB")
	refused(t, "not_found", append([]string{"datasets"}, where...)...)
	trips := writeFile(t, t.TempDir(), "trips.csv", "id,city\n1,Oslo\n2,Rome\n")
	ok(t, append([]string{"import", "trips", trips, "--primary-key", "id"}, where...)...)
	if got := ok(t, append([]string{"sql", "select city from trips order by id", "-o", "csv"}, where...)...); got != "city\nOslo\nRome\n" {
		t.Errorf("sql: %q", got)
	}
	if got := ok(t, append([]string{"cache", "stats"}, where...)...); !strings.Contains(got, "disk cache: ") {
		t.Errorf("stats: %q", got)
	}
	// Another machine.
	where[len(where)-3] = t.TempDir()
	out := run(t, nil, append([]string{"sql", "select count(*) n from trips", "-o", "csv"}, where...)...)
	if out.stdout != "n\n2\n" || !strings.Contains(out.stderr, "--server") {
		t.Errorf("sql: %q, %q", out.stdout, out.stderr)
	}
	if got := ok(t, append([]string{"verify"}, where...)...); !strings.Contains(got, "all of it is right") {
		t.Errorf("verify: %q", got)
	}
}

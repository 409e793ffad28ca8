package job_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tarn/internal/job"
	"tarn/internal/walls"
)

// TestAJobIsBehindWalls: what the system says of a job at work.
func TestAJobIsBehindWalls(t *testing.T) {
	t.Setenv("TARN_TEST_SECRET", "hush")
	before := children(t)
	said := map[string]string{}
	s := slow(t)
	_, err := process(t).Run(context.Background(), s, func(p job.Progress) {
		if p.Step != "check keys" {
			return
		}
		for _, pid := range children(t) {
			if slices.Contains(before, pid) {
				continue
			}
			for _, name := range []string{"status", "limits", "environ", "oom_score_adj"} {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				said[name] = string(b)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said["status"], "NoNewPrivs:\t1") || !strings.Contains(said["status"], "Seccomp:\t2") {
		t.Errorf("no seccomp: %s", said["status"])
	}
	if want := fmt.Sprint(s.MemoryLimitBytes + 3<<29); !walls.RaceDetector && !strings.Contains(said["limits"], want) {
		t.Errorf("no limit of %s: %s", want, said["limits"])
	}
	if strings.Contains(said["environ"], "hush") || strings.TrimSpace(said["oom_score_adj"]) != "950" {
		t.Errorf("environment %q, oom score %q", said["environ"], said["oom_score_adj"])
	}
}

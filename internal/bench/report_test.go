package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report with one of everything; its figures are made up.
func sample() *Report {
	times := func(ms float64) Times {
		return Times{Runs: 21, MedianMS: ms, P10MS: ms * 0.9, P90MS: ms * 1.2, P99MS: ms * 2}
	}
	r := newReport(Options{Version: "v1.2.3", Scale: 1, Seed: 7, Rounds: 21, Threads: 2, MemoryBytes: 8 << 30})
	r.DuckDB, r.TimesheetRows, r.CandidateRows, r.Compared = "v1.5.6", 1_000_000, 100_000, 1234
	r.QueryMemory = 2_000_000_000
	r.Began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r.Machine = Machine{OS: "linux", Arch: "amd64", CPUs: 2, MemoryBytes: 8 << 30, Load: 1.5}
	for _, state := range []State{Cold, Hot} {
		base := readParquet
		if state == Hot {
			base = plainTable
		}
		for _, q := range []string{"join", "group"} {
			r.Queries = append(r.Queries,
				Timing{State: state, Query: q, System: base, Data: clean0, Times: times(40), Ratio: 1},
				Timing{State: state, Query: q, System: readParquet, Data: changed10, Times: times(44), Ratio: 1.1},
				Timing{State: state, Query: q, System: tarn, Data: clean0, Times: times(30), Ratio: 0.75},
				Timing{State: state, Query: q, System: tarn, Data: changed10, Times: times(60), Ratio: 1.5, OfClean: 2})
		}
		r.Writes = append(r.Writes, Writes{
			State: state, Rows: 1_000_000, One: times(2), Disk: times(1), DiskBytes: 3210, Writers: 64,
			Alone:     Stream{Rows: 50_000, Seconds: 5, PerS: 10_000, Times: times(6)},
			WithJoins: Stream{Rows: 25_000, Seconds: 5, PerS: 5_000, Times: times(12)},
			JoinQuiet: times(30), JoinUnder: times(60), JoinRatio: 2,
		})
	}
	r.addImport(clean0, "timesheets", 1_000_000, time.Second)
	r.addImport(changed1, "timesheets", 1_000_000, time.Second) // not shown: the same again
	r.addPeerHeld(PeerPlain, 1_100_000, 106_000_000, 200*time.Millisecond)
	r.addPeerHeld(PeerCompressed, 1_100_000, 14_000_000, 400*time.Millisecond)
	r.addImageLoad(datasetOf(clean0, "timesheets"), 1_000_000, times(400))
	r.addHeld(tarn, clean0, 1_100_000, 16_500_000)
	r.ImageBytes = []int64{13_000_000, 13_000_000, 13_000_000}
	r.HeldDoubt = r.doubtHeld()
	r.judge()
	return r
}

func TestTheTablesReadAsWritten(t *testing.T) {
	var got bytes.Buffer
	if err := sample().WriteText(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.txt")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the report differs from %s (go test -update writes it anew):\n%s", golden, got.String())
	}
}

func TestTheReportComesBackFromJSON(t *testing.T) {
	want := sample()
	var text bytes.Buffer
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got Report
	d := json.NewDecoder(&text)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestGoals(t *testing.T) {
	verdicts := func(r *Report) map[string]Goal {
		out := map[string]Goal{}
		for _, g := range r.Goals {
			out[g.Goal] = g
		}
		return out
	}
	got := verdicts(sample())
	for goal, want := range map[string]struct {
		verdict  Verdict
		measured float64
	}{
		"hot join, of DuckDB's table in memory":    {Reached, 0.75},
		"1.1M rows in memory":                      {Reached, 16.5},
		"hot with 10% changed, of clean: join":     {NotReached, 2},
		"hot with 10% changed, of clean: filter":   {NotMeasured, 0},
		"cold with 10% changed, of clean: join":    {NotReached, 2},
		"cold with 10% changed, of clean: group":   {Reached, 2},
		"single-row upsert into 1M hot rows, p50":  {Reached, 2},
		"64 writers beside a stream of joins, hot": {Reached, 5_000},
		"load of an image":                         {Reached, 2_500_000},
	} {
		if g, ok := got[goal]; !ok || g.Verdict != want.verdict || g.Measured != want.measured {
			t.Errorf("%s: %+v, want %+v", goal, g, want)
		}
	}
	small := sample()
	small.Scale, small.Goals = 0.01, nil
	small.judge()
	for _, g := range small.Goals {
		if g.Verdict != NotMeasured {
			t.Errorf("at scale 0.01 %q is %s", g.Goal, g.Verdict)
		}
	}
}

// The lake's own word on its bytes earns no goal where something speaks against
// it, however good the figure.
func TestBytesThatCannotBeRightReachNoGoal(t *testing.T) {
	for _, c := range []struct {
		name    string
		held    int64
		counted []int64
		doubt   string
	}{
		{"as they should be", 14_560_000, []int64{12_976_912, 12_976_912}, ""},
		{"a little less than DuckDB's", 13_000_000, nil, ""},
		{"a little apart", 14_560_000, []int64{12_900_000, 13_000_000}, ""},
		{"one image at two sizes", 14_560_000, []int64{12_976_912, 9_831_184, 9_831_184}, "9.83 to 13.0 MB over 3 loads"},
		{"the second load larger", 14_560_000, []int64{9_831_184, 12_976_912}, "over 2 loads"},
		{"less than DuckDB needs", 9_845_120, []int64{9_831_184, 9_831_184}, "counts 9.85 MB"},
		{"nothing at all", 0, nil, "counts 0 MB"},
	} {
		r := sample()
		r.Held, r.ImageBytes, r.Goals = r.Held[:2], c.counted, nil
		r.addHeld(tarn, clean0, 1_100_000, c.held)
		r.HeldDoubt = r.doubtHeld()
		if (r.HeldDoubt == "") != (c.doubt == "") || !strings.Contains(r.HeldDoubt, c.doubt) {
			t.Errorf("%s: doubt %q, want %q", c.name, r.HeldDoubt, c.doubt)
		}
		r.judge()
		want := Reached
		if c.doubt != "" {
			want = NotMeasured
		}
		for _, g := range r.Goals {
			if g.Unit == "MB" && (g.Verdict != want || g.Why != r.HeldDoubt) {
				t.Errorf("%s: %+v, want %s", c.name, g, want)
			}
		}
	}
}

package compaction

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/dataset"
	"tarn/internal/job"
	"tarn/internal/lake"
)

// files reads "a:1-3 b:4-6* c:?": names with key ranges (one byte a bound), a star
// for those touched, a question mark for no bounds.
func files(spec string) (out []lake.BaseFile, touched map[string]bool) {
	touched = map[string]bool{}
	for i, s := range strings.Fields(spec) {
		name, bounds, _ := strings.Cut(strings.TrimSuffix(s, "*"), ":")
		f := lake.BaseFile{Key: name, Bytes: 1 << 30, Rows: 1, Ordinal: int64(i)}
		if low, high, ok := strings.Cut(bounds, "-"); ok {
			f.Lower, f.Upper = []byte(low), []byte(high)
		}
		if strings.HasSuffix(s, "*") {
			touched[name] = true
		}
		out = append(out, f)
	}
	return out, touched
}

func show(rewrite []lake.BaseFile, groups []job.Group) string {
	var out []string
	for _, g := range groups {
		var names []string
		for _, i := range g.Files {
			names = append(names, rewrite[i].Key)
		}
		out = append(out, fmt.Sprintf("%q[%s]", g.From, strings.Join(names, " ")))
	}
	return strings.Join(out, " ")
}

func TestGroups(t *testing.T) {
	for _, c := range []struct{ files, want string }{
		{"", `""[]`},
		{"a:1-3*", `""[a]`},
		{"a:1-3", `""[] "3\x00"[]`},
		{"a:1-3* b:4-6* c:7-9*", `""[a b c]`},
		// A group is about one file of two GiB, as each file here has one.
		{"a:1-2* b:3-4* c:5-5* d:6-7* e:8-9*", `""[a b c] "6"[d e]`},
		{"a:1-2* b:3-4* c:4-5* d:5-7* e:8-9*", `""[a b c d] "8"[e]`},
		{"a:1-2* b:3-4* c:5-5 d:6-7* e:8-9*", `""[a b] "5"[] "6"[d e]`},
		{"a:1-3* b:4-6 c:7-9*", `""[a] "4"[] "7"[c]`},
		{"a:1-3 b:4-6* c:7-9", `""[] "4"[b] "7"[] "9\x00"[]`},
		// a reaches beyond the file between: a key of it may lie in either.
		{"a:1-8* b:4-6 c:7-9*", `""[a c]`},
		{"a:1-4* b:4-6 c:7-9*", `""[a] "7"[c]`},
		// Without bounds everything belongs together.
		{"a:? b:4-6 c:7-9*", `""[c]`},
		{"c:7-9* a:1-3 b:4-6*", `""[] "4"[b c]`},
	} {
		fs, touched := files(c.files)
		s := &dataset.State{Files: fs, Schema: lake.Schema{Columns: []lake.Column{{Name: "k", Type: lake.Type{Kind: lake.Bigint}}}, Key: []string{"k"}}}
		rewrite, groups := Parts(s, touched, 2<<30)
		if got := show(rewrite, groups); got != c.want {
			t.Errorf("%s: %s, want %s", c.files, got, c.want)
		}
		// Each change belongs to the group of every file that may hold its key.
		for k := byte('0'); k <= '9'; k++ {
			for i, f := range rewrite {
				if inRange(f, []byte{k}) && groupOf(groups, i) != groupOfKey(groups, []byte{k}) {
					t.Errorf("%s: key %c is in file %s but in another group", c.files, k, f.Key)
				}
			}
		}
	}
}

func groupOf(groups []job.Group, file int) int {
	for g := range groups {
		for _, f := range groups[g].Files {
			if f == file {
				return g
			}
		}
	}
	return -1
}

func groupOfKey(groups []job.Group, key []byte) int {
	at := 0
	for g := range groups {
		if string(groups[g].From) <= string(key) {
			at = g
		}
	}
	return at
}

func TestPolicy(t *testing.T) {
	p := Policy{Deltas: 100, Bytes: 1000, Ratio: 0.5, Large: 500}
	for _, c := range []struct {
		name string
		plan Plan
		due  bool
	}{
		{"nothing", Plan{}, false},
		{"a few", Plan{DeltasWithChanges: 3, PendingBytes: 30, RewriteBytes: 1000}, false},
		{"many deltas", Plan{DeltasWithChanges: 100, PendingBytes: 30, RewriteBytes: 1000}, true},
		{"many bytes", Plan{DeltasWithChanges: 1, PendingBytes: 1000, RewriteBytes: 100000}, true},
		{"half of what it rewrites", Plan{DeltasWithChanges: 64, PendingBytes: 500, RewriteBytes: 1000}, true},
		{"too few for the ratio", Plan{DeltasWithChanges: 63, PendingBytes: 500, RewriteBytes: 1000}, false},
		{"one large delta", Plan{DeltasWithChanges: 1, PendingBytes: 501, RewriteBytes: 1e6, Deltas: []lake.Delta{{Bytes: 501}}}, true},
	} {
		if due, why := p.Due(c.plan); due != c.due || why == "" {
			t.Errorf("%s: %v, %s", c.name, due, why)
		}
	}
}

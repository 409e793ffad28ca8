package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/failpoint"
	"tarn/internal/foreign"
	"tarn/internal/lake"
)

// failpointSteps are the history with what else leaves something durable behind.
func failpointSteps() ([]step, error) {
	people, err := schemaOf([]string{"id"}, "id BIGINT", "name VARCHAR", "pay DECIMAL(10,2)")
	if err != nil {
		return nil, err
	}
	log, err := schemaOf(nil, "who VARCHAR", "n BIGINT")
	if err != nil {
		return nil, err
	}
	steps := historySteps(people, log)
	pins := step{"pin people", func(o *opened, _ string) error {
		_, err := o.CachePin(context.Background(), parsed("people"))
		return err
	}}
	return slices.Insert(steps, 10, pins), nil
}

// withOutside are the steps with commits of another program, which writes its files into
// the lake's folder by itself.
func withOutside(steps []step) []step {
	at := slices.IndexFunc(steps, func(s step) bool { return s.name == "upsert renamed" }) + 1
	return slices.Insert(steps, at,
		step{"outside", commitsOutside("shop.sales", "", `{"id":7,"v":"outside"}`, 7)},
		step{"outside, beside a change of nothing", commitsOutside("shop.sales", `{"id":9,"v":"nine"}`, `{"id":8,"v":"outside"}`, 8)},
		step{"outside, a row marked dead and one of its key", marksOutside("shop.sales", `{"id":8,"v":"marked"}`, 8)},
		step{"outside, two at once", commitsTogether(map[string]string{"shop.sales": `{"id":12,"v":"both"}`, "log": `{"who":"both","n":12}`},
			"select 1 from shop.sales, log where id = 12 and n = 12")})
}

// withAttached are the steps with a dataset that stands on the table of another of the same
// lake, which is an owner as any.
func withAttached(dir string, steps []step) []step {
	at := slices.IndexFunc(steps, func(s step) bool { return s.name == "fold shop" }) + 1
	// What was done before and is asked for once more is refused; there are no keys for it.
	again := func(err error, code lake.Code) error {
		if lake.CodeOf(err) == code {
			return nil
		}
		return err
	}
	return slices.Insert(steps, at,
		step{"attach", func(o *opened, _ string) error {
			found, err := filepath.Glob(filepath.Join(dir, "base", "main", "sales-*"))
			if err != nil || len(found) != 1 {
				return fmt.Errorf("the table of sales: %v, %w", found, err)
			}
			_, err = o.tryAttach("attached", found[0])
			return again(err, lake.CodeDatasetExists)
		}},
		step{"upsert attached", sends("attached", engine.OpUpsert, `{"id":6,"w":"mine","v":1}`, `{"id":40,"w":"new","v":2}`)},
		step{"delete attached", sends("attached", engine.OpDelete, `{"id":5}`)},
		step{"fold attached", compacts("attached")},
		step{"the owner's change", sends("shop.sales", engine.OpUpsert, `{"id":5,"w":"theirs","v":1}`, `{"id":41,"w":"theirs","v":2}`)},
		step{"the owner's fold", compacts("shop.sales")},
		step{"sync", func(o *opened, _ string) error { _, err := o.trySync("attached"); return err }},
		step{"fold attached again", compacts("attached")},
		step{"detach", func(o *opened, _ string) error {
			_, err := o.Detach(context.Background(), parsed("attached"))
			return again(err, lake.CodeUnsupported)
		}})
}

// attachPoint says of a failpoint that only attached datasets come by it.
func attachPoint(point string) bool {
	return strings.HasPrefix(point, "attach.") || strings.HasPrefix(point, "sync.") || strings.HasPrefix(point, "detach.")
}

func schemaOf(key []string, columns ...string) (lake.Schema, error) {
	s := lake.Schema{Key: key}
	for _, c := range columns {
		name, sql, _ := strings.Cut(c, " ")
		typ, err := lake.ParseType(sql)
		if err != nil {
			return s, err
		}
		s.Columns = append(s.Columns, lake.Column{Name: name, Type: typ, Nullable: true})
	}
	return s, nil
}

// openForFailpoints opens a lake in a folder, or in the bucket that an endpoint, a URL
// and a state folder name, parted by blanks.
func openForFailpoints(place string) (*opened, error) {
	set := testSettings()
	set.SpoolBytes, set.CompactDeadShare = spoolBytes, powerShare
	noRetention(&set)
	o := engine.Options{Data: place, Settings: set, MemoryBytes: 2 << 30, Log: quiet()}
	if parts := strings.Fields(place); len(parts) == 3 {
		o.Bucket = engine.Bucket{Endpoint: parts[0], PathStyle: true}
		o.Data, o.State = parts[1], parts[2]
		o.Settings.DiskCacheBytes, o.Settings.FenceCheckInterval = 1<<30, time.Hour
	}
	if filepath.IsAbs(place) {
		places, err := foreign.Open([]string{place}, nil, quiet())
		if err != nil {
			return nil, err
		}
		o.Foreign, o.Settings.AttachInterval = places, time.Hour
	}
	e, err := engine.Open(context.Background(), o)
	return &opened{Engine: e}, err
}

// failpointServer is the process that the test kills: it takes a lake through the
// steps from a number on, saying which were acknowledged, until it comes by a point
// for the n-th time. At its end it says how often it came by each.
func failpointServer(dir, point, nth, from string) int {
	err := func() error {
		kill, err := strconv.Atoi(nth)
		if err != nil {
			return err
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return err
		}
		steps, err := failpointStepsAt(dir)
		if err != nil {
			return err
		}
		var mu sync.Mutex
		hits := map[string]int{}
		failpoint.Arm(func(name string) {
			comesBy(name)
			mu.Lock()
			defer mu.Unlock()
			if hits[name]++; name == point && hits[name] == kill {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // nothing of it goes on
			}
		})
		o, err := openForFailpoints(dir)
		if err != nil {
			return err
		}
		for i := first; i < len(steps); i++ {
			if err := steps[i].do(o, stepKey(i)); err != nil {
				return fmt.Errorf("%s: %w", steps[i].name, err)
			}
			fmt.Println("ack", i+1)
		}
		if err := o.Close(context.Background()); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for name, n := range hits {
			fmt.Println("hit", name, n)
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// lived is what a failpointServer said before it ended.
type lived struct {
	acknowledged int
	hits         map[string]int
	killed       bool
}

func liveTo(dir, point string, nth, from int) (lived, error) {
	cmd := exec.Command(self(asFailpoints)[0], asFailpoints, dir, point, strconv.Itoa(nth), strconv.Itoa(from))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return lived{}, err
	}
	if err := cmd.Start(); err != nil {
		return lived{}, err
	}
	out := lived{acknowledged: from, hits: map[string]int{}}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var name string
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "ack %d", &n); err == nil {
			out.acknowledged = n
		} else if _, err := fmt.Sscanf(lines.Text(), "hit %s %d", &name, &n); err == nil {
			out.hits[name] = n
		}
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		out.killed = true
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("it ended by itself: %w: %s", err, stderr.String())
	}
	return out, nil
}

// pointsInSource are all failpoints that there are.
func pointsInSource(t *testing.T) []string {
	t.Helper()
	found := map[string]int{}
	call := regexp.MustCompile(`failpoint\.Hit\("([^"]+)"\)`)
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../*/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, deeper...)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			found[m[1]]++
		}
	}
	for name, n := range found {
		if n > 1 {
			t.Errorf("the failpoint %s stands at %d places", name, n)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// leastPoints is how many there must be; fewer, and the search is broken.
const leastPoints = 60

// TestI1I4I6Failpoints kills a server with SIGKILL at every failpoint: every
// acknowledged step is there afterwards, the one under way is there whole or not at
// all, everything verifies, the rest of the history goes on from there with the same
// outcome, and nothing that nobody can reach stays. TARN_FAILPOINTS=n does it at n
// instants of each point instead of one.
func TestI1I4I6Failpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	killedEverywhere(t, func(t *testing.T) (place, files string) { dir := t.TempDir(); return dir, dir }, func(point string) bool {
		return bucketPoint(point) || elsewhere[point]
	}, func(string) bool { return true })
}

// killedEverywhere kills a server at every failpoint but those that the history does not
// come by in such a place, of those that are chosen. There is a new place for each: as openForFailpoints takes it,
// with the folder that the lake's files are in.
func killedEverywhere(t *testing.T, newPlace func(t *testing.T) (place, files string), notHere, chosen func(point string) bool) {
	each := numberFrom(t, "TARN_FAILPOINTS", 1)
	place, _ := newPlace(t)
	steps, err := failpointStepsAt(place)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := openForFailpoints(place)
	if err != nil {
		t.Fatal(err)
	}
	plain.t = t
	states, err := statesOf(plain, steps)
	if err != nil {
		t.Fatal(err)
	}
	plain.close()
	place, _ = newPlace(t)
	whole, err := liveTo(place, "", 0, 0)
	if err != nil || whole.killed || whole.acknowledged != len(steps) {
		t.Fatalf("without a kill: %+v, %v", whole, err)
	}
	points := pointsInSource(t)
	if len(points) < leastPoints {
		t.Fatalf("only %d failpoints were found", len(points))
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	here, killed := 0, 0
	for _, point := range points {
		n := whole.hits[point]
		if n == 0 && !notHere(point) {
			t.Errorf("the history never comes by %s", point)
		}
		if n > 0 {
			here++
		}
		if !chosen(point) {
			continue
		}
		killed += min(each, n)
		instants := random.Perm(n)
		for _, i := range instants[:min(each, n)] {
			t.Run(fmt.Sprintf("%s/%d", point, i+1), func(t *testing.T) {
				t.Parallel()
				place, files := newPlace(t)
				killedAt(t, place, files, steps, states, kill{point, i + 1})
			})
		}
	}
	t.Logf("%d kills; the history comes by %d of %d failpoints; seed %d", killed, here, len(points), seed)
}

// elsewhere are points that the history does not come by: where nothing is retained
// each commit expires old snapshots itself, and no delta of a transaction is refused.
var elsewhere = map[string]bool{"expire.committed": true, "transaction.aborted": true}

// kill is the instant at which a server is killed: as it comes by a point for the n-th
// time.
type kill struct {
	point string
	nth   int
}

// killedAt kills one server after the other, each of which goes on where the one before
// was, and then looks at what is there.
func killedAt(t *testing.T, dir, files string, steps []step, states []string, kills ...kill) {
	done := 0
	for _, k := range kills {
		dead, err := liveTo(dir, k.point, k.nth, done)
		if err != nil {
			t.Fatal(err)
		}
		if done = dead.acknowledged; !dead.killed {
			t.Fatalf("it was not killed at %s and came to step %d", k.point, done)
		}
	}
	o, err := openForFailpoints(dir)
	if err != nil {
		t.Fatalf("open after the kill in step %d: %v", done+1, err)
	}
	o.t = t
	if err := o.is(states[done:min(done+2, len(states))]...); err != nil {
		t.Fatalf("after %d steps: %v", done, err)
	}
	o.close()
	// The step under way is sent again with its key, and then the others.
	rest, err := liveTo(dir, "", 0, done)
	if err != nil || rest.acknowledged != len(steps) {
		t.Fatalf("after %d steps it came to %d: %v", done, rest.acknowledged, err)
	}
	if o, err = openForFailpoints(dir); err != nil {
		t.Fatal(err)
	}
	o.t = t
	defer o.close()
	if err := o.is(states[len(states)-1]); err != nil {
		t.Fatalf("at the end: %v", err)
	}
	for range 2 { // the first takes away what the opening left for a while
		if err := o.Tidy(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	o.nothingUnreachable(files)
	o.cleanScratch(files)
	for _, f := range filesUnder(t, files) {
		if strings.Contains(f, ".tarn-new-") || strings.HasSuffix(f, ".new") {
			t.Errorf("%s stays", f)
		}
	}
}

package cache

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/lake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// MB are what the tests reckon in.
const MB = int64(1_000_000)

// rig is a cache over a fake worker, with a clock that is set by hand. Its rounds
// are run by the test.
type rig struct {
	*Cache
	t    testing.TB
	w    *fakeWorker
	now  time.Time
	pins string
}

func newRig(t testing.TB, budget int64) *rig {
	r := &rig{t: t, w: newFakeWorker(t, budget), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), pins: filepath.Join(t.TempDir(), "pins.json")}
	r.open()
	return r
}

// open begins the server anew: only the file of pins is left of the last one.
func (r *rig) open() {
	r.t.Helper()
	c, err := New(Options{
		BudgetBytes: r.w.budget, Worker: r.w, Datasets: r.w.datasets, PinsPath: r.pins,
		Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Cache = c
}

// query uses a dataset as a query does and lets the background work.
func (r *rig) query(uuids ...string) (hits int) {
	for _, uuid := range uuids {
		hot := r.w.hot()[uuid]
		if hot {
			hits++
		}
		r.Used(uuid, hot)
		r.now = r.now.Add(time.Second)
		r.round(context.Background())
	}
	return hits
}

func (r *rig) pin(uuid string) Entry {
	r.t.Helper()
	e, err := r.Pin(context.Background(), uuid)
	if err != nil {
		r.t.Fatalf("pin %s: %v", uuid, err)
	}
	return e
}

func (r *rig) wantHot(uuids ...string) {
	r.t.Helper()
	got := slices.Sorted(maps.Keys(r.w.hot()))
	if !slices.Equal(got, uuids) {
		r.t.Fatalf("hot are %v, not %v", got, uuids)
	}
}

func (r *rig) entryOf(uuid string) Entry {
	r.t.Helper()
	e, err := r.Entry(context.Background(), uuid)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) stats() Stats {
	r.t.Helper()
	s, err := r.Stats(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func wantCode(t testing.TB, err error, code lake.Code) {
	t.Helper()
	if err == nil || lake.CodeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func TestFreeRoomIsTakenAtTheFirstUse(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 40*MB)
	r.query("a", "b")
	r.wantHot("a", "b")
	r.query("a", "a", "b")
	s := r.stats()
	if s.Hits != 3 || s.Misses != 2 || s.Loads != 2 || s.Evictions != 0 || s.UsedBytes != 80*MB || s.BudgetBytes != 100*MB {
		t.Fatalf("%+v", s)
	}
	e := s.Datasets[0]
	if e.Dataset != "d_a" || e.State != StateHot || e.Hits != 2 || e.Bytes != 40*MB || e.Rows != 4*MB || e.LastUsed == nil || e.LoadedAt == nil || e.ReadPoint.TableUUID != "a" {
		t.Fatalf("%+v", e)
	}
}

func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	r := newRig(t, 100*MB)
	for _, uuid := range []string{"a", "b", "c"} {
		r.w.add(uuid, 40*MB)
	}
	r.query("a", "b", "a", "c", "c")
	r.wantHot("a", "c")
	if s := r.stats(); s.Evictions != 1 {
		t.Fatalf("%+v", s)
	}
}

// One scan of a large dataset pushes nothing out; using it more than what would
// go for it does.
func TestAScanPushesNothingOut(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 30*MB)
	r.w.add("b", 30*MB)
	r.w.add("large", 90*MB)
	for range 3 {
		r.query("a", "b")
	}
	r.query("large")
	r.wantHot("a", "b")
	for range 4 {
		r.query("large")
	}
	r.wantHot("a", "b") // used 5 times, its victims 6
	r.query("large", "large")
	r.wantHot("large")
}

// What is not in use any more makes room for what is.
func TestUseIsForgotten(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("old", 60*MB)
	r.w.add("new", 60*MB)
	for range 50 {
		r.query("old")
	}
	r.query("new")
	r.wantHot("old")
	r.now = r.now.Add(2 * time.Hour)
	r.query("new")
	r.wantHot("new")
}

func TestADatasetThatCannotFitIsNotTried(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("small", 20*MB)
	r.w.add("huge", 500*MB)
	r.query("small")
	loads := 0
	r.w.slice = func(string) { loads++ }
	for range 20 {
		r.query("huge")
	}
	if loads != 0 || r.w.mu.projects != 1 {
		t.Fatalf("%d slices were loaded and %d projections made of what cannot fit", loads, r.w.mu.projects)
	}
	r.wantHot("small")
	r.w.commit("huge", 30*MB) // a replace: now it fits
	r.query("huge")
	r.wantHot("huge", "small")
}

// The files say little of what a dataset takes in memory: it is measured before
// others go for it, and before it is given up.
func TestAGuessDecidesNothing(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 50*MB)
	r.w.add("b", 40*MB)
	r.w.mu.sets["b"].fileBytes = 400 * MB // badly compressed files
	r.query("a", "a", "b")
	r.wantHot("a", "b")
	if s := r.stats(); s.Evictions != 0 {
		t.Fatalf("%+v", s)
	}
}

// The other way round: the files are small and the image is not.
func TestALoadThatRunsOutOfRoomPlansAgain(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 90*MB)
	r.w.mu.sets["b"].fileBytes = 10 * MB
	r.query("a", "a", "b")
	r.wantHot("a") // b was begun in free room, did not fit, and is not worth a
	r.query("b", "b")
	r.wantHot("b")
}

func TestPin(t *testing.T) {
	r := newRig(t, 100*MB)
	for _, uuid := range []string{"a", "b", "c"} {
		r.w.add(uuid, 40*MB)
	}
	r.query("a", "a", "a", "b")
	e := r.pin("c") // whatever the use of others
	if !e.Pinned || e.State != StateHot || e.Reason != "" {
		t.Fatalf("%+v", e)
	}
	r.wantHot("b", "c")
	again := r.pin("c")
	if again.State != StateHot || !again.Pinned || r.stats().Loads != 3 {
		t.Fatalf("%+v", again)
	}
	for range 100 {
		r.query("a")
	}
	r.wantHot("a", "c")
	e, err := r.Unpin(context.Background(), "c")
	if err != nil || e.Pinned || e.State != StateHot {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err = r.Unpin(context.Background(), "c"); err != nil || e.Pinned {
		t.Fatalf("%+v, %v", e, err)
	}
	_, err = r.Pin(context.Background(), "nobody")
	wantCode(t, err, lake.CodeDatasetNotFound)
}

func TestAPinThatCannotFitChangesNothing(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 30*MB)
	r.w.add("c", 70*MB)
	r.pin("a")
	r.query("b")
	before, err := os.ReadFile(r.pins)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Pin(context.Background(), "c")
	wantCode(t, err, lake.CodeCacheFull)
	if !strings.Contains(err.Error(), "d_c cannot be pinned: needs about 70 MB; 60 MB are free") {
		t.Error(err)
	}
	r.wantHot("a", "b")
	if drops := r.w.dropped(); len(drops) > 0 {
		t.Errorf("%v were dropped for it", drops)
	}
	after, err := os.ReadFile(r.pins)
	if err != nil || string(after) != string(before) {
		t.Errorf("pins were\n%s and are\n%s, %v", before, after, err)
	}
}

// A projection that was wrong is found by the load; what went for it comes back.
func TestAPinThatFailsLateBringsBackWhatItDisplaced(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 40*MB)
	r.w.add("c", 50*MB)
	r.query("a", "b")
	grown := false
	r.w.slice = func(uuid string) {
		if uuid == "c" && !grown {
			grown = true
			r.w.mu.Lock()
			r.w.mu.sets["c"].perRow = 1000 // rows of another kind than those of the first slice
			r.w.mu.Unlock()
		}
	}
	_, err := r.Pin(context.Background(), "c")
	wantCode(t, err, lake.CodeCacheFull)
	if r.entryOf("c").Pinned {
		t.Fatal("it is pinned")
	}
	r.round(context.Background())
	r.wantHot("a", "b")
}

func TestPinsSurviveARestart(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 40*MB)
	r.w.add("c", 40*MB)
	r.pin("a")
	r.pin("b")
	r.w.kill()
	r.w.mu.sets["b"].name = "renamed"
	r.open()
	if e := r.entryOf("b"); e.State != StateNotLoaded || !e.Pinned || e.Dataset != "renamed" || e.Reason == "" {
		t.Fatalf("%+v", e)
	}
	r.Used("c", false)
	r.round(context.Background())
	r.wantHot("a", "b")
	r.w.kill()
	r.w.remove("a")
	r.open()
	r.round(context.Background())
	r.wantHot("b")
	r.w.add("a", 10*MB) // another of that uuid cannot be; the pin is gone for good
	r.pin("b")
	r.Used("c", false)
	r.round(context.Background())
	if _, err := r.Unpin(context.Background(), "b"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.pins)
	if err != nil || string(text) != "{\n  \"format\": 1,\n  \"pins\": []\n}\n" {
		t.Fatalf("%s %v", text, err)
	}
}

// With a smaller budget a pin stays and says why it is not kept; it comes back
// when there is room.
func TestAPinThatNoLongerFits(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 40*MB)
	r.pin("a")
	r.pin("b")
	r.w.kill()
	r.w.budget = 60 * MB
	r.open()
	r.round(context.Background())
	r.wantHot("a")
	e := r.entryOf("b")
	if e.State != StateNotLoaded || !e.Pinned || !strings.Contains(e.Reason, "needs about 40 MB") {
		t.Fatalf("%+v", e)
	}
	if _, err := r.Evict(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(10 * time.Minute)
	r.round(context.Background())
	r.wantHot("b")
}

// A pinned dataset that outgrows the budget goes itself.
func TestAPinnedDatasetOutgrowsTheBudget(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 60*MB)
	r.w.add("b", 30*MB)
	r.w.add("u", 5*MB)
	r.pin("a")
	r.pin("b")
	r.query("u")
	r.w.grow("a", 7*MB) // fits once u goes
	r.round(context.Background())
	r.now = r.now.Add(time.Minute)
	r.round(context.Background())
	r.wantHot("a", "b")
	r.w.grow("a", 20*MB)
	r.now = r.now.Add(time.Hour)
	r.round(context.Background())
	r.wantHot("b")
	if e := r.entryOf("a"); e.State != StateNotLoaded || !e.Pinned || e.Reason == "" {
		t.Fatalf("%+v", e)
	}
	for _, d := range r.w.dropped() {
		if d == "b" {
			t.Fatal("a pinned dataset was evicted for another")
		}
	}
}

// After the worker died pins come first, then what was hot, by recency.
func TestAWorkerThatDiedIsFilledAgain(t *testing.T) {
	r := newRig(t, 100*MB)
	for _, uuid := range []string{"a", "b", "c", "d"} {
		r.w.add(uuid, 20*MB)
	}
	r.query("a", "b", "c", "d")
	r.pin("b")
	r.query("a")
	var order []string
	r.w.slice = func(uuid string) {
		if len(order) == 0 || order[len(order)-1] != uuid {
			order = append(order, uuid)
		}
	}
	r.w.kill()
	r.round(context.Background())
	if !slices.Equal(order, []string{"b", "a", "d", "c"}) {
		t.Fatalf("loaded in the order %v", order)
	}
	r.wantHot("a", "b", "c", "d")
}

func TestTheWorkerDiesUnderALoad(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 50*MB)
	deaths := 2
	r.w.slice = func(string) {
		if deaths > 0 {
			deaths--
			r.w.kill()
		}
	}
	r.query("a")
	r.wantHot()
	for range 10 {
		r.now = r.now.Add(5 * time.Second)
		r.round(context.Background())
	}
	r.wantHot("a")

	deaths = 2
	if _, err := r.Evict(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	if e := r.pin("a"); e.State != StateHot {
		t.Fatalf("%+v", e)
	}
}

// A dataset under whose load the worker dies each time is left alone after a few.
func TestALoadThatKillsIsGivenUp(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 50*MB)
	deaths := 0
	r.w.slice = func(string) { deaths++; r.w.kill() }
	r.query("a")
	for range 1000 {
		r.now = r.now.Add(10 * time.Second)
		r.round(context.Background())
	}
	if deaths > mostFailures+1 {
		t.Fatalf("the worker died %d times of one use", deaths)
	}
}

// A content commit is another content, and no reason to stay cold.
func TestAContentCommitLoadsAgain(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 50*MB)
	r.query("a")
	r.w.commit("a", 60*MB)
	r.round(context.Background())
	r.wantHot("a")
	if s := r.stats(); s.Evictions != 0 || s.Loads != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestEvict(t *testing.T) {
	r := newRig(t, 100*MB)
	for _, uuid := range []string{"a", "b", "c"} {
		r.w.add(uuid, 20*MB)
	}
	r.query("a", "b")
	r.pin("c")
	e, err := r.Evict(context.Background(), "a")
	if err != nil || e.State != StateCold {
		t.Fatalf("%+v, %v", e, err)
	}
	r.round(context.Background())
	r.wantHot("b", "c")
	all, err := r.EvictAll(context.Background(), false)
	if err != nil || len(all) != 3 || all[2].State != StateHot {
		t.Fatalf("%+v, %v", all, err)
	}
	r.wantHot("c")
	if all, err = r.EvictAll(context.Background(), true); err != nil || all[2].Pinned || all[2].State != StateCold {
		t.Fatalf("%+v, %v", all, err)
	}
	r.wantHot()
	r.pin("c")
	if e, err = r.Evict(context.Background(), "c"); err != nil || e.Pinned {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err = r.Evict(context.Background(), "c"); err != nil || e.State != StateCold {
		t.Fatalf("%+v, %v", e, err)
	}
	if s := r.stats(); s.Evictions != 4 {
		t.Fatalf("%+v", s)
	}
	_, err = r.Evict(context.Background(), "nobody")
	wantCode(t, err, lake.CodeDatasetNotFound)
}

func TestNoBudgetLoadsNothing(t *testing.T) {
	r := newRig(t, 0)
	r.w.add("a", MB)
	r.query("a", "a")
	r.wantHot()
	_, err := r.Pin(context.Background(), "a")
	wantCode(t, err, lake.CodeCacheFull)
	if r.w.mu.projects > 0 {
		t.Error("it was measured for nothing")
	}
}

// Dropped images that an older query holds count, and are waited for.
func TestAPinWaitsForOlderReaders(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 60*MB)
	r.w.add("b", 60*MB)
	r.query("a")
	r.w.read(true)
	time.AfterFunc(50*time.Millisecond, func() { r.w.read(false) })
	if e := r.pin("b"); e.State != StateHot {
		t.Fatalf("%+v", e)
	}
}

func TestAPinGoesBeforeALoadInTheBackground(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.w.add("b", 40*MB)
	begun, pinned := make(chan struct{}), make(chan struct{})
	first := true
	r.w.slice = func(uuid string) {
		if uuid == "a" && first {
			first = false
			close(begun)
			<-pinned
		}
	}
	r.Used("a", false)
	rounds := make(chan struct{})
	go func() { defer close(rounds); r.round(context.Background()) }()
	<-begun
	if e := r.entryOf("a"); e.State != StateLoading {
		t.Errorf("%+v", e)
	}
	done := make(chan struct{})
	go func() { defer close(done); r.pin("b") }()
	for { // until the pin asks for the turn, which cancels the load
		r.mu.Lock()
		asking := r.mu.asking
		r.mu.Unlock()
		if asking > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(pinned)
	<-done
	<-rounds
	if !r.entryOf("b").Pinned {
		t.Fatal("b is not pinned")
	}
	r.round(context.Background())
	r.wantHot("a", "b")
}

func TestEvictEndsALoad(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	begun, evicting := make(chan struct{}), make(chan struct{})
	first := true
	r.w.slice = func(string) {
		if first {
			first = false
			close(begun)
			<-evicting
		}
	}
	failed := make(chan error, 1)
	go func() { _, err := r.Pin(context.Background(), "a"); failed <- err }()
	<-begun
	evicted := make(chan error, 1)
	go func() { _, err := r.Evict(context.Background(), "a"); evicted <- err }()
	for {
		r.mu.Lock()
		a := r.mu.current
		cancelled := a != nil && a.cancelled()
		r.mu.Unlock()
		if cancelled {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(evicting)
	wantCode(t, <-failed, lake.CodeCancelled)
	if err := <-evicted; err != nil {
		t.Fatal(err)
	}
	r.wantHot()
	if r.entryOf("a").Pinned {
		t.Fatal("it is pinned")
	}
}

// An eviction between the choice of what to load and the load itself holds.
func TestEvictBeforeALoadBegins(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 10*MB)
	r.Used("a", false)
	picked, ok := r.next()
	if !ok || picked != "a" {
		t.Fatalf("picked %q, %v", picked, ok)
	}
	if _, err := r.Evict(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.loadPicked(t.Context(), picked)
	r.wantHot()
	r.query("a")
	r.wantHot("a")
}

// A look at the worker beside an eviction does not take it for a content commit,
// after which the dataset would be loaded again.
func TestALookBesideAnEviction(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 10*MB)
	r.query("a")
	r.w.wentCold = func() {
		if err := r.look(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Evict(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.round(t.Context())
	r.wantHot()
	if got := r.stats().Evictions; got != 1 {
		t.Errorf("%d evictions are counted", got)
	}
}

func TestDroppedDatasetsAreForgotten(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	r.pin("a")
	r.w.remove("a")
	r.Dropped("a")
	if text, err := os.ReadFile(r.pins); err != nil || strings.Contains(string(text), "table_uuid") {
		t.Fatalf("%s %v", text, err)
	}
	if s := r.stats(); len(s.Datasets) != 0 || s.UsedBytes != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestADamagedFileOfPinsIsPutAside(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	if err := os.WriteFile(r.pins, []byte(`{"format":1,"pins":[{"table`), 0o644); err != nil {
		t.Fatal(err)
	}
	r.open()
	if r.entryOf("a").Pinned {
		t.Fatal("pinned by a damaged file")
	}
	if text, err := os.ReadFile(r.pins + ".damaged"); err != nil || len(text) == 0 {
		t.Fatalf("%s %v", text, err)
	}
	r.pin("a")
}

// A pin that cannot be made durable is none.
func TestAPinThatIsNotDurableIsNone(t *testing.T) {
	r := newRig(t, 100*MB)
	r.w.add("a", 40*MB)
	if err := os.Mkdir(r.pins+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := r.Pin(context.Background(), "a")
	wantCode(t, err, lake.CodeUnavailable)
	if r.entryOf("a").Pinned {
		t.Fatal("it is pinned")
	}
}

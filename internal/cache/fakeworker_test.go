package cache

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tarn/internal/lake"
	"tarn/internal/worker"
)

// fakeWorker holds images as the real one does: in slices, each taken only where
// it fits the budget. It notes every breach of the budget and every image that it
// was told to drop.
type fakeWorker struct {
	t      testing.TB
	budget int64

	// slice is called, unlocked, before each slice of a load.
	slice func(uuid string)
	// wentCold is called, unlocked, when an image went by request and nobody knows yet.
	wentCold func()

	mu struct {
		sync.Mutex
		sets       map[string]*fakeSet
		generation int64
		held       int64 // dropped images that a reader holds
		reading    bool  // a reader is about: what is dropped is held
		drops      []string
		projects   int
		most       int64 // used at any time
	}
}

type fakeSet struct {
	name      string
	rows      int64
	perRow    int64
	fileBytes int64 // what the engine says of the files
	content   int64 // changes with each content commit
	state     worker.ImageState
	bytes     int64
	reason    string
	loadedAt  time.Time
}

func (s *fakeSet) size() int64 { return s.rows * s.perRow }

const fakeSliceRows = 250_000

func newFakeWorker(t testing.TB, budget int64) *fakeWorker {
	w := &fakeWorker{t: t, budget: budget}
	w.mu.sets = map[string]*fakeSet{}
	w.mu.generation = 1
	return w
}

// add makes a dataset of so many bytes in memory, of rows of 10 bytes.
func (w *fakeWorker) add(uuid string, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.sets[uuid] = &fakeSet{name: "d_" + uuid, rows: bytes / 10, perRow: 10, fileBytes: bytes, state: worker.ImageCold}
}

func (w *fakeWorker) datasets() []Dataset {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Dataset
	for uuid, s := range w.mu.sets {
		out = append(out, Dataset{UUID: uuid, Name: lake.Name{Namespace: lake.DefaultNamespace, Dataset: s.name}, Rows: s.rows, Bytes: s.fileBytes})
	}
	return out
}

// used is what the budget counts; mu is held.
func (w *fakeWorker) used() int64 {
	n := w.mu.held
	for _, s := range w.mu.sets {
		n += s.bytes
	}
	if n > w.mu.most {
		w.mu.most = n
	}
	if n > w.budget {
		w.t.Errorf("the budget of %d is exceeded: %d used", w.budget, n)
	}
	return n
}

func (w *fakeWorker) image(uuid string) Image {
	s := w.mu.sets[uuid]
	i := Image{TableUUID: uuid, State: s.state, Bytes: s.bytes, Reason: s.reason, Projected: s.size()}
	if s.state == worker.ImageHot {
		i.Rows, i.LoadedAt = s.rows, s.loadedAt
	}
	return i
}

var errDied = lake.Errorf(lake.CodeWorkerDied, "the worker died")

func (w *fakeWorker) LoadImage(ctx context.Context, uuid string) (Image, error) {
	w.mu.Lock()
	generation := w.mu.generation
	w.mu.Unlock()
	var content int64
	for first := true; ; first = false {
		if w.slice != nil {
			w.slice(uuid)
		}
		i, done, err := w.loadSlice(ctx, uuid, generation, &content, first)
		if done || err != nil {
			return i, err
		}
	}
}

func (w *fakeWorker) loadSlice(ctx context.Context, uuid string, generation int64, content *int64, first bool) (Image, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.mu.sets[uuid]
	switch {
	case w.mu.generation != generation:
		return Image{}, false, errDied
	case s == nil:
		return Image{}, false, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped", uuid)
	case s.state == worker.ImageHot:
		return w.image(uuid), true, nil
	}
	if first {
		*content = s.content
	}
	fail := func(err error) (Image, bool, error) {
		s.state, s.bytes, s.reason = worker.ImageCold, 0, err.Error()
		return w.image(uuid), false, err
	}
	if ctx.Err() != nil {
		return fail(lake.Errorf(lake.CodeCancelled, "cancelled: nobody waits for it"))
	}
	if s.content != *content {
		return fail(lake.Errorf(lake.CodeCancelled, "cancelled: content commit"))
	}
	s.state = worker.ImageLoading
	next := min(s.size()-s.bytes, fakeSliceRows*s.perRow)
	if w.used()+next > w.budget {
		return fail(lake.Errorf(lake.CodeOutOfMemory, "does not fit: needs about %d bytes, %d are free", s.size(), w.budget-w.used()+s.bytes))
	}
	s.bytes += next
	w.used()
	if s.bytes < s.size() {
		return Image{}, false, nil
	}
	s.state, s.reason, s.loadedAt = worker.ImageHot, "", time.Now()
	return w.image(uuid), true, nil
}

func (w *fakeWorker) ProjectImage(_ context.Context, uuid string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.projects++
	s := w.mu.sets[uuid]
	if s == nil {
		return 0, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped", uuid)
	}
	if w.used()+min(s.size(), fakeSliceRows*s.perRow) > w.budget {
		return 0, lake.Errorf(lake.CodeOutOfMemory, "does not fit")
	}
	return s.size(), nil
}

func (w *fakeWorker) DropImage(_ context.Context, uuid string) (Image, error) {
	i, err := w.dropImage(uuid)
	if w.wentCold != nil {
		w.wentCold()
	}
	return i, err
}

func (w *fakeWorker) dropImage(uuid string) (Image, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.mu.sets[uuid]
	if s == nil {
		return Image{}, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped", uuid)
	}
	if s.state == worker.ImageHot {
		w.mu.drops = append(w.mu.drops, uuid)
		w.goes(s, "dropped")
	}
	return w.image(uuid), nil
}

// goes takes an image away; mu is held.
func (w *fakeWorker) goes(s *fakeSet, reason string) {
	if w.mu.reading {
		w.mu.held += s.bytes
	}
	s.state, s.bytes, s.reason = worker.ImageCold, 0, reason
}

func (w *fakeWorker) Images(context.Context) (Images, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := Images{BudgetBytes: w.budget, UsedBytes: w.used(), HeldBytes: w.mu.held, Generation: w.mu.generation}
	for uuid, s := range w.mu.sets {
		if s.state != worker.ImageCold || s.reason != "" {
			out.Images = append(out.Images, w.image(uuid))
		}
	}
	return out, nil
}

// kill replaces the worker by one that holds nothing.
func (w *fakeWorker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.generation++
	w.mu.held, w.mu.reading = 0, false
	for _, s := range w.mu.sets {
		s.state, s.bytes, s.reason = worker.ImageCold, 0, ""
	}
}

// commit is a content commit: another number of rows, and no image.
func (w *fakeWorker) commit(uuid string, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.mu.sets[uuid]
	s.content++
	s.rows, s.fileBytes = bytes/s.perRow, bytes
	if s.state == worker.ImageHot {
		w.goes(s, "content commit")
	}
}

// grow applies changes in place. An image that they do not fit into goes.
func (w *fakeWorker) grow(uuid string, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.mu.sets[uuid]
	s.rows += bytes / s.perRow
	s.fileBytes += bytes
	if s.state != worker.ImageHot {
		return
	}
	if w.used()+bytes > w.budget {
		w.goes(s, fmt.Sprintf("demoted: a change of %d bytes does not fit", bytes))
		return
	}
	s.bytes += bytes
	w.used()
}

// read begins or ends a reader who holds what is dropped meanwhile.
func (w *fakeWorker) read(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.reading = on; !on {
		w.mu.held = 0
	}
}

func (w *fakeWorker) remove(uuid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.sets, uuid)
}

// hot lists what is held.
func (w *fakeWorker) hot() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]bool{}
	for uuid, s := range w.mu.sets {
		if s.state == worker.ImageHot {
			out[uuid] = true
		}
	}
	return out
}

// dropped gives and forgets what was dropped on request.
func (w *fakeWorker) dropped() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.mu.drops
	w.mu.drops = nil
	return out
}

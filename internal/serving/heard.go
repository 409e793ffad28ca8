package serving

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tarn/internal/lake"
)

// ear takes in the stream: it keeps what the publisher has not applied yet, the
// names as of the last entry heard, and how far both sides are. Whoever waits
// for a position waits here.
type ear struct {
	mu struct {
		sync.Mutex
		started  bool // a replay was heard
		replayed bool // and applied
		heard    int64
		applied  int64
		queue    []batch
		since    time.Time               // when the oldest in the queue came
		taken    int64                   // what the publisher took, and has applied or is about to
		wanted   int64                   // the highest number that somebody waits for, or waited
		names    map[string]string       // lake.Name.Key() → table uuid
		namesAt  int64                   // version of names and of how they are written
		datasets map[string]heardDataset // by table uuid
		served   map[string]served       // by table uuid
		asked    []string                // table uuids: see ask
		changed  chan struct{}           // closed at every change of the above
		closed   bool
	}
	// commits is how many commits to the serving database began or ended that change
	// what a query sees: it is odd while one is under way.
	commits atomic.Int64
}

// batch is entries of the stream up to a number; a replay's entries share it.
type batch struct {
	entries []lake.Entry
	end     int64
	seen    bool // by who looks ahead
}

type heardDataset struct {
	name   lake.Name
	schema lake.Schema
	last   int64 // number of the last entry about it
	named  int64 // number of the last that published or renamed it
	files  int64 // number of the last that published files
}

// served is what the publisher last did for a dataset: it shows as of a number
// of the stream, or it is behind for a reason.
type served struct {
	name   lake.Name
	number int64
	guard  *guard
	at     standing
	err    error
	loose  bool // queries pay for keys that are not placed, and none has said so
}

func newEar() *ear {
	e := &ear{}
	e.mu.names = map[string]string{}
	e.mu.datasets = map[string]heardDataset{}
	e.mu.served = map[string]served{}
	e.mu.changed = make(chan struct{})
	return e
}

// wake tells everyone who waits; mu is held.
func (e *ear) wake() {
	close(e.mu.changed)
	e.mu.changed = make(chan struct{})
}

// replay takes in the first entries, which together are the state as of end.
func (e *ear) replay(entries []lake.Entry, end int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.started {
		return lake.Errorf(lake.CodeInternal, "a second replay in one life of the worker")
	}
	e.mu.started = true
	e.mu.heard = end
	for _, entry := range entries {
		e.note(entry, end)
	}
	e.queue(batch{entries: entries, end: end})
	e.wake()
	return nil
}

// queue puts a batch behind the others; mu is held.
func (e *ear) queue(b batch) {
	if len(e.mu.queue) == 0 {
		e.mu.since = time.Now()
	}
	e.mu.queue = append(e.mu.queue, b)
}

// hear takes in the entries that follow; those heard before are passed over.
func (e *ear) hear(entries []lake.Entry) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.mu.started {
		return lake.Errorf(lake.CodeNotReady, "entries before a replay")
	}
	for len(entries) > 0 && entries[0].Number <= e.mu.heard {
		entries = entries[1:]
	}
	for i, entry := range entries {
		if want := e.mu.heard + 1 + int64(i); entry.Number != want {
			return lake.Errorf(lake.CodeNotReady, "entry %d of the stream where %d is next: a replay is needed", entry.Number, want)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	for _, entry := range entries {
		e.note(entry, entry.Number)
	}
	e.mu.heard = entries[len(entries)-1].Number
	e.queue(batch{entries: entries, end: e.mu.heard})
	e.wake()
	return nil
}

// note keeps the names as of an entry; mu is held.
func (e *ear) note(entry lake.Entry, number int64) {
	switch {
	case entry.Publish != nil:
		p := entry.Publish
		if d, ok := e.mu.datasets[p.TableUUID]; !ok || d.name != p.Name {
			e.mu.namesAt++
		}
		e.rename(p.TableUUID, p.Name)
		e.mu.datasets[p.TableUUID] = heardDataset{p.Name, p.Schema, number, number, number}
	case entry.Apply != nil:
		if d, ok := e.mu.datasets[entry.Apply.TableUUID]; ok {
			d.last = number
			e.mu.datasets[entry.Apply.TableUUID] = d
		}
	case entry.Rename != nil:
		if d, ok := e.mu.datasets[entry.Rename.TableUUID]; ok {
			e.mu.namesAt++
			e.rename(entry.Rename.TableUUID, entry.Rename.To)
			d.name, d.last, d.named = entry.Rename.To, number, number
			e.mu.datasets[entry.Rename.TableUUID] = d
		}
	case entry.Drop != nil:
		if d, ok := e.mu.datasets[entry.Drop.TableUUID]; ok {
			if e.mu.names[d.name.Key()] == entry.Drop.TableUUID {
				delete(e.mu.names, d.name.Key())
			}
			e.mu.namesAt++
			delete(e.mu.datasets, entry.Drop.TableUUID)
		}
	}
}

// rename moves a dataset's name; mu is held. Where two datasets swap names, the
// old name may be another's already.
func (e *ear) rename(uuid string, to lake.Name) {
	if d, ok := e.mu.datasets[uuid]; ok && e.mu.names[d.name.Key()] == uuid {
		delete(e.mu.names, d.name.Key())
	}
	e.mu.names[to.Key()] = uuid
}

// gatherTime is how long the stream is gathered while nobody waits for it: one
// apply of many deltas costs little more than one of a single delta.
const gatherTime = 100 * time.Millisecond

// ripe says whether the queue is to be taken now, else how long it may be gathered;
// mu is held. Who waits for what was taken already needs nothing of the queue.
func (e *ear) ripe(most int) (bool, time.Duration) {
	if len(e.mu.queue) == 0 {
		return false, 0
	}
	left := gatherTime - time.Since(e.mu.since)
	return !e.mu.replayed || e.mu.wanted > e.mu.taken || len(e.mu.queue) >= most || left <= 0, left
}

// take waits for entries and gives all that are queued, up to most entries, and the
// stream's number that they end at. It gathers them for a while unless somebody waits
// for what they bring, and shows what it has gathered, once. wake and ping end the wait
// early with nothing and the number -1; ok is false when the ear is closed.
func (e *ear) take(most int, show func([]lake.Entry), wake, ping <-chan struct{}) (entries []lake.Entry, end int64, ok bool) {
	for {
		e.mu.Lock()
		changed := e.mu.changed
		if e.mu.closed {
			e.mu.Unlock()
			return nil, 0, false
		}
		ripe, left := e.ripe(most)
		for ripe && len(e.mu.queue) > 0 && (len(entries) == 0 || len(entries)+len(e.mu.queue[0].entries) <= most) {
			entries = append(entries, e.mu.queue[0].entries...)
			end = e.mu.queue[0].end
			e.mu.queue = e.mu.queue[1:]
			e.mu.taken, ok = end, true
		}
		if len(e.mu.queue) == 0 {
			e.mu.queue = nil
		}
		var gathered []lake.Entry
		if !ok {
			gathered = e.unseen()
		}
		e.mu.Unlock()
		if ok {
			return entries, end, true
		}
		if len(gathered) > 0 {
			show(gathered)
			continue
		}
		var whole <-chan time.Time
		if left > 0 {
			whole = time.After(left)
		}
		select {
		case <-changed:
		case <-whole:
		case <-wake:
			return nil, -1, true
		case <-ping:
			return nil, -1, true
		}
	}
}

// unseen gives the entries of the queue that it has not given yet; mu is held.
func (e *ear) unseen() (entries []lake.Entry) {
	for i := range e.mu.queue {
		if b := &e.mu.queue[i]; !b.seen {
			b.seen = true
			entries = append(entries, b.entries...)
		}
	}
	return entries
}

// advance says that queries now see everything up to a number.
func (e *ear) advance(applied int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.replayed, e.mu.applied = true, applied // the replay's may be 0
	e.wake()
}

// serve says what became of datasets; a nil value takes one away.
func (e *ear) serve(news map[string]*served) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for uuid, n := range news {
		if n == nil {
			delete(e.mu.served, uuid)
		} else {
			e.mu.served[uuid] = *n
		}
	}
	e.wake()
}

// committing says that a commit begins. The function that it gives says that it has
// ended, and served what it left.
func (e *ear) committing() (settled func()) {
	e.commits.Add(1)
	return func() { e.commits.Add(1) }
}

// committed is the number of the last commit, or one of its own while one is under way.
func (e *ear) committed() int64 { return e.commits.Load() }

// standing gives where datasets stand as of a commit and that commit's number, where
// none is under way and their names and guards are still those. While committed is that
// number the database has them so.
func (e *ear) standing(uuids []string, names []lake.Name, guards []*guard) (at []standing, number int64, ok bool) {
	if number = e.committed(); number%2 != 0 {
		return nil, 0, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, uuid := range uuids {
		s, there := e.mu.served[uuid]
		if !there || s.err != nil || s.guard != guards[i] || s.at.name.Key() != names[i].Key() {
			return nil, 0, false
		}
		at = append(at, s.at)
	}
	return at, number, true
}

// ask notes that a query read a dataset; true when it paid for keys that are not
// placed and is the first to say so.
func (e *ear) ask(uuid string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.mu.served[uuid]
	if !s.loose {
		return false
	}
	s.loose = false
	e.mu.served[uuid] = s
	e.mu.asked = append(e.mu.asked, uuid)
	return true
}

// takeAsked gives the datasets that were asked for since the last call.
func (e *ear) takeAsked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.mu.asked
	e.mu.asked = nil
	return out
}

// behind lists the datasets that answer nothing now, and why.
func (e *ear) behind() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out map[string]string
	for _, s := range e.mu.served {
		if s.err != nil {
			if out == nil {
				out = map[string]string{}
			}
			out[s.name.String()] = s.err.Error()
		}
	}
	return out
}

// waitShown waits until a dataset shows everything up to a number, and gives
// the guard of its files. It fails with the reason when the dataset is behind.
func (e *ear) waitShown(ctx context.Context, uuid string, number int64) (g *guard, err error) {
	wait := e.waitFor(ctx, number, func() bool {
		s, ok := e.mu.served[uuid]
		d, there := e.mu.datasets[uuid]
		switch {
		case !ok:
			return !there // dropped meanwhile
		case s.err != nil && s.number < d.files: // files that may mend it are on their way
		case s.err != nil:
			err = notReady(s.name, s.err)
			return true
		case e.mu.applied >= number || s.number >= number:
			g = s.guard
			return true
		}
		return false
	})
	if wait != nil {
		return nil, wait
	}
	return g, err
}

// notReady words why a dataset is behind: damage as what it is, anything else
// as something that passes.
func notReady(name lake.Name, err error) error {
	if lake.CodeOf(err) == lake.CodeDamaged {
		return err
	}
	return lake.Errorf(lake.CodeNotReady, "dataset %s has changes that could not be applied yet: %w", name, err).
		WithHint("try again shortly; the server goes on trying")
}

func (e *ear) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.closed = true
	e.wake()
}

func (e *ear) positions() (heard, applied int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.heard, e.mu.applied
}

// waitHeard waits until the stream was heard up to a number.
func (e *ear) waitHeard(ctx context.Context, number int64) error {
	return e.wait(ctx, func() bool { return e.mu.started && e.mu.heard >= number })
}

// waitApplied waits until queries see the stream up to a number.
func (e *ear) waitApplied(ctx context.Context, number int64) error {
	return e.waitFor(ctx, number, func() bool { return e.mu.replayed && e.mu.applied >= number })
}

// waitFor is wait for what shows once the stream was applied up to a number, which is
// not gathered meanwhile.
func (e *ear) waitFor(ctx context.Context, number int64, there func() bool) error {
	e.mu.Lock()
	if !there() && number > e.mu.wanted {
		e.mu.wanted = number
		e.wake()
	}
	e.mu.Unlock()
	return e.wait(ctx, there)
}

func (e *ear) wait(ctx context.Context, there func() bool) error {
	for {
		e.mu.Lock()
		ok, closed, changed := there(), e.mu.closed, e.mu.changed
		e.mu.Unlock()
		switch {
		case closed:
			return lake.Errorf(lake.CodeNotReady, "the worker is closing")
		case ok:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return lake.Errorf(lake.CodeNotReady, "the query's time was up before the worker had caught up with the changes that it must see").
					WithHint("try again shortly")
			}
			return lake.Errorf(lake.CodeCancelled, "the query was cancelled")
		}
	}
}

// awaited is the number of the stream that a reading of a dataset waits for, of which
// all that was heard when it was asked for must show: nothing that was heard later, but
// for the name that it has now. It may be that of another's entry, where more of this
// one's came meanwhile.
func (d heardDataset) awaited(heard int64) int64 { return max(min(d.last, heard), d.named) }

// find gives a dataset by its name as heard last.
func (e *ear) find(name lake.Name) (uuid string, d heardDataset, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	uuid, ok = e.mu.names[name.Key()]
	return uuid, e.mu.datasets[uuid], ok
}

// namesVersion moves whenever a dataset gets, loses or changes its name.
func (e *ear) namesVersion() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.namesAt
}

// dataset gives a dataset by its table uuid as heard last.
func (e *ear) dataset(uuid string) (heardDataset, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, ok := e.mu.datasets[uuid]
	return d, ok
}

// count is how many datasets were heard of.
func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.mu.datasets)
}

// list gives the names of all datasets as heard last, in no order.
func (e *ear) list() []lake.Name {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]lake.Name, 0, len(e.mu.datasets))
	for _, d := range e.mu.datasets {
		out = append(out, d.name)
	}
	return out
}

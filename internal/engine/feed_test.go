package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/engine"
	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/store/s3test"
)

// feedEvent is an event of a feed of a dataset (id BIGINT, v VARCHAR), spelled out.
type feedEvent struct {
	op       string
	sequence int64
	position int64
	id       int64
	v        string
	reason   string
}

// spelled takes an event apart into one a row.
func spelled(e engine.FeedEvent) []feedEvent {
	if e.Op != engine.FeedRows {
		return []feedEvent{{op: string(e.Op), sequence: e.Sequence, reason: e.Reason}}
	}
	var out []feedEvent
	ids, vs := e.Changes.Rows.Column(0).(*array.Int64), e.Changes.Rows.Column(1).(*array.String)
	for i, op := range e.Changes.Ops {
		one := feedEvent{op: []string{"upsert", "delete"}[op], sequence: e.Sequence, position: e.Position + int64(i), id: ids.Value(i)}
		if op == 0 {
			one.v = strings.Clone(vs.Value(i))
		}
		out = append(out, one)
	}
	return out
}

// feed reads a feed to its end, which it takes off: what is left is the same whoever
// asks, and when.
func (o *opened) feed(r engine.FeedRequest) (events []feedEvent, reason string) {
	o.t.Helper()
	f, err := o.Feed(o.t.Context(), r)
	if err != nil {
		o.t.Fatalf("feed %+v: %v", r, err)
	}
	defer f.Close()
	if err := f.Run(o.t.Context(), func(e engine.FeedEvent) error {
		events = append(events, spelled(e)...)
		return nil
	}); err != nil {
		o.t.Fatalf("feed %+v: %v", r, err)
	}
	last := events[len(events)-1]
	return events[:len(events)-1], last.reason
}

// replica is a consumer of a feed: it keeps what whole sequences say.
type replica struct {
	after int64
	rows  map[int64]string
	log   []string // of a dataset without a key
	reads int      // of the dataset anew
}

// follow brings the replica up to date, some changes at a time.
func (r *replica) follow(o *opened, dataset string, limit int64) {
	o.t.Helper()
	for {
		events, reason := o.feed(engine.FeedRequest{Dataset: name(o.t, dataset), Since: r.after, Limit: limit})
		var open []feedEvent
		for _, e := range events {
			switch {
			case e.op == "commit":
				for _, c := range open {
					if c.op == "delete" {
						delete(r.rows, c.id)
					} else {
						r.rows[c.id] = c.v
						r.log = append(r.log, c.v)
					}
				}
				open, r.after = nil, max(r.after, e.sequence)
			case e.op == "content" && e.sequence > r.after:
				r.read(o, dataset)
			case e.op != "content" && e.sequence > r.after:
				open = append(open, e)
			}
		}
		if len(open) > 0 {
			o.t.Fatalf("the feed ended within sequence %d", open[0].sequence)
		}
		if reason == engine.EndCurrent {
			return
		}
	}
}

// read starts over from a query.
func (r *replica) read(o *opened, dataset string) {
	o.t.Helper()
	r.reads++
	got, head, err := o.tryAnswer("select id, v from " + dataset)
	if err != nil {
		o.t.Fatal(err)
	}
	r.rows = map[int64]string{}
	for _, line := range got {
		var id int64
		var v string
		if _, err := fmt.Sscanf(line, "[%d,%q]", &id, &v); err != nil {
			o.t.Fatalf("%s: %v", line, err)
		}
		r.rows[id] = v
	}
	for _, at := range head.ReadPoints {
		r.after = at.Sequence
	}
}

// TestFeedKeepsAReplica: a consumer that reads the feed in pieces has at each look what
// a query has, through random changes, folds, content commits and restarts; and the
// feed from each sequence is the rest of the feed from the first.
func TestFeedKeepsAReplica(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	keepsAReplica(t, rand.New(rand.NewPCG(seed, 1)), 60, func() *opened { return openLake(t, dir) })
}

// The same of a lake in a bucket, each time opened on a machine that has nothing of it:
// what a take-over puts into the log is no change, and folded deltas are fetched.
func TestFeedFromABucket(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	keepsAReplica(t, rand.New(rand.NewPCG(seed, 1)), 30, func() *opened { return openLake(t, "", onBucket(s.URL, bucket, t.TempDir())) })
}

func keepsAReplica(t *testing.T, random *rand.Rand, steps int, open func() *opened) {
	t.Helper()
	o := open()
	defer func() { o.close() }()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	r := &replica{rows: map[int64]string{}}
	contents := 0
	for step := range steps {
		switch n := random.IntN(20); {
		case n < 11:
			var lines []string
			for range 1 + random.IntN(5) {
				lines = append(lines, fmt.Sprintf(`{"id":%d,"v":"%d"}`, random.IntN(40), step))
			}
			o.change("t", engine.OpUpsert, lines...)
		case n < 15:
			o.change("t", engine.OpDelete, fmt.Sprintf(`{"id":%d}`, random.IntN(40)))
		case n < 17:
			o.compact("t")
		case n < 18:
			contents++
			if _, err := o.importText("t", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, fmt.Sprintf("id,v\n%d,i%d\n", random.IntN(40), step)); err != nil {
				t.Fatal(err)
			}
		case n < 19:
			contents++
			if _, err := o.importText("t", engine.ImportReplace, rows.CSV, nil, "", "id,v\n1,a\n2,b\n"); err != nil {
				t.Fatal(err)
			}
		default:
			o.close()
			o = open()
		}
		if random.IntN(3) == 0 {
			r.follow(o, "t", int64(1+random.IntN(6)))
			want := &replica{}
			want.read(o, "t")
			if !maps.Equal(r.rows, want.rows) || r.after != want.after {
				t.Fatalf("step %d: the consumer has %v at %d, a query %v at %d", step, r.rows, r.after, want.rows, want.after)
			}
		}
	}
	if r.reads > contents {
		t.Errorf("it was told %d times to read anew, for %d content commits", r.reads, contents)
	}
	all, _ := o.feed(engine.FeedRequest{Dataset: name(t, "t")})
	for i, e := range all {
		if e.op == "commit" || e.op == "content" {
			if rest, _ := o.feed(engine.FeedRequest{Dataset: name(t, "t"), Since: e.sequence}); !slices.Equal(rest, all[i+1:]) {
				t.Fatalf("after %d: %v, want %v", e.sequence, rest, all[i+1:])
			}
		}
	}
	o.verifyClean()
}

// TestFeedOfAppendedRows: a dataset without a key gives each row once, in order of
// arrival, with its place.
func TestFeedOfAppendedRows(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("log", schema(t, nil, "id BIGINT", "v VARCHAR"))
	o.change("log", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":1,"v":"a"}`)
	o.change("log", engine.OpUpsert, `{"id":2,"v":"b"}`)
	got, reason := o.feed(engine.FeedRequest{Dataset: name(t, "log")})
	want := []feedEvent{
		{op: "upsert", sequence: 1, position: 1, id: 1, v: "a"}, {op: "upsert", sequence: 1, position: 2, id: 1, v: "a"}, {op: "commit", sequence: 1},
		{op: "upsert", sequence: 2, position: 1, id: 2, v: "b"}, {op: "commit", sequence: 2},
	}
	if !slices.Equal(got, want) || reason != engine.EndCurrent {
		t.Errorf("%v, %s", got, reason)
	}
	if got, reason = o.feed(engine.FeedRequest{Dataset: name(t, "log"), Limit: 1}); !slices.Equal(got, want[:3]) || reason != engine.EndLimit {
		t.Errorf("a limit within a sequence: %v, %s", got, reason)
	}
}

// TestFeedOfALargeDelta: a delta that a job made comes in batches of bounded size.
func TestFeedOfALargeDelta(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.SpoolBytes = 4096 })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	const n = 50_000
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"v":"%d"}`, i, i))
	}
	o.change("t", engine.OpUpsert, lines...)
	f, err := o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	next, seen := int64(1), map[int64]bool{}
	if err := f.Run(t.Context(), func(e engine.FeedEvent) error {
		if e.Op == engine.FeedRows {
			if len(e.Changes.Ops) > 8192 || e.Position != next {
				return fmt.Errorf("%d rows from %d on, want it from %d", len(e.Changes.Ops), e.Position, next)
			}
			next += int64(len(e.Changes.Ops))
			for _, one := range spelled(e) {
				seen[one.id] = true
			}
		}
		return nil
	}); err != nil || len(seen) != n {
		t.Fatalf("%d rows, %v", len(seen), err)
	}
}

// TestFeedOfAnImportThatWasCut: an import during which the server dies is an event of its
// sequence, whether it went in or left only the sequence taken, and the dataset that is
// read anew then is the one that there is.
func TestFeedOfAnImportThatWasCut(t *testing.T) {
	for point, want := range map[string]map[int64]string{
		"content.sequence-taken": {1: "x"},
		"content.committed":      {1: "x", 7: "y"},
	} {
		t.Run(point, func(t *testing.T) {
			dir, dead := t.TempDir(), filepath.Join(t.TempDir(), "lake")
			o := openLake(t, dir)
			o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
			o.change("t", engine.OpUpsert, `{"id":1,"v":"x"}`)
			failpoint.Arm(func(name string) {
				if name != point {
					return
				}
				if err := os.CopyFS(dead, os.DirFS(dir)); err != nil {
					t.Error(err)
				}
			})
			defer failpoint.Arm(func(string) {})
			if _, err := o.importText("t", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, "id,v\n7,y\n"); err != nil {
				t.Fatal(err)
			}
			o.close()
			o = openLake(t, dead)
			defer o.close()
			r := &replica{rows: map[int64]string{}}
			r.follow(o, "t", 0)
			if !maps.Equal(r.rows, want) || r.reads != 1 || r.after != 2 {
				t.Errorf("the consumer has %v after %d reads of the dataset, through %d", r.rows, r.reads, r.after)
			}
		})
	}
}

// followed runs a feed that is followed beside the test.
type followed struct {
	events chan feedEvent
	ended  chan error
	cancel context.CancelFunc
}

func (o *opened) followFeed(dataset string, since int64) *followed {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	feed, err := o.Feed(ctx, engine.FeedRequest{Dataset: name(o.t, dataset), Since: since, Follow: true})
	if err != nil {
		cancel()
		o.t.Fatal(err)
	}
	f := &followed{events: make(chan feedEvent), ended: make(chan error, 1), cancel: cancel}
	go func() {
		defer feed.Close()
		f.ended <- feed.Run(ctx, func(e engine.FeedEvent) error {
			for _, one := range spelled(e) {
				select {
				case f.events <- one:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	}()
	return f
}

// next is the next event that is no heartbeat.
func (f *followed) next() feedEvent {
	for {
		if e := <-f.events; e.op != "heartbeat" {
			return e
		}
	}
}

// TestFeedIsFollowed: what is committed comes, and the feed ends cleanly when the
// dataset is dropped or renamed, with the server and with the reader.
func TestFeedIsFollowed(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.FeedHeartbeat = 10 * time.Millisecond })
	defer o.close()
	for _, d := range []string{"a", "b", "c"} {
		o.create(d, schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	}
	a, b, c, d := o.followFeed("a", 0), o.followFeed("b", 0), o.followFeed("c", 0), o.followFeed("c", 0)
	for range 2 {
		if e := <-a.events; e.op != "heartbeat" || e.sequence != 0 {
			t.Fatalf("%+v", e)
		}
	}
	o.change("a", engine.OpUpsert, `{"id":1,"v":"x"}`)
	if e := a.next(); e.op != "upsert" || e.id != 1 || e.v != "x" || e.sequence != 1 {
		t.Fatalf("%+v", e)
	}
	if e := a.next(); e != (feedEvent{op: "commit", sequence: 1}) {
		t.Fatalf("%+v", e)
	}
	o.compact("a") // changes no content: nothing comes of it
	if _, err := o.importText("a", engine.ImportReplace, rows.CSV, nil, "", "id,v\n5,e\n"); err != nil {
		t.Fatal(err)
	}
	if e := a.next(); e != (feedEvent{op: "content", sequence: 2}) {
		t.Fatalf("%+v", e)
	}
	if err := o.Drop(t.Context(), name(t, "a"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	if e := a.next(); e != (feedEvent{op: "end", sequence: 2, reason: engine.EndDropped}) {
		t.Fatalf("%+v", e)
	}
	if _, err := o.Rename(t.Context(), name(t, "b"), name(t, "b2"), engine.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	if e := b.next(); e.reason != engine.EndRenamed {
		t.Fatalf("%+v", e)
	}
	d.cancel()
	if err := <-d.ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("its reader went away: %v", err)
	}
	o.Drain()
	if e := c.next(); e.reason != engine.EndShutdown {
		t.Fatalf("%+v", e)
	}
	for _, f := range []*followed{a, b, c} {
		if err := <-f.ended; err != nil {
			t.Fatal(err)
		}
		f.cancel()
	}
	_, err := o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "c")})
	wantCode(t, err, lake.CodeNotReady)
}

// TestFeedAndRetention: a delta is not trimmed while a feed reads it, one that only
// waits holds none, and beyond what is kept a feed is refused with the way out.
func TestFeedAndRetention(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) {
		o.Settings.SnapshotRetention, o.Settings.DeltaRetention, o.Settings.IdempotencyRetention = 1, 1, 1
	})
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	for i := range 4 { // two rows each: after the first of one the reader is within it
		o.change("t", engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":"x"}`, i), fmt.Sprintf(`{"id":1%d,"v":"x"}`, i))
	}
	slow, waits := o.followFeed("t", 1), o.followFeed("t", 4)
	defer waits.cancel()
	defer slow.cancel()
	<-waits.events // the heartbeat: it waits
	if e := slow.next(); e.op != "upsert" || e.sequence != 2 {
		t.Fatalf("%+v", e)
	}
	trimmed := func() int64 {
		t.Helper()
		o.compact("t")
		if err := o.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		d, err := o.Describe(t.Context(), name(t, "t"))
		if err != nil {
			t.Fatal(err)
		}
		return d.TrimmedThrough
	}
	if got := trimmed(); got != 1 {
		t.Fatalf("trimmed through %d while 2 was being read", got)
	}
	for sequence := int64(2); sequence <= 4; sequence++ {
		if sequence > 2 {
			slow.next()
		}
		slow.next()
		if e := slow.next(); e != (feedEvent{op: "commit", sequence: sequence}) {
			t.Fatalf("%+v", e)
		}
	}
	<-slow.events // a heartbeat: it holds nothing
	o.change("t", engine.OpUpsert, `{"id":9,"v":"x"}`)
	if got := trimmed(); got != 4 {
		t.Fatalf("trimmed through %d", got)
	}
	_, err := o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t"), Since: 3})
	wantCode(t, err, lake.CodeChangesGone)
	if text := err.Error() + lake.HintOf(err); !strings.Contains(text, "those after 4 are") || !strings.Contains(text, "read point") {
		t.Errorf("it says %q", text)
	}
	_, err = o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t"), Since: 6})
	wantCode(t, err, lake.CodeChangesGone)
	_, err = o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t"), Since: 4, TableUUID: "another"})
	wantCode(t, err, lake.CodeChangesGone)
	if events, _ := o.feed(engine.FeedRequest{Dataset: name(t, "t"), Since: 4}); len(events) != 2 {
		t.Errorf("%v", events)
	}
}

// TestFeedPlaces: feeds are bounded, by all and by owner, and take no place of queries.
func TestFeedPlaces(t *testing.T) {
	o := openLake(t, t.TempDir(), func(o *engine.Options) { o.Settings.MaxFeeds, o.Settings.QueryConcurrency = 4, 1 })
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	open := func(owner string) (*engine.Feed, error) {
		return o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t"), Follow: true, Owner: owner})
	}
	var feeds []*engine.Feed
	for _, owner := range []string{"a", "a", "b", "b"} {
		f, err := open(owner)
		if err != nil {
			t.Fatal(err)
		}
		feeds = append(feeds, f)
		if len(feeds) == 2 {
			_, err := open("a")
			wantCode(t, err, lake.CodeOverloaded)
		}
	}
	_, err := open("c")
	wantCode(t, err, lake.CodeOverloaded)
	o.want("select count(*) from t", "[0]")
	for _, f := range feeds {
		f.Close()
		f.Close()
	}
	f, err := open("c")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestFeedOfAFollower: a follower gives the same feed once it has seen it, also to who
// follows it there.
func TestFeedOfAFollower(t *testing.T) {
	dir := t.TempDir()
	w := openLake(t, dir)
	defer w.close()
	w.create("t", schema(t, []string{"id"}, "id BIGINT", "v VARCHAR"))
	w.change("t", engine.OpUpsert, `{"id":1,"v":"a"}`, `{"id":2,"v":"b"}`)
	w.compact("t")
	f := follow(t, dir)
	defer f.close()
	f.caughtUp(w)
	reader := f.followFeed("t", 1)
	defer reader.cancel()
	w.change("t", engine.OpDelete, `{"id":1}`)
	if _, err := w.importText("t", engine.ImportAppend, rows.CSV, nil, engine.DuplicateLast, "id,v\n7,g\n"); err != nil {
		t.Fatal(err)
	}
	_, err := f.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t"), Since: 3})
	wantCode(t, err, lake.CodeBehind)
	f.caughtUp(w)
	want, _ := w.feed(engine.FeedRequest{Dataset: name(t, "t")})
	if got, _ := f.feed(engine.FeedRequest{Dataset: name(t, "t")}); !slices.Equal(got, want) || len(got) != 6 {
		t.Fatalf("the follower gives %v, the writer %v", got, want)
	}
	for _, e := range want[3:] {
		if got := reader.next(); got != e {
			t.Fatalf("%+v, want %+v", got, e)
		}
	}
}

// TestFeedOverASchemaChange: a change of columns is an event of its own; a feed that is
// open ends by it, and one that is opened then gives all rows in the new columns.
func TestFeedOverASchemaChange(t *testing.T) {
	o := openLake(t, t.TempDir())
	defer o.close()
	o.create("t", schema(t, []string{"id"}, "id BIGINT", "was VARCHAR", "more VARCHAR"))
	o.change("t", engine.OpUpsert, `{"id":1,"was":"a","more":"b"}`)
	open, err := o.Feed(t.Context(), engine.FeedRequest{Dataset: name(t, "t")})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	o.alter("t RENAME COLUMN was TO v, DROP COLUMN more")
	o.change("t", engine.OpUpsert, `{"id":2,"v":"c"}`)
	want := []feedEvent{
		{op: "upsert", sequence: 1, position: 1, id: 1, v: "a"}, {op: "commit", sequence: 1},
		{op: "schema", sequence: 2},
		{op: "upsert", sequence: 3, position: 1, id: 2, v: "c"}, {op: "commit", sequence: 3},
	}
	for range 2 { // also once a fold has made a snapshot beyond it
		got, reason := o.feed(engine.FeedRequest{Dataset: name(t, "t")})
		if !slices.Equal(got, want) || reason != engine.EndCurrent {
			t.Errorf("%+v %s", got, reason)
		}
		o.compact("t")
	}
	var last engine.FeedEvent
	if err := open.Run(t.Context(), func(e engine.FeedEvent) error { last = e; return nil }); err != nil || last.Reason != engine.EndSchema || last.Sequence != 0 {
		t.Errorf("%+v, %v", last, err)
	}
}

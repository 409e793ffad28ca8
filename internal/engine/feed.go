package engine

import (
	"cmp"
	"context"
	"errors"
	"time"

	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// FeedRequest asks for the changes of a dataset after a sequence.
type FeedRequest struct {
	Dataset lake.Name
	Since   int64
	// TableUUID is the table that Since is a sequence of; "" is not said.
	TableUUID string
	Limit     int64 // the feed ends with the sequence in which so many changes are reached; 0: none
	Follow    bool  // it goes on with what is committed later
	Owner     string
}

// FeedOp says what an event of a feed is.
type FeedOp string

// The events of a feed. A sequence is any number of FeedRows and then one FeedCommit, or
// a FeedContent or FeedSchema alone. FeedEnd is the last.
const (
	FeedRows      FeedOp = "rows"      // some changes of a sequence
	FeedCommit    FeedOp = "commit"    // the sequence is whole: the feed can be resumed after it
	FeedContent   FeedOp = "content"   // a content commit took the sequence: the dataset is to be read anew
	FeedSchema    FeedOp = "schema"    // the columns changed, and no row; rows before and after it come in the present ones
	FeedHeartbeat FeedOp = "heartbeat" // nothing is there after Sequence
	FeedEnd       FeedOp = "end"       // for Reason; the feed can be resumed after Sequence
)

// Why feeds end.
const (
	EndCurrent  = "current"        // all was read that was there when the feed was opened
	EndLimit    = "limit"          // the request's
	EndShutdown = "shutdown"       // of the server
	EndDropped  = "dropped"        // the dataset is gone
	EndRenamed  = "renamed"        // it has another name
	EndSchema   = "schema_changed" // it has other columns from here on
	EndTrimmed  = "trimmed"        // what follows is not kept any more: the reader was too slow
)

// FeedEvent is one event of a feed.
type FeedEvent struct {
	Op       FeedOp
	Sequence int64
	Time     time.Time // of the delta, or of the event
	Changes  format.Changes
	Position int64 // of FeedRows: of the first of them within the sequence, from 1
	Count    int64 // of FeedCommit: the changes in the sequence
	Reason   string
}

// Feed is the changes of a dataset after a sequence. Close it always.
//
// It reads deltas, which are there only once they are committed, one at a time, each
// verified whole before its first change goes out. While it reads one, that one and
// those after it are not trimmed; in between nothing is held, so that a feed that is
// followed for years keeps no delta beyond the retention, and a reader who falls behind
// the retention is told so.
type Feed struct {
	TableUUID string
	Schema    lake.Schema // of the changes

	engine *Engine
	req    FeedRequest
	after  int64 // the last sequence that was sent whole
	until  int64 // the newest as the feed was opened
	sent   int64 // changes
	leave  func()
}

// Feed opens the changes of a dataset after a sequence.
//
// lake.CodeChangesGone: they cannot be read from there, as deltas were trimmed or the
// name is another table's. lake.CodeOverloaded: too many feeds are being read.
// lake.CodeBehind: a follower has not seen the sequence yet.
func (e *Engine) Feed(_ context.Context, r FeedRequest) (*Feed, error) {
	e.asked.mark()
	if err := e.mayRead(); err != nil {
		return nil, err
	}
	if e.draining.Load() {
		return nil, lake.Errorf(lake.CodeNotReady, "the server is shutting down")
	}
	m, err := e.member(r.Dataset)
	if err != nil {
		return nil, err
	}
	s := m.ds.State()
	if err := e.resumable(s, r); err != nil {
		return nil, lake.Step("changes of "+s.Name.String(), err)
	}
	leave, err := e.feeds.enter(r.Owner)
	if err != nil {
		return nil, err
	}
	return &Feed{TableUUID: s.UUID, Schema: s.Schema, engine: e, req: r, after: r.Since, until: s.Sequence, leave: leave}, nil
}

// resumable says whether every delta after the sequence is there.
func (e *Engine) resumable(s *dataset.State, r FeedRequest) error {
	const hint = "start over: read the dataset by a query, and go on after the sequence of the answer's read point"
	next, ok := s.After(r.Since)
	switch {
	case r.Since < 0:
		return lake.Errorf(lake.CodeInvalidRequest, "since=%d is below 0", r.Since)
	case r.TableUUID != "" && r.TableUUID != s.UUID:
		return lake.Errorf(lake.CodeChangesGone, "it is the table %s and not %s any more: it was made anew", s.UUID, r.TableUUID).WithHint(hint)
	case r.Since > s.Sequence && e.follower != nil:
		return lake.Errorf(lake.CodeBehind, "this follower has seen it up to sequence %d, not %d", s.Sequence, r.Since).WithHint("try again in a moment")
	case r.Since > s.Sequence:
		return lake.Errorf(lake.CodeChangesGone, "it stands at sequence %d and never had %d: it was made anew, or the lake restored", s.Sequence, r.Since).WithHint(hint)
	case r.Since < s.FirstKept():
		return lake.Errorf(lake.CodeChangesGone, "the changes after sequence %d are not kept any more, those after %d are", r.Since, s.FirstKept()).WithHint(hint)
	case ok && next.First <= r.Since:
		return lake.Errorf(lake.CodeChangesGone, "sequences %d to %d are one delta by now", next.First, next.Sequence).WithHint(hint)
	}
	return nil
}

// Close gives the feed's place back. It may be called twice.
func (f *Feed) Close() { f.leave() }

// errTrimmed says that a delta was trimmed before it was read.
var errTrimmed = errors.New("trimmed")

// Run reads the feed and gives its events in order, the changes valid during the call.
// nil is a feed that ended by FeedEnd; an error of emit comes back as it is. It ends
// with ctx, and at the engine's end.
func (f *Feed) Run(ctx context.Context, emit func(FeedEvent) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.engine.ctx, cancel)()
	told := false // that it is current
	for {
		m, s, changed, reason, err := f.look()
		if err != nil {
			return err
		}
		d, ok := lake.Delta{}, false
		if reason == "" {
			if d, ok = s.After(f.after); ok && !f.req.Follow && d.Sequence > f.until {
				ok = false
			}
		}
		switch {
		case reason == "" && f.engine.draining.Load():
			reason = EndShutdown
		case reason == "" && f.req.Limit > 0 && f.sent >= f.req.Limit:
			reason = EndLimit
		case reason == "" && !ok && !f.req.Follow:
			reason = EndCurrent
		}
		switch {
		case reason != "":
			return emit(FeedEvent{Op: FeedEnd, Sequence: f.after, Time: f.engine.opts.Now(), Reason: reason})
		case ok:
			err = f.send(ctx, m, d, emit)
			if errors.Is(err, errTrimmed) {
				if _, _, _, reason, err = f.look(); err != nil {
					return err
				}
				return emit(FeedEvent{Op: FeedEnd, Sequence: f.after, Time: f.engine.opts.Now(), Reason: cmp.Or(reason, EndTrimmed)})
			}
		default:
			if err = f.wait(ctx, changed, told); errors.Is(err, errBeat) {
				told = true
				err = emit(FeedEvent{Op: FeedHeartbeat, Sequence: f.after, Time: f.engine.opts.Now()})
			}
		}
		if err != nil {
			return err
		}
	}
}

// look gives the dataset as it stands, the channel that its next change closes, and why
// the feed ends, if it does.
func (f *Feed) look() (m *member, s *dataset.State, changed <-chan struct{}, reason string, err error) {
	if err := f.engine.mayRead(); err != nil {
		return nil, nil, nil, "", err
	}
	if m = f.engine.memberByUUID(f.TableUUID); m == nil {
		return nil, nil, nil, EndDropped, nil
	}
	changed = m.ds.Changed()
	switch s = m.ds.State(); {
	case s.Dropped:
		reason = EndDropped
	case s.Name.Key() != f.req.Dataset.Key():
		reason = EndRenamed
	case f.after < s.FirstKept():
		reason = EndTrimmed
	case s.Schema.ID != f.Schema.ID:
		reason = EndSchema
	}
	return m, s, changed, reason, nil
}

// errBeat says that it is time for a heartbeat.
var errBeat = errors.New("heartbeat")

// wait waits for the dataset's next change, for the server's end, or for the time of the
// next heartbeat, which is at once where the reader was not told yet that he is current.
func (f *Feed) wait(ctx context.Context, changed <-chan struct{}, told bool) error {
	if !told {
		return errBeat
	}
	beat := time.NewTimer(f.engine.set.FeedHeartbeat)
	defer beat.Stop()
	select {
	case <-changed:
		return nil
	case <-f.engine.drained:
		return nil
	case <-beat.C:
		return errBeat
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send gives the events of one delta.
func (f *Feed) send(ctx context.Context, m *member, d lake.Delta, emit func(FeedEvent) error) error {
	done := FeedEvent{Op: FeedCommit, Sequence: d.Sequence, Time: d.Time, Count: d.Rows}
	if d.Empty() && d.Seal == nil && !d.Void {
		done.Op = FeedContent
		if f.schemaChanged(m, d.Sequence) {
			done.Op = FeedSchema
		}
	}
	if d.Rows > 0 {
		if err := f.sendRows(ctx, m, d, emit); err != nil {
			return err
		}
	}
	if err := emit(done); err != nil {
		return err
	}
	f.after = d.Sequence
	f.sent += d.Rows
	return nil
}

// schemaChanged says whether a sequence was taken by a schema change. The state is read
// between the steps of the stream, of which one shows the delta and its table.
func (f *Feed) schemaChanged(m *member, sequence int64) (changed bool) {
	f.engine.stream.Do(func() []lake.Entry {
		changed = m.ds.State().Table.SchemaChangedAt(sequence)
		return nil
	})
	return changed
}

// sendRows reads a delta that nobody trims meanwhile. A reader who takes longer for one
// delta than the longest query may take is cut.
func (f *Feed) sendRows(ctx context.Context, m *member, d lake.Delta, emit func(FeedEvent) error) error {
	release, ok := f.engine.holds.From(f.TableUUID, d.Sequence)
	if !ok {
		return errTrimmed
	}
	defer release()
	if m.ds.State().TrimmedThrough >= d.Sequence {
		return errTrimmed
	}
	if most := f.engine.set.MaxQueryTimeout; most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	path, letGo, err := m.ds.Log.Hold(ctx, d.Key)
	if err != nil {
		return f.unread(m, d, err)
	}
	defer letGo()
	next := int64(1)
	h, err := format.OpenDelta(ctx, path, f.Schema, func(c format.Changes) error {
		first := next
		next += int64(len(c.Ops))
		return emit(FeedEvent{Op: FeedRows, Sequence: d.Sequence, Time: d.Time, Changes: c, Position: first})
	})
	if err == nil && h.UUID != d.UUID {
		err = lake.Errorf(lake.CodeDamaged, "%s holds another delta than before", d.Key)
	}
	if err != nil {
		return f.unread(m, d, err)
	}
	f.engine.metrics.fed(d.Rows)
	return nil
}

// unread is why a delta could not be read. A follower's may be gone as its writer, who
// knows nothing of feeds here, trimmed it.
func (f *Feed) unread(m *member, d lake.Delta, err error) error {
	if lake.CodeOf(err) == lake.CodeNotFound {
		if f.engine.follower != nil || m.ds.State().Dropped {
			return errTrimmed
		}
		return lake.Errorf(lake.CodeDamaged, "the delta %s is missing: %w", d.Key, err)
	}
	return err
}

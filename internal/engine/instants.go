package engine

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/worker"
)

// instantTries is how often a query is run again as it named other instants than the
// time before: names of datasets changed meanwhile.
const instantTries = 3

// runAt runs a query, and brings it the files of the datasets that it names as they were
// (AT). These are held against upkeep until the answer is closed.
func (e *Engine) runAt(ctx context.Context, q worker.QueryRequest, timeout time.Duration) (*query.Result, func(), error) {
	res, err := e.runHere(ctx, q, timeout)
	if lake.CodeOf(err) != lake.CodeInstants {
		return res, func() {}, err
	}
	until, timeoutErr := e.queries.Deadline(timeout)
	if timeoutErr != nil {
		return nil, func() {}, timeoutErr
	}
	bringing, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for range instantTries {
		var asked []lake.Instant
		if err := json.Unmarshal([]byte(listIn(err)), &asked); err != nil {
			return nil, func() {}, lake.Errorf(lake.CodeInternal, "the worker asks for instants: %w", err)
		}
		files, release, bringErr := e.bringInstants(bringing, asked, q.Within)
		left := time.Until(until)
		if bringErr == nil && left <= 0 {
			bringErr = context.DeadlineExceeded
		}
		if bringErr != nil {
			release()
			if bringing.Err() != nil && ctx.Err() == nil {
				bringErr = lake.Errorf(lake.CodeDeadline, "finding the files of earlier states took the query's time").
					WithHint("ask again, or for more time by timeout")
			}
			return nil, func() {}, bringErr
		}
		q.Instants = files
		if res, err = e.runHere(ctx, q, left); err == nil {
			return res, release, nil
		}
		release()
		if lake.CodeOf(err) != lake.CodeInstants {
			return nil, func() {}, err
		}
	}
	return nil, func() {}, lake.Errorf(lake.CodeNotReady, "names of datasets changed while their earlier states were looked for").WithHint("try again")
}

// listIn is the JSON of a CodeInstants.
func listIn(err error) string {
	text := err.Error()
	from, to := strings.Index(text, "["), strings.LastIndex(text, "]")
	if from < 0 || to < from {
		return ""
	}
	return text[from : to+1]
}

// bringInstants finds the files of instants, and brings them to this machine, all at once;
// release lets them go. within says that a statement asks, which has a committer and must
// not wait for another.
func (e *Engine) bringInstants(ctx context.Context, asked []lake.Instant, within bool) (out []lake.InstantFiles, release func(), err error) {
	var all []func()
	release = sync.OnceFunc(func() {
		for _, r := range all {
			r()
		}
	})
	var files []lake.BaseFile
	there := map[string]bool{}
	for _, in := range asked {
		m, err := e.member(in.Dataset)
		if err != nil {
			return nil, release, err
		}
		all = append(all, e.shop.InUse(m.ds.State().UUID))
		f, let, err := e.findInstant(ctx, m, in, within)
		all = append(all, let...)
		if err != nil {
			return nil, release, lake.Step(in.String(), e.withoutFolders(err))
		}
		for _, b := range f.Files {
			if !there[b.Key] {
				there[b.Key] = true
				files = append(files, b)
			}
		}
		out = append(out, f)
	}
	if err := e.fit(files); err != nil {
		return nil, release, err
	}
	here, let, err := e.shop.Bring(ctx, files)
	if err != nil {
		return nil, release, e.withoutFolders(err)
	}
	all = append(all, let)
	byKey := map[string]lake.BaseFile{}
	for _, b := range here {
		byKey[b.Key] = b
	}
	for i := range out {
		for n, b := range out[i].Files {
			out[i].Files[n] = byKey[b.Key]
		}
	}
	return out, release, nil
}

// fit refuses files that can never be on this machine at once.
func (e *Engine) fit(files []lake.BaseFile) error {
	var bytes int64
	for _, n := range needsOf(files) {
		bytes += n.Size
	}
	if e.remote == nil || bytes <= e.set.DiskCacheBytes {
		return nil
	}
	return lake.Errorf(lake.CodeOutOfDisk, "the earlier states have %d bytes of files, and disk_cache_bytes is %d", bytes, e.set.DiskCacheBytes).
		WithHint("raise disk_cache_bytes above it, or ask for fewer at once")
}

// withoutFolders takes this machine's folders out of an error that a client sees.
func (e *Engine) withoutFolders(err error) error {
	text := err.Error()
	for _, dir := range e.lakeDirs() {
		text = strings.ReplaceAll(text, strings.TrimRight(dir, "/")+"/", "")
	}
	if text == err.Error() {
		return err
	}
	return &lake.Error{Code: lake.CodeOf(err), Msg: text, Hint: lake.HintOf(err)}
}

// findInstant finds what an instant is read from. Deltas are on this machine then; base
// files have yet to be brought.
func (e *Engine) findInstant(ctx context.Context, m *member, in lake.Instant, within bool) (f lake.InstantFiles, release []func(), err error) {
	if in.Placed {
		return e.findPlaced(ctx, m, in)
	}
	if in.Time != "" {
		if err := e.passed(ctx, m, time.UnixMicro(in.TimeMicros), within); err != nil {
			return f, nil, err
		}
	}
	s := m.ds.State()
	if f.Sequence = in.Sequence; in.Time != "" {
		if f.Sequence, err = sequenceAt(s, time.UnixMicro(in.TimeMicros)); err != nil {
			return f, nil, err
		}
	}
	if f.Sequence > s.Sequence {
		return f, nil, lake.Errorf(lake.CodeInvalidRequest, "the newest sequence is %d", s.Sequence)
	}
	at, ok, err := s.Table.At(ctx, f.Sequence)
	if err != nil {
		return f, nil, err
	}
	if !ok {
		return f, nil, notKept(s)
	}
	if at.FoldedThrough < f.Sequence {
		let, ok := e.holds.From(s.UUID, at.FoldedThrough+1)
		if !ok {
			return f, nil, notKept(s)
		}
		release = append(release, let)
		if s = m.ds.State(); s.TrimmedThrough > at.FoldedThrough { // trimmed before it was held
			return f, release, notKept(s)
		}
	}
	if in.Time != "" && f.Sequence == 0 && at.TimeMS > 0 && at.TimeMS > in.TimeMicros/1000+1 {
		return f, release, lake.Errorf(lake.CodeNotRetained, "the dataset was made later, at %s", time.UnixMilli(at.TimeMS).UTC().Format(time.RFC3339))
	}
	f.Instant, f.TableUUID, f.Snapshot, f.Evolved = in, s.UUID, at.SnapshotID, s.Table.Evolved()
	if f.Schema, err = s.Table.SchemaAt(f.Sequence); err != nil {
		return f, release, err
	}
	if f.Files, err = e.shop.Verifier.Files(ctx, at.Files); err != nil {
		return f, release, err
	}
	var deltas []lake.Delta
	for _, d := range s.Deltas {
		if d.Sequence <= at.FoldedThrough || d.First > f.Sequence {
			continue
		}
		if d.Sequence > f.Sequence { // it stands for a range that goes beyond
			return f, release, notKept(s)
		}
		deltas = append(deltas, d)
	}
	var lets []func()
	f.Deltas, lets, err = e.bringDeltas(ctx, deltas)
	return f, append(release, lets...), err
}

// bringDeltas brings deltas to this machine, and gives what lets them go, also after an
// error.
func (e *Engine) bringDeltas(ctx context.Context, deltas []lake.Delta) (out []lake.Delta, release []func(), err error) {
	for _, d := range deltas {
		var let func()
		if d.Path, let, err = e.store.Local(ctx, d.Key); err != nil {
			if lake.CodeOf(err) == lake.CodeNotFound { // as for base files: a follower looks again then
				err = lake.Errorf(lake.CodeDamaged, "the delta %s is not there", d.Key)
			}
			return out, release, err
		}
		release = append(release, let)
		d.Requests = nil
		out = append(out, d)
	}
	return out, release, nil
}

// passed waits until no delta of a dataset can get a time at or before this one any more,
// so that the same text means the same later. A follower has to have seen so much.
func (e *Engine) passed(ctx context.Context, m *member, at time.Time, within bool) error {
	if at.After(e.opts.Now()) {
		return lake.Errorf(lake.CodeInvalidRequest, "the time %s is not there yet", at.UTC().Format(time.RFC3339Nano))
	}
	if e.follower == nil {
		e.shared.Clock.Observe(0, at)
		if within {
			return nil
		}
		return m.committer.Exclusive(ctx, func(context.Context, *change.Held) error { return nil })
	}
	if now, _ := e.Following(); at.After(now.AsOf) {
		if _, err := e.follower.catchUp(ctx); err != nil {
			return err
		}
	}
	if now, _ := e.Following(); at.After(now.AsOf) {
		return lake.Errorf(lake.CodeBehind, "the lake was followed until %s", now.AsOf.Format(time.RFC3339Nano)).WithHint("try again in a moment")
	}
	return nil
}

// sequenceAt is the newest sequence that was there at a time.
func sequenceAt(s *dataset.State, at time.Time) (int64, error) {
	for i := len(s.Deltas) - 1; i >= 0; i-- {
		if !s.Deltas[i].Time.After(at) {
			return s.Deltas[i].Sequence, nil
		}
	}
	if s.TrimmedThrough > 0 {
		return 0, lake.Errorf(lake.CodeNotRetained, "what is kept begins with sequence %d", s.FirstKept()+1).
			WithHint("delta_retention and snapshot_retention say how long earlier states are kept")
	}
	return 0, nil
}

// notKept says from which sequence on a dataset's states can be read.
func notKept(s *dataset.State) error {
	return lake.Errorf(lake.CodeNotRetained, "that state is not kept any more; the oldest that is has the sequence %d", s.Table.Oldest(s.TrimmedThrough)).
		WithHint("delta_retention and snapshot_retention say how long earlier states are kept")
}

// heldBody is an answer's body that lets go of something when it is closed.
type heldBody struct {
	io.ReadCloser
	release func()
}

func (b heldBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

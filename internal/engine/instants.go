package engine

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"

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
	release := func() {}
	until := time.Now().Add(timeout)
	for try := 0; ; try++ {
		res, err := e.runHere(ctx, q, timeout)
		if lake.CodeOf(err) != lake.CodeInstants || try == instantTries {
			if err != nil {
				release()
				release = func() {}
			}
			return res, release, err
		}
		release()
		if timeout > 0 {
			if timeout = time.Until(until); timeout <= 0 {
				return nil, func() {}, lake.Errorf(lake.CodeDeadline, "finding the files of earlier states took the query's time")
			}
		}
		var asked []lake.Instant
		if err := json.Unmarshal([]byte(listIn(err)), &asked); err != nil {
			return nil, func() {}, lake.Errorf(lake.CodeInternal, "the worker asks for instants: %w", err)
		}
		if q.Instants, release, err = e.bringInstants(ctx, asked); err != nil {
			release()
			return nil, func() {}, err
		}
	}
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

// bringInstants finds the files of instants; release lets them go.
func (e *Engine) bringInstants(ctx context.Context, asked []lake.Instant) (out []lake.InstantFiles, release func(), err error) {
	var all []func()
	release = sync.OnceFunc(func() {
		for _, r := range all {
			r()
		}
	})
	for _, in := range asked {
		m, err := e.member(in.Dataset)
		if err != nil {
			return nil, release, err
		}
		// Before the state is read: what it has from then on stays.
		uuid := m.ds.State().UUID
		all = append(all, e.shop.InUse(uuid), e.holds.Add(uuid))
		f, let, err := e.bringInstant(ctx, m.ds.State(), in)
		all = append(all, let...)
		if err != nil {
			return nil, release, lake.Step(in.String(), err)
		}
		out = append(out, f)
	}
	return out, release, nil
}

func (e *Engine) bringInstant(ctx context.Context, s *dataset.State, in lake.Instant) (f lake.InstantFiles, release []func(), err error) {
	if f.Sequence = in.Sequence; in.Time != "" {
		if f.Sequence, err = sequenceAt(s, time.UnixMicro(in.TimeMicros), e.opts.Now()); err != nil {
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
	if !ok || at.FoldedThrough < f.Sequence && at.FoldedThrough < s.TrimmedThrough {
		return f, nil, notKept(s)
	}
	if in.Time != "" && f.Sequence == 0 && at.TimeMS > in.TimeMicros/1000+1 {
		return f, nil, lake.Errorf(lake.CodeNotRetained, "the dataset was made later, at %s", time.UnixMilli(at.TimeMS).UTC().Format(time.RFC3339))
	}
	f.Instant, f.TableUUID, f.Snapshot, f.Evolved = in, s.UUID, at.SnapshotID, s.Table.Evolved()
	if f.Schema, err = s.Table.SchemaAt(f.Sequence); err != nil {
		return f, nil, err
	}
	if f.Files, err = e.shop.Verifier.Files(ctx, at.Files); err != nil {
		return f, nil, err
	}
	var let func()
	if f.Files, let, err = e.shop.Bring(ctx, f.Files); err != nil {
		return f, nil, err
	}
	release = append(release, let)
	for _, d := range s.Deltas {
		if d.Sequence <= at.FoldedThrough || d.Sequence > f.Sequence {
			continue
		}
		if d.Path, let, err = e.store.Local(ctx, d.Key); err != nil {
			return f, release, err
		}
		release = append(release, let)
		d.Requests = nil
		f.Deltas = append(f.Deltas, d)
	}
	return f, release, nil
}

// sequenceAt is the newest sequence that was there at a time.
func sequenceAt(s *dataset.State, at, now time.Time) (int64, error) {
	if at.After(now) {
		return 0, lake.Errorf(lake.CodeInvalidRequest, "the time %s is not there yet", at.UTC().Format(time.RFC3339Nano))
	}
	for i := len(s.Deltas) - 1; i >= 0; i-- {
		if !s.Deltas[i].Time.After(at) {
			return s.Deltas[i].Sequence, nil
		}
	}
	if s.TrimmedThrough > 0 {
		return 0, lake.Errorf(lake.CodeNotRetained, "what is kept begins with sequence %d, of %s", s.TrimmedThrough+1, s.Deltas[0].Time.Format(time.RFC3339)).
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

package change

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/google/uuid"

	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// commit makes one delta of a batch: conditions in arrival order, the latest
// change per key, create, then stream and acknowledge. Whatever happens, every
// request of the batch gets its answer.
func (c *Committer) commit(ctx context.Context, batch []*waiting) {
	s := c.ds.State()
	sequence := s.Sequence + 1
	etag := s.ETag()
	var taken []*waiting
	var requests []lake.Request
	for _, w := range batch {
		if !w.take() {
			continue // the client has given up
		}
		defer w.letGo()
		// The first request with this key may have been answered as unknown, and
		// have gone in since.
		if o, ok := c.ds.Find(w.Key); ok {
			w.answer(w.again(o))
			continue
		}
		if err := w.check(s, etag); err != nil {
			w.answer(Acknowledged{}, err)
			continue
		}
		taken = append(taken, w)
		requests = append(requests, w.at(len(taken)))
		etag = dataset.ETag(s.UUID, sequence, len(taken))
	}
	if len(taken) == 0 {
		return
	}
	c.lastRows = 0
	for _, w := range taken {
		c.lastRows += w.Rows
	}
	failpoint.Hit("change.taken")
	d, err := c.create(ctx, c.header(s, requests), s, taken)
	failpoint.Hit("change.created")
	d, err = c.known(ctx, d, taken, err)
	if err != nil {
		for _, w := range taken {
			w.answer(Acknowledged{}, err)
		}
		return
	}
	c.removeFile(taken[0])
	failpoint.Hit("change.known")
	keys := c.changed(s, taken)
	c.shared.Stream.Do(func() []lake.Entry { return []lake.Entry{c.show(s, d, keys)} })
	failpoint.Hit("change.streamed")
	for i, w := range taken {
		w.answer(w.acknowledged(s, sequence, requests[i].Place), nil)
	}
}

// removeFile removes the file of a request whose delta is there: the store may have linked
// it. Its second name goes before anybody notes the delta's identity, as that changes the
// ctime.
func (c *Committer) removeFile(w *waiting) {
	if w.File == "" {
		return
	}
	if err := os.Remove(w.File); err != nil {
		c.shared.Log.Warn("a job's file stays until its scratch folder goes", "err", err)
	}
}

// show puts a delta with changes into the dataset, within Stream.Do, and gives the entry
// that says so. s is the state before, keys what changed gives.
func (c *Committer) show(s *dataset.State, d lake.Delta, keys []string) lake.Entry {
	c.ds.Append(d)
	if c.shared.Rows != nil {
		c.shared.Rows.Changed(s.UUID, d.Sequence, keys)
	}
	return applied(s, d)
}

// applied is the entry of a delta; s is a state of its dataset.
func applied(s *dataset.State, d lake.Delta) lake.Entry {
	return lake.Entry{Apply: &lake.Apply{TableUUID: s.UUID, Deltas: []lake.Delta{d}}}
}

// oneGroup makes entries a group of the stream, which is seen whole or not at all.
func oneGroup(entries []lake.Entry) []lake.Entry {
	for i := range entries {
		entries[i].More = i < len(entries)-1
	}
	return entries
}

// mostKeys is how many changed keys are told one by one; beyond it the rows that are
// kept are soon read again.
const mostKeys = 4096

// changed gives the keys of a batch, nil where they are not known or nobody asks.
func (c *Committer) changed(s *dataset.State, taken []*waiting) []string {
	if c.shared.Rows == nil || !s.Schema.Keyed() || taken[0].File != "" || c.lastRows > mostKeys || !c.shared.Rows.Watching(s.UUID) {
		return nil
	}
	enc := keys.NewEncoder(s.Schema.KeySchema(), s.Schema.KeyIndexes())
	out := make([]string, 0, c.lastRows)
	var key []byte
	for _, w := range taken {
		for _, ch := range w.Changes {
			for row := range int(ch.Rows.NumRows()) {
				key = enc.Append(key[:0], ch.Rows, row)
				out = append(out, string(key))
			}
		}
	}
	return out
}

func (c *Committer) header(s *dataset.State, requests []lake.Request) format.DeltaHeader {
	position, at := c.shared.Clock.Next()
	return c.headerAt(position, at, s, requests)
}

// headerAt is the header of the next delta at a place and time that were taken of the clock.
func (c *Committer) headerAt(position int64, at time.Time, s *dataset.State, requests []lake.Request) format.DeltaHeader {
	return format.DeltaHeader{
		TableUUID: s.UUID, First: s.Sequence + 1, Sequence: s.Sequence + 1, SchemaID: s.Schema.ID,
		UUID: uuid.NewString(), Epoch: c.shared.Epoch, LakePosition: position, Time: at, Requests: requests,
	}
}

// create encodes the batch and creates it under its sequence. On an unknown
// outcome the delta is given beside the error, to be settled.
func (c *Committer) create(ctx context.Context, h format.DeltaHeader, s *dataset.State, taken []*waiting) (lake.Delta, error) {
	if file := taken[0].File; file != "" {
		return c.createFrom(ctx, h, s, taken[0])
	}
	var all []format.Changes
	for _, w := range taken {
		all = append(all, w.Changes...)
	}
	return c.createChanges(ctx, h, s, all)
}

func (c *Committer) createChanges(ctx context.Context, h format.DeltaHeader, s *dataset.State, all []format.Changes) (lake.Delta, error) {
	merged, err := merge(s.Schema, all)
	if err != nil {
		return lake.Delta{}, lake.Step("encode the delta", err)
	}
	for _, m := range merged {
		h.Rows += m.Rows.NumRows()
	}
	body, err := c.encoder.encode(s.Schema, h, merged)
	if err != nil {
		return lake.Delta{}, lake.Step("encode the delta", err)
	}
	failpoint.Hit("change.encoded")
	err = c.ds.Log.Create(ctx, h.Sequence, body, h.UUID)
	return c.describe(h, int64(len(body))), lake.Step("write the delta", err)
}

func (c *Committer) createFrom(ctx context.Context, h format.DeltaHeader, s *dataset.State, w *waiting) (lake.Delta, error) {
	h.Rows = w.FileRows
	if err := format.FinishDelta(w.File, h, s.Schema); err != nil {
		return lake.Delta{}, lake.Step("finish the delta", err)
	}
	failpoint.Hit("change.file-finished")
	fi, err := os.Stat(w.File)
	if err != nil {
		return lake.Delta{}, lake.Step("finish the delta", err)
	}
	err = c.ds.Log.CreateFrom(ctx, h.Sequence, w.File, h.UUID)
	return c.describe(h, fi.Size()), lake.Step("write the delta", err)
}

// describe is the delta as the stream and the state name it, but for its path.
func (c *Committer) describe(h format.DeltaHeader, bytes int64) lake.Delta {
	return h.Lake(c.ds.Log.Key(h.Sequence), bytes)
}

// known goes from the outcome of a delta's creation to one that is known: the
// delta is there, with the path that the worker reads it by, or for sure not.
func (c *Committer) known(ctx context.Context, d lake.Delta, taken []*waiting, err error) (lake.Delta, error) {
	if err == nil {
		d.Path, err = c.locate(ctx, d.Key)
	}
	if isUnknown(err) {
		return c.settle(ctx, d, taken, err)
	}
	return d, err
}

// locate gives the path of a delta that is there. Without it nobody could read
// what is committed, so a failure leaves the outcome open.
func (c *Committer) locate(ctx context.Context, key string) (string, error) {
	path, err := c.ds.Log.Local(ctx, key)
	if err != nil {
		return "", lake.Errorf(lake.CodeUnknownOutcome, "%s is written, but its file is not to be had: %w", key, err)
	}
	return path, nil
}

// settle finds out whether a delta went in. The clients wait for it as long as
// for room; after that they are told that the outcome is unknown, and so is
// nobody else let in until it is known: no later sequence may be tried.
func (c *Committer) settle(ctx context.Context, d lake.Delta, taken []*waiting, cause error) (lake.Delta, error) {
	c.shared.Log.Warn("a delta's outcome is unknown; settling it", "key", d.Key, "err", cause)
	deadline := time.Now().Add(c.shared.Limits.Wait)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := c.ds.Log.Settle(ctx)
		if err == nil {
			d.Path, err = c.locate(ctx, d.Key)
		}
		if err == nil {
			return d, nil
		}
		if !isUnknown(err) && !errors.Is(err, lake.ErrUnavailable) && ctx.Err() == nil {
			return d, err // it is known now: not created
		}
		if ctx.Err() != nil || time.Now().After(deadline) || c.shared.Refusing != nil && c.shared.Refusing() {
			for _, w := range taken {
				w.answer(Acknowledged{}, lake.Errorf(lake.CodeUnknownOutcome, "%s: whether the change went in is not known: %v", w.Name, cause).
					WithHint("send it again with the same Idempotency-Key"))
			}
			c.refuseWaiting(d)
		}
		if ctx.Err() != nil {
			return d, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// refuseWaiting answers what queues behind an unsettled delta.
func (c *Committer) refuseWaiting(d lake.Delta) {
	for n := len(c.queue); n > 0; n-- {
		select {
		case item := <-c.queue:
			refuse(item, unsettled(d.Key))
		default:
			return
		}
	}
}

// encoder keeps the encoder of the schema that was used last.
type encoder struct {
	schemaID int
	enc      *format.DeltaEncoder
}

func (e *encoder) encode(schema lake.Schema, h format.DeltaHeader, changes []format.Changes) ([]byte, error) {
	if e.enc == nil || e.schemaID != schema.ID {
		enc, err := format.NewDeltaEncoder(schema)
		if err != nil {
			return nil, err
		}
		e.enc, e.schemaID = enc, schema.ID
	}
	return e.enc.Encode(h, changes)
}

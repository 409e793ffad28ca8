package change

import (
	"context"
	"sync"
	"sync/atomic"

	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// Request is the changes of one client to one dataset, decoded to its schema:
// either in Changes, or in File, a Parquet file that a job made of a large body.
type Request struct {
	Name     lake.Name // as the client addressed it
	UUID     string    // the dataset that it was decoded for
	SchemaID int       // the schema it was decoded to
	Rows     int64     // changes in the request
	Bytes    int64     // of memory or file, for the bounds
	Changes  []format.Changes
	File     string // a job's Parquet; its FileRows are the latest per key
	FileRows int64
	// LetGo, if set, is called when File is needed no more, which may be long after
	// Submit returned: a delta whose outcome is unknown is created from it again.
	LetGo func()
	// Content, if set, commits a prepared request instead of a delta: by Held.ContentCommit,
	// with the committer standing still since Prepare was called. It settles unknown
	// outcomes for as long as ctx, the server's, lives. LetGo is called after it.
	Content func(ctx context.Context, h *Held) (Acknowledged, error)
	// Folds says that it leaves nothing pending, so that it waits for no room.
	Folds   bool
	IfMatch string
	Key     string // Idempotency-Key, "" for none
	Hash    string // of the request where it has a Key
}

func (r Request) letGo() {
	if r.LetGo != nil {
		r.LetGo()
	}
}

// Acknowledged is the answer to a committed request.
type Acknowledged struct {
	Rows      int64
	ReadPoint lake.ReadPoint
	ETag      string
}

// turn says who decides what becomes of an item of the queue: the committer, or
// the client that gives up before the committer came to it.
type turn struct{ taken atomic.Bool }

// take is true for the first who asks.
func (t *turn) take() bool { return t.taken.CompareAndSwap(false, true) }

// again is the answer to a request whose key is known with an outcome.
func (r Request) again(o dataset.Outcome) (Acknowledged, error) {
	if o.Hash != r.Hash {
		return Acknowledged{}, lake.Errorf(lake.CodeIdempotencyReused, "Idempotency-Key %q came with another request before", lake.ClientKey(r.Key)).
			WithHint("use a new key for a new request")
	}
	return Acknowledged{Rows: o.Rows, ReadPoint: o.ReadPoint, ETag: o.ETag}, nil
}

// at is the request as its delta names it, by its place in that.
func (r Request) at(place int) lake.Request {
	q := lake.Request{Place: place, Rows: r.Rows, Key: r.Key}
	if r.Key != "" {
		q.Hash = r.Hash
	}
	return q
}

// acknowledged is the answer to a request that the delta of a sequence has at a place; s is
// a state of its dataset.
func (r Request) acknowledged(s *dataset.State, sequence int64, place int) Acknowledged {
	return Acknowledged{
		Rows: r.Rows, ReadPoint: lake.ReadPoint{TableUUID: s.UUID, Sequence: sequence}, ETag: dataset.ETag(s.UUID, sequence, place),
	}
}

// waiting is a Request in the committer's queue. Who takes its turn lets go of it.
type waiting struct {
	Request
	turn
	ctx      context.Context
	answered sync.Once
	done     chan answer // buffered: the committer never waits for a client
}

type answer struct {
	ack Acknowledged
	err error
}

func (w *waiting) answer(ack Acknowledged, err error) {
	w.answered.Do(func() { w.done <- answer{ack, err} })
}

// check says whether a request can still be taken at a state, and fits it to its
// schema; etag is that of the place just before it.
func (w *waiting) check(s *dataset.State, etag string) error {
	switch {
	case s.Dropped || s.UUID != w.UUID || s.Name.Key() != w.Name.Key():
		return lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped or renamed while the request waited", w.Name)
	case w.ctx.Err() != nil:
		return lake.Step("wait for the committer", w.ctx.Err())
	case w.IfMatch == "":
		return w.refit(s)
	}
	ok, err := dataset.MatchETag(w.IfMatch, etag)
	if err == nil && !ok {
		err = lake.Errorf(lake.CodePreconditionFailed, "%s is at ETag %s, not at %s", w.Name, etag, w.IfMatch).
			WithHint("read the dataset again and decide anew")
	}
	if err != nil {
		return err
	}
	return w.refit(s)
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// FeedOptions say which changes of a dataset are asked for.
type FeedOptions struct {
	Since     int64  // those after this sequence
	TableUUID string // that it is a sequence of; "" is not said
	Limit     int64  // end with the sequence in which so many changes are reached; 0: none
	Follow    bool   // go on with what is committed, until ctx ends
	Format    rows.OutFormat
}

// Feed asks for the changes of a dataset after a sequence, as NDJSON or Arrow.
func (c *Client) Feed(ctx context.Context, name lake.Name, o FeedOptions) (*Answer, error) {
	q := newRequest(http.MethodGet, datasetPath(name, "/changes"))
	q.query.Set("since", strconv.FormatInt(o.Since, 10))
	if o.TableUUID != "" {
		q.query.Set("table_uuid", o.TableUUID)
	}
	if o.Limit > 0 {
		q.query.Set("limit", strconv.FormatInt(o.Limit, 10))
	}
	if o.Follow {
		q.query.Set("follow", "true")
	}
	return c.answer(ctx, q, o.Format)
}

// FeedEvent is a line of a feed. Of an upsert Row is set, of a delete Key; both have a
// Position. After commit and content the feed can be resumed, after its Sequence.
type FeedEvent struct {
	Op       string          `json:"op"` // upsert, delete, commit, content, heartbeat, end
	Sequence int64           `json:"sequence"`
	Position int64           `json:"position"` // within the sequence, from 1
	Time     time.Time       `json:"time"`
	Row      json.RawMessage `json:"row"`
	Key      json.RawMessage `json:"key"`
	Changes  int64           `json:"changes"` // of commit: in the sequence
	Reason   string          `json:"reason"`  // of end
}

// Events reads a feed in NDJSON. It ends after the event end, or with an error: then the
// feed was cut, and is resumed after the last commit or content.
func (a *Answer) Events() iter.Seq2[FeedEvent, error] {
	return func(yield func(FeedEvent, error) bool) {
		d := json.NewDecoder(a)
		for {
			var e FeedEvent
			switch err := d.Decode(&e); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(FeedEvent{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

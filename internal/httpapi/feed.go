package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// feedPatience is how long a reader of a feed may take for what was sent to him before
// he is cut.
const feedPatience = time.Minute

// headerTableUUID names the table that a feed's sequences are of.
const headerTableUUID = "Tarn-Table-Uuid"

// changeFeed sends a dataset's changes after a sequence as they are, or as they come.
func (a *api) changeFeed(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	out, media, err := rows.NegotiateFeed(strings.Join(c.r.Header.Values("Accept"), ","))
	if err != nil {
		return err
	}
	if err := c.canStream(); err != nil {
		return err
	}
	req := engine.FeedRequest{Dataset: name, TableUUID: c.params["table_uuid"], Follow: c.params["follow"] == "true"}
	if req.Since, err = c.count("since", 0); err != nil {
		return err
	}
	if _, said := c.params["since"]; !said {
		return lake.Errorf(lake.CodeInvalidRequest, "since is missing: after which sequence?").
			WithHint("the sequence of the read point of a query's answer, or 0 for all since the dataset was made")
	}
	if req.Limit, err = c.count("limit", 1); err != nil {
		return err
	}
	feed, err := c.door.Feed(c.r.Context(), req)
	if err != nil {
		return err
	}
	defer feed.Close()
	return a.streamFeed(c, feed, name, out, media)
}

// count reads a query parameter that is a number, 0 where it is absent.
func (c *call) count(param string, least int64) (int64, error) {
	text, said := c.params[param]
	if !said {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least {
		return 0, lake.Errorf(lake.CodeInvalidRequest, "query parameter %s=%q is no number from %d on", param, clip(text), least)
	}
	return n, nil
}

// streamFeed sends a feed. As of a query's answer, an error after the first byte ends
// the connection without the last chunk.
func (a *api) streamFeed(c *call, feed *engine.Feed, name lake.Name, out rows.OutFormat, media string) error {
	w := &patient{w: c.w, conn: http.NewResponseController(c.w)}
	enc, err := rows.NewFeedEncoder(out, w, feed.Schema)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", media)
	h.Set(headerTableUUID, feed.TableUUID)
	if c.r.Method == http.MethodHead { // nothing to wait for
		return nil
	}
	h.Set("Trailer", trailerRowCount+", "+trailerElapsed)
	sent := int64(0)
	err = feed.Run(c.r.Context(), func(e engine.FeedEvent) error {
		if err := a.stillMay(c, name); err != nil {
			return err
		}
		if e.Op == engine.FeedRows {
			sent += int64(len(e.Changes.Ops))
			return enc.Changes(rows.FeedChanges{Sequence: e.Sequence, Time: e.Time, Position: e.Position, Rows: e.Changes.Rows, Deletes: e.Changes.Ops})
		}
		mark := rows.FeedMark{Op: string(e.Op), Sequence: e.Sequence, Time: e.Time, Changes: e.Count, Reason: e.Reason}
		if err := enc.Mark(mark); err != nil || e.Op == engine.FeedEnd {
			return err
		}
		if err := enc.Flush(); err != nil {
			return err
		}
		return w.flush()
	})
	if err == nil {
		err = enc.End()
	}
	switch {
	case err == nil:
		h.Set(trailerRowCount, strconv.FormatInt(sent, 10))
		h.Set(trailerElapsed, strconv.FormatFloat(float64(time.Since(c.start).Microseconds())/1000, 'f', -1, 64))
		return nil
	case !w.wrote:
		h.Del("Trailer")
		return err
	}
	// Who follows leaves in no other way.
	c.left = c.r.Context().Err() != nil
	c.abort(err)
	return nil
}

// stillMay holds who reads a feed against the tokens as they are now: one that was
// revoked, or that may not read the dataset any more, is cut.
func (a *api) stillMay(c *call, name lake.Name) error {
	if a.access == nil {
		return nil
	}
	who, err := a.principal(c)
	if err == nil && who.On(name) < access.Read {
		err = engine.NoDataset(name)
	}
	return err
}

// patient writes to a client who gets feedPatience for each piece.
type patient struct {
	w     http.ResponseWriter
	conn  *http.ResponseController
	wrote bool
}

func (p *patient) Write(b []byte) (int, error) {
	p.wrote = true
	// A connection that knows no deadlines (a test's recorder) never blocks.
	_ = p.conn.SetWriteDeadline(time.Now().Add(feedPatience))
	n, err := p.w.Write(b)
	if err != nil {
		err = lake.Errorf(lake.CodeCancelled, "the client does not take the changes: %w", err)
	}
	return n, err
}

func (p *patient) flush() error {
	_ = p.conn.SetWriteDeadline(time.Now().Add(feedPatience))
	if err := p.conn.Flush(); err != nil {
		return lake.Errorf(lake.CodeCancelled, "the client does not take the changes: %w", err)
	}
	return nil
}

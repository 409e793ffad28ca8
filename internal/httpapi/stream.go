package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

const (
	// streamBufferBytes is what is read of an answer at once.
	streamBufferBytes = 64 << 10
	// writeGrace is what a client gets beyond the query's deadline to take the
	// error that says so.
	writeGrace = 2 * time.Second
)

// The headers and trailers of a query's answer.
const (
	headerQueryID    = "Tarn-Query-Id"
	headerReadPoints = "Tarn-Read-Points"
	headerServedFrom = "Tarn-Served-From"
	headerEngine     = "Tarn-Engine"
	headerResults    = "Tarn-Result-Cache"
	headerAsOf       = "Tarn-As-Of"
	headerStaleness  = "Tarn-Staleness-Ms"
	headerStore      = "Tarn-Store"
	headerChanged    = "Tarn-Changed"
	trailerRowCount  = "Tarn-Row-Count"
	trailerElapsed   = "Tarn-Elapsed-Ms"
)

// canStream refuses clients that could not tell a part of an answer from the
// whole: HTTP/1.0 has no chunks.
func (c *call) canStream() error {
	if c.r.ProtoAtLeast(1, 1) {
		return nil
	}
	return lake.Errorf(lake.CodeInvalidRequest, "answers stream, which %s cannot do safely", c.r.Proto).
		WithHint("use HTTP/1.1; in nginx: proxy_http_version 1.1")
}

// stream sends an answer as it comes. It returns an error only while nothing
// was sent; afterwards an error ends the connection without the last chunk.
// A client that does not read is cut when the query's deadline has passed.
func (a *api) stream(c *call, ans *engine.Answer, out rows.OutFormat, media string) error {
	defer ans.Body.Close()
	conn := http.NewResponseController(c.w)
	if !ans.Deadline.IsZero() {
		// A connection that knows no deadlines (a test's recorder) never blocks.
		_ = conn.SetWriteDeadline(ans.Deadline.Add(writeGrace))
	}
	buf := a.buffers.Get().(*[]byte)
	defer a.buffers.Put(buf)

	n, err := readSome(ans.Body, *buf) // the first bytes, or why there are none
	if err != nil && err != io.EOF {
		_ = conn.SetWriteDeadline(time.Now().Add(writeGrace))
		return err
	}
	if err := c.setAnswerHeaders(ans, out, media); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	for {
		if _, werr := c.w.Write((*buf)[:n]); werr != nil {
			c.abort(lake.Errorf(lake.CodeCancelled, "the client does not take the answer: %w", werr))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			c.abort(err)
		}
		if n < len(*buf) { // no more has come yet: let the client have this
			if ferr := conn.Flush(); ferr != nil {
				c.abort(lake.Errorf(lake.CodeCancelled, "the client does not take the answer: %w", ferr))
			}
		}
		n, err = readSome(ans.Body, *buf)
	}
	tail := ans.Tail()
	c.w.Header().Set(trailerRowCount, strconv.FormatInt(tail.RowCount, 10))
	c.w.Header().Set(trailerElapsed, strconv.FormatFloat(tail.ElapsedMS, 'f', -1, 64))
	return nil
}

// readSome reads until there is a byte or an error.
func readSome(r io.Reader, buf []byte) (n int, err error) {
	for n == 0 && err == nil {
		n, err = r.Read(buf)
	}
	return n, err
}

func (c *call) setAnswerHeaders(ans *engine.Answer, out rows.OutFormat, media string) error {
	h := c.w.Header()
	if out != rows.OutJSON { // JSON has them inside
		points, err := json.Marshal(ans.Head.ReadPoints)
		if err != nil {
			return lake.Errorf(lake.CodeInternal, "encode %s: %w", headerReadPoints, err)
		}
		served, err := json.Marshal(ans.Head.ServedFrom)
		if err != nil {
			return lake.Errorf(lake.CodeInternal, "encode %s: %w", headerServedFrom, err)
		}
		h.Set(headerReadPoints, string(points))
		h.Set(headerServedFrom, string(served))
	}
	if ans.Engine != "" {
		h.Set(headerEngine, ans.Engine)
	}
	if ans.Again {
		h.Set(headerResults, "hit")
	}
	if ans.Outage {
		h.Set(headerStore, "unreachable")
	}
	h.Set("Content-Type", media)
	h.Set("Trailer", trailerRowCount+", "+trailerElapsed)
	c.setETag(ans.ETag)
	return nil
}

// abort ends the connection without the last chunk, so that no client takes a
// part for the whole.
func (c *call) abort(err error) {
	c.err = err
	panic(http.ErrAbortHandler)
}

package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"tarn/internal/lake"
)

// upload is a request's body. It refuses more than limit bytes, ends a body
// that stands still, and gives errors with codes, so that whoever reads it can
// pass them on.
type upload struct {
	body  io.Reader
	conn  *http.ResponseController
	idle  time.Duration
	limit int64  // 0: none
	name  string // the setting that is the limit, "" for a fixed one
	read  int64
	total *int64 // of the exchange
}

// upload gives the request's body. One that says it is over the limit (named by
// its setting) is refused before a byte is read, so that a client that waits
// for 100-continue sends nothing.
func (a *api) upload(c *call, limit int64, setting string) (*upload, error) {
	limit, setting = c.bodyLimit(limit, setting)
	u := &upload{body: c.r.Body, conn: http.NewResponseController(c.w), idle: a.uploadIdle, limit: limit, name: setting, total: &c.received}
	if limit > 0 && c.r.ContentLength > limit {
		return nil, u.tooLarge()
	}
	return u, nil
}

func (u *upload) tooLarge() error {
	err := lake.Errorf(lake.CodeTooLarge, "the body is over %d bytes", u.limit)
	if u.name == "" {
		return err.WithHint("send less")
	}
	return err.WithHint("send less at once, or raise %s", u.name)
}

// Read reads the body, each time with a new deadline. net/http lifts the last
// one when it has seen the body's end and begins to watch for a client that
// goes away.
func (u *upload) Read(p []byte) (int, error) {
	// A connection that knows no deadlines (a test's recorder) never stands still.
	_ = u.conn.SetReadDeadline(time.Now().Add(u.idle))
	n, err := u.body.Read(p)
	*u.total += int64(n)
	if u.read += int64(n); u.limit > 0 && u.read > u.limit {
		err = u.tooLarge()
	}
	if err != nil {
		err = u.explain(err)
	}
	return n, err
}

func (u *upload) explain(err error) error {
	var known *lake.Error
	switch {
	case err == io.EOF || errors.As(err, &known):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return lake.Errorf(lake.CodeInvalidRequest, "no byte of the body came for %s", u.idle).
			WithHint("send the body without pauses")
	default: // the cause is not wrapped, lest a reader take an EOF in it for the end
		return lake.Errorf(lake.CodeInvalidRequest, "the body broke off after %d bytes: %v", u.read, err)
	}
}

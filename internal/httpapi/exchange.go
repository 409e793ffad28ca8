package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"tarn/internal/access"
	"tarn/internal/lake"
)

// exchange is one request and what becomes known of it on the way. Only the
// request's own goroutine touches it.
type exchange struct {
	prefix     string // "/v1" or ""
	path       string // percent-encoded, without prefix
	route      string // the route's path; "unmatched" for none
	mount      *Mount // that the path belongs to; nil: tarn's own
	request    *http.Request
	requestID  string
	queryID    string
	jobID      string
	who        *access.Principal // nil: not known, or nobody is asked
	needs      need
	tokenSent  bool   // one came that is not known
	retryAfter string // of the refusal, "" for the usual
	dataset    string // that the request names
	rows       int64  // changed
	received   int64  // bytes of the body
	err        error  // what the client was, or could no longer be, told
	aborted    bool   // ended without the last chunk
	left       bool   // by its client, as is usual for the call
	start      time.Time
}

type exchangeKey struct{}

// exchangeOf gives the exchange that every request of this handler carries.
func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange)
}

// recorder remembers status and size of what was sent. It unwraps for
// http.ResponseController.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// observe wraps everything: it gives the request its exchange, recovers from
// panics, and derives log and metrics from what happened.
func (a *api) observe(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{route: "unmatched", start: time.Now(), requestID: a.requestID(r), request: r}
		w.Header().Set(headerRequestID, x.requestID)
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		rec := &recorder{ResponseWriter: w}
		a.metrics.inFlight.Inc()
		defer func() {
			a.metrics.inFlight.Dec()
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				x.err = lake.Errorf(lake.CodeInternal, "%v", p)
				a.log.Error("panic in a handler", "route", x.route, "panic", fmt.Sprint(p), "request_id", x.requestID, "stack", string(debug.Stack()))
				if rec.status == 0 {
					a.writeProblem(rec, x, lake.Errorf(lake.CodeInternal, "the request met a defect of tarn").
						WithHint("the server's log has the details"))
					p = nil
				} else {
					p = http.ErrAbortHandler
				}
			}
			x.aborted = p != nil && !x.left
			a.report(r, x, rec)
			if p != nil {
				panic(p)
			}
		}()
		next(rec, r)
	}
}

// report logs and counts one finished request.
func (a *api) report(r *http.Request, x *exchange, rec *recorder) {
	elapsed := time.Since(x.start)
	status := rec.status
	if status == 0 {
		status = http.StatusOK // nothing written is an empty 200, if anyone is there
	}
	method := knownMethod(r.Method)
	a.metrics.requests.WithLabelValues(x.route, method, strconv.Itoa(status)).Inc()
	a.metrics.seconds.WithLabelValues(x.route, method).Observe(elapsed.Seconds())
	a.metrics.sentBytes.Add(float64(rec.bytes))
	if x.aborted {
		a.metrics.aborted.WithLabelValues(x.route, method).Inc()
	}

	a.writeDown(r, x, status, rec.bytes, elapsed)

	level := slog.LevelInfo
	switch { // what went well is metrics' business: there can be thousands a second
	case status >= 500 && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout:
		level = slog.LevelError
	case x.aborted || status >= 500:
		level = slog.LevelWarn
	case status < 400:
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.String("route", x.route),
		slog.Int("status", status), slog.Int64("bytes", rec.bytes),
		slog.Float64("elapsed_ms", float64(elapsed.Microseconds())/1000), slog.String("client", r.RemoteAddr), slog.String("request_id", x.requestID),
	}
	if x.who != nil {
		attrs = append(attrs, slog.String("principal", x.who.ID))
	}
	if x.queryID != "" {
		attrs = append(attrs, slog.String("query_id", x.queryID))
	}
	if x.jobID != "" {
		attrs = append(attrs, slog.String("job_id", x.jobID))
	}
	if x.aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("code", string(lake.CodeOf(x.err))), slog.String("error", x.err.Error()))
	}
	a.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// knownMethod keeps made-up methods from becoming label values.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

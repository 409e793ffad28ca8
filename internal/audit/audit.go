package audit

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tarn/internal/lake"
)

// Event is one change, or one refusal.
type Event struct {
	RequestID string
	Principal string // "" where nobody is known
	Method    string
	Route     string // as the documentation writes it
	Dataset   string
	Outcome   string // ok, or the code of an error
	Status    int    // of HTTP
	Rows      int64  // changed
	Received  int64  // bytes of the body
	Sent      int64  // bytes of the answer
	JobID     string
	QueryID   string
	Remote    string // address
	Elapsed   time.Duration
	Stranger  bool // nobody is known who should be: such lines are bounded
}

// Log is a log of events. It may be used by many at once.
type Log struct {
	path  string // "" for a stream
	errs  *slog.Logger
	lost  func() // counts lost lines
	limit *rate.Limiter

	mu struct {
		sync.Mutex // held while a line is written
		out        io.Writer
		file       *os.File // that out is, where there is a path
		info       fs.FileInfo
		looked     time.Time
		failed     error // of the last line
		torn       bool  // the last line was written in part
		left       int64 // out, since the last line
	}
}

// strangers is how many lines a second requests without a known token may take, and
// how many at once.
const (
	strangers      = 10
	strangersBurst = 100
)

// Open opens a log in a file, which is made, or appended to. What goes wrong later is
// said to errs, and lost is called for each line that could not be written.
func Open(path string, errs *slog.Logger, lost func()) (*Log, error) {
	l := newLog(errs, lost)
	l.path = path
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// To makes a log that goes to a stream.
func To(out io.Writer, errs *slog.Logger, lost func()) *Log {
	l := newLog(errs, lost)
	l.mu.out = out
	return l
}

func newLog(errs *slog.Logger, lost func()) *Log {
	return &Log{errs: errs, lost: lost, limit: rate.NewLimiter(strangers, strangersBurst)}
}

// open opens the file; mu is held, or nobody else has the log yet.
func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the first error is the one to tell
		return err
	}
	if l.mu.file != nil {
		_ = l.mu.file.Close() // what was written to it is written
	}
	l.mu.file, l.mu.out, l.mu.info = f, f, info
	return nil
}

// follow opens the file again where it was moved away, as log rotation does; it looks
// at most once a second. mu is held.
func (l *Log) follow(now time.Time) error {
	if l.path == "" || now.Sub(l.mu.looked) < time.Second && l.mu.failed == nil {
		return nil
	}
	l.mu.looked = now
	if info, err := os.Stat(l.path); err == nil && os.SameFile(info, l.mu.info) {
		return nil
	}
	return l.open()
}

// Ready fails with CodeUnavailable while lines cannot be written. It tries with one
// of its own.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.failed == nil {
		return nil
	}
	if err := l.write(slog.String("event", "resumed")); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "the audit log cannot be written, so nothing was changed").
			WithHint("the server's log says why; free its disk, or mend audit_log")
	}
	l.errs.Info("the audit log is written again")
	return nil
}

// Write writes an event down.
func (l *Log) Write(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Stranger && !l.limit.Allow() {
		l.mu.left++
		return
	}
	attrs := []slog.Attr{
		slog.String("event", "request"), slog.String("request_id", e.RequestID), slog.String("principal", e.Principal), slog.String("method", e.Method),
		slog.String("route", e.Route), slog.String("dataset", e.Dataset), slog.String("outcome", e.Outcome), slog.Int("status", e.Status),
		slog.Int64("rows", e.Rows), slog.Int64("received_bytes", e.Received), slog.Int64("sent_bytes", e.Sent),
		slog.String("remote", e.Remote), slog.Float64("elapsed_ms", float64(e.Elapsed.Microseconds())/1000),
	}
	if e.JobID != "" {
		attrs = append(attrs, slog.String("job_id", e.JobID))
	}
	if e.QueryID != "" {
		attrs = append(attrs, slog.String("query_id", e.QueryID))
	}
	if l.mu.left > 0 {
		attrs = append(attrs, slog.Int64("left_out", l.mu.left))
	}
	if err := l.write(attrs...); err != nil {
		l.lost()
		l.errs.LogAttrs(context.Background(), slog.LevelError, "the audit log cannot be written; changes are refused until it can",
			append([]slog.Attr{slog.Any("error", err)}, attrs...)...)
		return
	}
	l.mu.left = 0
}

// write writes one line; mu is held.
func (l *Log) write(attrs ...slog.Attr) error {
	now := time.Now()
	if l.mu.failed = l.follow(now); l.mu.failed != nil {
		return l.mu.failed
	}
	line := lineWriter{l.mu.out, &l.mu.torn}
	r := slog.NewRecord(now.UTC(), slog.LevelInfo, "audit", 0)
	r.AddAttrs(attrs...)
	l.mu.failed = slog.NewJSONHandler(line, &slog.HandlerOptions{ReplaceAttr: plain}).Handle(context.Background(), r)
	return l.mu.failed
}

// plain leaves out what all lines share.
func plain(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// lineWriter begins a new line where the one before was written in part, so that each
// line that is whole can be read.
type lineWriter struct {
	out  io.Writer
	torn *bool
}

func (w lineWriter) Write(b []byte) (int, error) {
	if *w.torn {
		b = append([]byte("\n"), b...)
	}
	n, err := w.out.Write(b)
	if n > 0 {
		*w.torn = n < len(b)
	}
	return n, err
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.file == nil {
		return nil
	}
	return l.mu.file.Close()
}

package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// What is kept of a worker's stderr that is no log line: its first and its
// last bytes. A crash says the cause first and where it stood last.
const (
	stderrHead = 8 << 10
	stderrTail = 8 << 10
	stderrLine = 64 << 10 // a longer line is cut into several
)

// stderrLog takes a worker's stderr: lines of JSON are passed to the log, the
// rest is kept, head and tail, for the report of a crash.
type stderrLog struct {
	log *slog.Logger

	mu struct {
		sync.Mutex
		line       []byte
		head, tail []byte
		left       int    // bytes left out between head and tail
		lastError  string // of the last log line that was an error
	}
}

func newStderrLog(log *slog.Logger) *stderrLog { return &stderrLog{log: log} }

func (s *stderrLog) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.mu.line = append(s.mu.line, p...)
			if len(s.mu.line) > stderrLine {
				s.take()
			}
			break
		}
		s.mu.line = append(s.mu.line, p[:i+1]...)
		p = p[i+1:]
		s.take()
	}
	return n, nil
}

// flush takes what came without a line's end.
func (s *stderrLog) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take()
}

// excerpt is what was kept, after the last error that was logged.
func (s *stderrLog) excerpt() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.mu.lastError + string(s.mu.head)
	if s.mu.left > 0 {
		out += "\n[…]\n"
	}
	return out + string(s.mu.tail)
}

// take deals with the line at hand; mu is held.
func (s *stderrLog) take() {
	line := s.mu.line
	s.mu.line = s.mu.line[:0]
	if len(line) == 0 || s.forward(line) {
		return
	}
	if room := stderrHead - len(s.mu.head); room > 0 {
		n := min(room, len(line))
		s.mu.head = append(s.mu.head, line[:n]...)
		line = line[n:]
	}
	s.mu.tail = append(s.mu.tail, line...)
	if over := len(s.mu.tail) - stderrTail; over > 0 {
		s.mu.left += over
		s.mu.tail = append(s.mu.tail[:0], s.mu.tail[over:]...)
	}
}

// forward passes a log line on and says whether it was one.
func (s *stderrLog) forward(line []byte) bool {
	var m map[string]any
	if line[0] != '{' || json.Unmarshal(line, &m) != nil {
		return false
	}
	msg, ok := m[slog.MessageKey].(string)
	text, ok2 := m[slog.LevelKey].(string)
	var level slog.Level
	if !ok || !ok2 || level.UnmarshalText([]byte(text)) != nil {
		return false
	}
	delete(m, slog.MessageKey)
	delete(m, slog.LevelKey)
	delete(m, slog.TimeKey)
	attrs := make([]slog.Attr, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		attrs = append(attrs, slog.Any(k, m[k]))
	}
	if level >= slog.LevelError {
		s.mu.lastError = fmt.Sprintf("%s: %v\n", msg, m["error"])
	}
	s.log.LogAttrs(context.Background(), level, msg, attrs...)
	return true
}

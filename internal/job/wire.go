package job

import (
	"encoding/json"
	"io"
	"sync"

	"tarn/internal/lake"
)

// message is a line of a job process's standard output: progress any number of
// times, then a result or an error as the last.
type message struct {
	Progress *Progress  `json:"progress,omitempty"`
	Result   *Result    `json:"result,omitempty"`
	Error    *wireError `json:"error,omitempty"`
}

// order is a line of a job process's standard input after the spec.
type order struct {
	Threads int `json:"threads"` // that it may use from now on
}

// wireError is a *lake.Error between processes; the cause is in the text.
type wireError struct {
	Code lake.Code `json:"code"`
	Msg  string    `json:"msg"`
	Hint string    `json:"hint,omitempty"`
}

func toWire(err error) *wireError {
	return &wireError{lake.CodeOf(err), err.Error(), lake.HintOf(err)}
}

func (w *wireError) err() error { return &lake.Error{Code: w.Code, Msg: w.Msg, Hint: w.Hint} }

// messages writes messages as lines.
type messages struct {
	mu struct {
		sync.Mutex
		enc *json.Encoder
		err error // the first write that failed: nobody hears us any more
	}
}

func newMessages(w io.Writer) *messages {
	m := &messages{}
	m.mu.enc = json.NewEncoder(w)
	return m
}

func (m *messages) send(msg message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.err == nil {
		m.mu.err = m.mu.enc.Encode(msg) // a pipe: the lock is held for a short write
	}
	return m.mu.err
}

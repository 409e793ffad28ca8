package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tarn/internal/lake"
)

func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(text) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestItFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(path, slog.New(slog.DiscardHandler), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { l.Write(Event{Principal: "a", RequestID: "1", Outcome: "ok", Elapsed: time.Millisecond}) })
	}
	all.Wait()
	if got := lines(t, read(t, path)); len(got) != 50 || got[0]["principal"] != "a" || got[0]["level"] != nil || got[0]["msg"] != nil {
		t.Errorf("%d lines: %v", len(got), got[0])
	}
	if err := os.Rename(path, path+".1"); err != nil { // as log rotation does
		t.Fatal(err)
	}
	l.mu.looked = time.Time{}
	l.Write(Event{Principal: "b"})
	if got := lines(t, read(t, path)); len(got) != 1 || got[0]["principal"] != "b" {
		t.Errorf("%v", got)
	}
	again, err := Open(path, slog.New(slog.DiscardHandler), func() {})
	if err != nil {
		t.Fatal(err)
	}
	again.Write(Event{Principal: "c"})
	again.Close()
	if got := lines(t, read(t, path)); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// disk takes only so many bytes.
type disk struct {
	bytes.Buffer
	free int
}

func (d *disk) Write(b []byte) (int, error) {
	if len(b) > d.free {
		n, _ := d.Buffer.Write(b[:d.free])
		d.free = 0
		return n, errors.New("no space left on device")
	}
	d.free -= len(b)
	return d.Buffer.Write(b)
}

func TestAFullDisk(t *testing.T) {
	d := &disk{free: 100}
	var server bytes.Buffer
	lost := 0
	l := To(d, slog.New(slog.NewJSONHandler(&server, nil)), func() { lost++ })
	if err := l.Ready(); err != nil {
		t.Fatal(err)
	}
	l.Write(Event{Principal: "a", RequestID: "lost-1"})
	for range 2 {
		if err := l.Ready(); lake.CodeOf(err) != lake.CodeUnavailable {
			t.Errorf("it is ready: %v", err)
		}
	}
	if lost != 1 || !strings.Contains(server.String(), "lost-1") {
		t.Errorf("%d lost; the server's log has %s", lost, server.String())
	}
	d.free = 1 << 20
	if err := l.Ready(); err != nil {
		t.Error(err)
	}
	l.Write(Event{Principal: "b", RequestID: "kept"})
	_, rest, _ := strings.Cut(d.String(), "\n") // the line that was torn
	if got := lines(t, rest); len(got) != 2 || got[0]["event"] != "resumed" || got[1]["request_id"] != "kept" {
		t.Errorf("%q", d.String())
	}
}

func TestAFolderThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "audit.jsonl")
	l, err := Open(path, slog.New(slog.DiscardHandler), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	l.mu.looked = time.Time{}
	l.Write(Event{Principal: "a"})
	if err := l.Ready(); lake.CodeOf(err) != lake.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Ready(); err != nil {
		t.Error(err)
	}
}

// Strangers cannot fill the disk; what they leave out is counted, and others' lines
// are not touched.
func TestStrangersAreBounded(t *testing.T) {
	var out bytes.Buffer
	l := To(&out, slog.New(slog.DiscardHandler), func() {})
	for range 10_000 {
		l.Write(Event{Outcome: "unauthorized", Stranger: true})
	}
	for range 200 { // a server without tokens knows nobody, and tells of every change
		l.Write(Event{Outcome: "ok"})
	}
	l.Write(Event{Principal: "a"})
	got := lines(t, out.String())
	last := got[len(got)-1]
	left := 0.0
	for _, e := range got {
		if n, ok := e["left_out"].(float64); ok {
			left += n
		}
	}
	if len(got) > 1200 || last["principal"] != "a" || int(left) != 10_201-len(got) {
		t.Errorf("%d lines, the last %v", len(got), last)
	}
}

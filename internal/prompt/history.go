package prompt

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tarn/internal/sqltext"
)

// The bounds of a history's file. It is written anew when it is twice as long.
const (
	maxEntries     = 1000
	maxEntryBytes  = 64 << 10
	maxHistoryFile = 4 << 20
)

// History is the statements of before, an entry a line. Several sessions append to one
// file; each sees those that ended before it began.
type History struct {
	path    string   // "" keeps none
	entries []string // oldest first
}

// OpenHistory reads the history of a file, which need not be there yet. A path of ""
// is a history that ends with the session.
func OpenHistory(path string) (*History, error) {
	h := &History{path: path}
	if path == "" {
		return h, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return h, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if line != "" && len(line) <= maxEntryBytes {
			h.entries = append(h.entries, line)
		}
	}
	if h.trim(); len(h.entries) < maxEntries && len(text) <= maxHistoryFile || bytes.Count([]byte(text), []byte("\n")) <= 2*maxEntries && len(text) <= maxHistoryFile {
		return h, nil
	}
	return h, h.rewrite()
}

// trim lets the oldest entries go that are too many.
func (h *History) trim() {
	h.entries = h.entries[max(0, len(h.entries)-maxEntries):]
	size := 0
	for i := len(h.entries) - 1; i >= 0; i-- {
		if size += len(h.entries[i]) + 1; size > maxHistoryFile {
			h.entries = h.entries[i+1:]
			return
		}
	}
}

// rewrite puts the entries into a new file in place of the old one.
func (h *History) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(h.path), filepath.Base(h.path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(h.entries, "\n") + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Keep adds what was typed for a statement. It is one entry where its lines can be
// joined, else an entry a line. What begins with a space, and what is as the entry
// before, is not kept.
func (h *History) Keep(text string) error {
	if strings.HasPrefix(text, " ") {
		return nil
	}
	var fresh []string
	for _, entry := range entriesOf(text) {
		last := len(h.entries) - 1
		if entry == "" || len(entry) > maxEntryBytes || last >= 0 && h.entries[last] == entry {
			continue
		}
		h.entries = append(h.entries, entry)
		fresh = append(fresh, entry)
	}
	h.trim()
	if h.path == "" || len(fresh) == 0 {
		return nil
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(fresh, "\n") + "\n") // one write: sessions do not mix
	return errors.Join(err, f.Close())
}

// entriesOf gives a text as lines: one, unless a line's end is part of a string or ends
// a comment.
func entriesOf(text string) []string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))
	lines := strings.Split(text, "\n")
	if len(lines) == 1 {
		return lines
	}
	var words []string
	end := 0
	for s := sqltext.New(text); s.Next(); end = s.End() {
		word, between := text[s.Start:s.End()], text[end:s.Start]
		if strings.Contains(word, "\n") || strings.Contains(between, "--") {
			return lines
		}
		if between != "" && len(words) > 0 {
			words = append(words, strings.Join(strings.Fields(between), " "))
			if words[len(words)-1] == "" {
				words[len(words)-1] = " "
			}
		}
		words = append(words, word)
	}
	if strings.Contains(text[end:], "--") {
		return lines
	}
	return []string{strings.Join(words, "")}
}

// Add implements term.History: the editor adds nothing by itself.
func (*History) Add(string) {}

// Len implements term.History.
func (h *History) Len() int { return len(h.entries) }

// At implements term.History: 0 is the newest.
func (h *History) At(i int) string { return h.entries[len(h.entries)-1-i] }

// Find gives the newest entry behind the first n newest that holds a text, without
// regard to case, and how many are newer than it.
func (h *History) Find(text string, n int) (entry string, newer int, ok bool) {
	text = strings.ToLower(text)
	for ; n < len(h.entries); n++ {
		if strings.Contains(strings.ToLower(h.At(n)), text) {
			return h.At(n), n, true
		}
	}
	return "", 0, false
}

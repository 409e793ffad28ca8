package prompt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func opened(t *testing.T, path string) *History {
	t.Helper()
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func keep(t *testing.T, h *History, text string) {
	t.Helper()
	if err := h.Keep(text); err != nil {
		t.Fatal(err)
	}
}

func TestHistoryIsThereInTheNextSession(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tarn", "sql_history")
	h := opened(t, path)
	for _, text := range []string{"select 1;", "select 1;", " select 'secret';", "select\n  2,\n  3;", "select 'a\nb';", ".tables", ""} {
		keep(t, h, text)
	}
	again := opened(t, path)
	want := []string{"select 1;", "select 2, 3;", "select 'a", "b';", ".tables"}
	if !slices.Equal(again.entries, want) || !slices.Equal(h.entries, want) {
		t.Errorf("%q and %q, want %q", again.entries, h.entries, want)
	}
	if again.At(0) != ".tables" || again.Len() != len(want) {
		t.Errorf("the newest of %d is %q", again.Len(), again.At(0))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestHistoryKeepsItsBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sql_history")
	h := opened(t, path)
	for i := range 3 * maxEntries {
		keep(t, h, fmt.Sprintf("select %d;", i))
	}
	keep(t, h, strings.Repeat("x", maxEntryBytes+1))
	again := opened(t, path)
	if again.Len() != maxEntries || again.At(0) != fmt.Sprintf("select %d;", 3*maxEntries-1) || h.Len() != maxEntries {
		t.Errorf("%d entries, the newest %q; %d", again.Len(), again.At(0), h.Len())
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != maxEntries {
		t.Errorf("the file has %d lines, %v", strings.Count(string(text), "\n"), err)
	}
	long := strings.Repeat("y", maxEntryBytes-10)
	for i := range maxHistoryFile/maxEntryBytes + 20 {
		keep(t, again, fmt.Sprint(long, i))
	}
	if opened(t, path); fileSize(t, path) > maxHistoryFile {
		t.Errorf("the file has %d bytes", fileSize(t, path))
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestFindGoesBackwards(t *testing.T) {
	h := opened(t, "")
	for _, text := range []string{"select a", "insert b", "SELECT c"} {
		keep(t, h, text)
	}
	entry, at, ok := h.Find("select", 0)
	if entry != "SELECT c" || at != 0 || !ok {
		t.Errorf("%q %d %v", entry, at, ok)
	}
	if entry, at, ok = h.Find("select", at+1); entry != "select a" || at != 2 || !ok {
		t.Errorf("%q %d %v", entry, at, ok)
	}
	if _, _, ok = h.Find("select", at+1); ok {
		t.Error("there is a third")
	}
}

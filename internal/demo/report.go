package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// report is what the tour says: titled steps, lines, and checks.
type report struct {
	w      io.Writer
	steps  int
	passed int
	failed []string
}

func (r *report) step(title string) {
	r.steps++
	fmt.Fprintf(r.w, "\n%d. %s\n", r.steps, title)
}

func (r *report) say(format string, args ...any) {
	fmt.Fprintf(r.w, "   "+format+"\n", args...)
}

// check says whether a sentence is true, and remembers it where it is not.
func (r *report) check(ok bool, format string, args ...any) {
	sentence := fmt.Sprintf(format, args...)
	if ok {
		r.passed++
		fmt.Fprintf(r.w, "   ✓ %s\n", sentence)
		return
	}
	r.failed = append(r.failed, sentence)
	fmt.Fprintf(r.w, "   ✗ %s\n", sentence)
}

// equal checks a number against what it must be and shows both where they differ.
func (r *report) equal(what string, got, want int64) {
	if got == want {
		r.check(true, "%s: %s", what, count(got))
	} else {
		r.check(false, "%s: %s, but it must be %s", what, count(got), count(want))
	}
}

// table prints rows under a header, numbers to the right where right says so.
func (r *report) table(header []string, right []bool, rows [][]string) {
	widths := make([]int, len(header))
	all := append([][]string{header}, rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range all {
		r.line(widths, right, row...)
	}
}

// line prints one row of a table whose widths are known before its rows.
func (r *report) line(widths []int, right []bool, cells ...string) {
	var b strings.Builder
	for i, cell := range cells {
		pad := strings.Repeat(" ", max(0, widths[i]-len([]rune(cell))))
		if right[i] {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
		b.WriteString("  ")
	}
	r.say("%s", strings.TrimRight(b.String(), " "))
}

func count(n int64) string      { return humanize.Comma(n) }
func bytesShown(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// took is a duration with three figures that mean something.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
)

// progress says how far long work is: a line drawn over itself on a terminal,
// a plain line at each new step elsewhere. It is used by one goroutine at a
// time; a nil-safe done may come twice.
type progress struct {
	w        io.Writer
	title    string
	terminal bool
	width    int

	step  string
	drawn bool
	last  time.Time
	began time.Time
}

// Work shorter than this shows no bar, and one is drawn at most so often.
const (
	quietTime = 300 * time.Millisecond
	drawEvery = 100 * time.Millisecond
)

func newProgress(w io.Writer, title string) *progress {
	return &progress{w: w, title: title, terminal: isTerminal(w), width: width(w), began: time.Now()}
}

// bytes shows a step counted in bytes; total is -1 where unknown.
func (b *progress) bytes(step string, done, total int64) { b.show(step, done, total, bytesShown) }

// job shows where a job stands.
func (b *progress) job(j client.Job) {
	switch {
	case j.State == engine.JobQueued:
		b.show("waiting for another job", 0, 0, count)
	case j.Progress.Step != "":
		b.show(j.Progress.Step, j.Progress.Done, j.Progress.Total, count)
	}
}

// jobBytes is job where what is done is counted in bytes.
func (b *progress) jobBytes(j client.Job) {
	if j.State != engine.JobQueued && j.Progress.Step != "" {
		b.work(j.Progress)
	}
}

// work shows a step of work: copies in bytes, all else by number.
func (b *progress) work(p engine.JobProgress) {
	unit := count
	if p.Step == "copy" {
		unit = bytesShown
	}
	b.show(p.Step, p.Done, p.Total, unit)
}

func (b *progress) show(step string, done, total int64, unit func(int64) string) {
	now := time.Now()
	if !b.terminal {
		if step != b.step && now.Sub(b.began) > quietTime {
			b.step = step
			fmt.Fprintf(b.w, "%s: %s\n", b.title, step)
		}
		return
	}
	if now.Sub(b.began) < quietTime || b.drawn && now.Sub(b.last) < drawEvery {
		return
	}
	line := b.title + ": " + step
	switch {
	case total > 0:
		share := min(1, float64(done)/float64(total))
		line += fmt.Sprintf(" %s %3.0f%% of %s", drawBar(share), 100*share, unit(total))
	case done > 0:
		line += " " + unit(done)
	}
	if b.width > 1 && len([]rune(line)) >= b.width {
		line = string([]rune(line)[:b.width-1])
	}
	// \r to the line's start; ESC [ K clears what a longer line left.
	fmt.Fprint(b.w, "\r"+line+"\x1b[K")
	b.drawn, b.last = true, now
}

func drawBar(share float64) string {
	const cells = 24
	full := int(share * cells)
	return "[" + strings.Repeat("█", full) + strings.Repeat("░", cells-full) + "]"
}

// done takes the bar away.
func (b *progress) done() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = false
	}
}

package prompt

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrInterrupted is a line that was given up by Ctrl-C.
var ErrInterrupted = errors.New("interrupted")

// The keys that the editor answers itself.
const (
	keyTab     = '\t'
	keyCtrlC   = 3
	keyCtrlR   = 18
	longestRow = 4096 // characters that x/term takes of a typed line
	mostListed = 60   // candidates
)

// Editor reads lines from a terminal: emacs keys, up and down go through the history,
// Ctrl-R looks for an older entry that holds what is typed, Tab completes.
//
// The terminal is in raw mode only within ReadLine, so that between lines Ctrl-C is a
// signal and output is as anywhere. It belongs to one goroutine.
type Editor struct {
	ctx     context.Context
	in, out *os.File
	history *History
	words   Vocabulary
	keys    *keys
	line    *term.Terminal
	before  func() string // the lines before, of the statement that is typed
	paste   bool
	tooLong bool
	search  struct {
		text  string // looked for
		at    int    // entries newer than the found one
		shown string // the found one, as long as nobody changed it
	}
}

// NewEditor makes an editor of a terminal; its reading ends with ctx. before gives the
// lines of the statement that came before the one that is typed. pastes says whether
// the terminal may be asked to say what is pasted.
func NewEditor(ctx context.Context, in, out *os.File, history *History, words Vocabulary, before func() string, pastes bool) *Editor {
	e := &Editor{ctx: ctx, in: in, out: out, history: history, words: words, before: before, paste: pastes}
	e.keys = &keys{ctx: ctx, in: in, Writer: out}
	e.renew()
	return e
}

// renew begins with nothing typed: after Ctrl-C a term.Terminal keeps what it had.
func (e *Editor) renew() {
	e.line = term.NewTerminal(e.keys, "")
	e.line.History = e.history
	e.line.AutoCompleteCallback = e.key
}

// ReadLine shows the prompt and reads a line. Ctrl-C gives ErrInterrupted, Ctrl-D on an
// empty line and the end of the terminal io.EOF, the end of ctx its error.
func (e *Editor) ReadLine(prompt string) (line string, err error) {
	state, err := term.MakeRaw(int(e.in.Fd()))
	if err != nil {
		return "", err
	}
	woken, err := e.keys.wakeable()
	if err != nil {
		return "", errors.Join(err, term.Restore(int(e.in.Fd()), state))
	}
	stop := e.followSize()
	if e.paste {
		e.line.SetBracketedPasteMode(true)
	}
	defer func() {
		woken()
		if e.paste {
			e.line.SetBracketedPasteMode(false)
		}
		err = errors.Join(err, term.Restore(int(e.in.Fd()), state))
	}()
	e.tooLong, e.search.shown = false, ""
	e.line.SetPrompt(prompt)
	line, err = e.line.ReadLine()
	stop()
	switch {
	case e.ctx.Err() != nil:
		return "", e.ctx.Err()
	case err == term.ErrPasteIndicator: // pasted or typed, it is a line
		err = nil
	case err == io.EOF && e.keys.last == keyCtrlC && !e.keys.ended:
		e.renew()
		_, _ = e.out.WriteString("^C\r\n") // for the eye
		return "", ErrInterrupted
	case err == io.EOF:
		_, _ = e.out.WriteString("\r\n")
		return "", io.EOF
	}
	if err == nil && e.tooLong {
		return "", errors.New("the line is too long to be typed: paste it, or read it from a file by tarn sql < FILE")
	}
	return line, err
}

// resize tells the editor how wide the terminal is.
func (e *Editor) resize() {
	if w, h, err := term.GetSize(int(e.out.Fd())); err == nil && w > 0 && h > 0 {
		_ = e.line.SetSize(w, h) // what it writes, the next line writes again
	}
}

// key answers keys that are no editing.
func (e *Editor) key(line string, pos int, key rune) (string, int, bool) {
	if len(line) >= longestRow && len([]rune(line)) >= longestRow {
		e.tooLong = true
	}
	switch key {
	case keyTab:
		return e.complete(line, pos)
	case keyCtrlR:
		return e.older(line)
	}
	return "", 0, false
}

// older shows the next older entry that holds what was typed.
func (e *Editor) older(line string) (string, int, bool) {
	if line != e.search.shown || line == "" {
		e.search.text, e.search.at = line, -1
	}
	entry, at, ok := e.history.Find(e.search.text, e.search.at+1)
	for ok && entry == line { // the same again shows nothing new
		entry, at, ok = e.history.Find(e.search.text, at+1)
	}
	if !ok {
		e.bell()
		return line, len(line), true
	}
	e.search.at, e.search.shown = at, entry
	return entry, len(entry), true
}

func (e *Editor) bell() { _, _ = e.out.WriteString("\a") }

// complete puts in what all candidates have in common, or lists them.
func (e *Editor) complete(line string, pos int) (string, int, bool) {
	before := line[:pos]
	if lines := e.before(); lines != "" {
		before = lines + "\n" + before
	}
	word, candidates := e.words.Complete(before)
	if len(candidates) == 0 {
		e.bell()
		return line, pos, true
	}
	insert := commonPrefix(candidates)
	if len(candidates) == 1 {
		insert += " "
	} else if len(insert) <= len(word) {
		e.list(candidates)
		return line, pos, true
	}
	start := pos - len(word)
	return line[:start] + insert + line[pos:], start + len(insert), true
}

// list shows candidates above the line.
func (e *Editor) list(candidates []string) {
	more := ""
	if n := len(candidates) - mostListed; n > 0 {
		candidates, more = candidates[:mostListed], "  …"
	}
	_, _ = e.line.Write([]byte(visible(strings.Join(candidates, "  ")) + more + "\n"))
}

// visible takes out of names what would move a terminal's cursor.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}

// keys reads a terminal byte by byte: what is typed ahead stays in the terminal, and
// the last byte tells Ctrl-C from Ctrl-D, which for a term.Terminal are the same.
type keys struct {
	ctx context.Context
	in  *os.File
	io.Writer
	wake  *os.File // can be read once ctx has ended; nil between lines
	last  byte
	ended bool
}

func (k *keys) Read(p []byte) (int, error) {
	if err := k.wait(); err != nil {
		return 0, err
	}
	n, err := k.in.Read(p[:min(1, len(p))])
	if n > 0 {
		k.last = p[0]
	}
	k.ended = k.ended || err != nil
	return n, err
}

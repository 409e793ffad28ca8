package rows

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"tarn/internal/lake"
)

// tally counts the rows of a body and keeps the first misfits for the error.
type tally struct {
	max   int
	rows  int64 // rows read
	bad   int64 // of them misfits
	long  bool  // one is over the limit of a row
	shown []string
}

// add notes that the row (from 1) does not fit.
func (t *tally) add(row int64, why error) {
	t.bad++
	if len(t.shown) < t.max {
		t.shown = append(t.shown, fmt.Sprintf("row %d, %s", row, why))
	}
}

// addLong notes that the row is over the limit of a row.
func (t *tally) addLong(row int64, limit int) {
	t.long = true
	t.add(row, misfitf("", "the row is longer than %d bytes", limit))
}

func (t *tally) err() error {
	if t.bad == 0 {
		return nil
	}
	head := fmt.Sprintf("%d of %d rows do not fit: ", t.bad, t.rows)
	if t.rows == 1 {
		head = ""
	}
	tail := ""
	if more := t.bad - int64(len(t.shown)); more > 0 {
		tail = fmt.Sprintf("; and %d more", more)
	}
	what := head + strings.Join(t.shown, "; ") + tail
	if t.long {
		return lake.Errorf(lake.CodeTooLarge, "%s", what).WithHint("nothing was taken: send smaller rows, or raise max_row_bytes")
	}
	return lake.Errorf(lake.CodeRowsInvalid, "%s", what).
		WithHint("nothing was taken: mend these rows and send all of them again")
}

// misfit is why a row does not fit: which column, and what is wrong with it.
type misfit struct {
	column string // path in the row; "" when it is the row itself
	why    string
}

func (m *misfit) Error() string {
	if m.column == "" {
		return m.why
	}
	return fmt.Sprintf("column %q: %s", m.column, m.why)
}

func misfitf(column, format string, args ...any) error {
	return &misfit{column, fmt.Sprintf(format, args...)}
}

// reason is why a value cannot be of a type: "is not a DATE". The caller puts
// the value before it.
type reason string

func (r reason) Error() string { return string(r) }

// clip shortens text for a message.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max] + "…"
}

// shown is a value as a message shows it.
func shown(v []byte, quoted bool) string {
	if quoted {
		return fmt.Sprintf("%q", clip(string(v), 60))
	}
	return clip(string(v), 60)
}

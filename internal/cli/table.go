package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// writeTable draws a JSON answer as a table of at most maxRows rows (0: all)
// and a line that says how many there are. The rest is read and counted, not
// held.
func writeTable(w io.Writer, answer io.Reader, maxRows, width int) error {
	a, err := readAnswer(answer, maxRows)
	if err != nil {
		return err
	}
	if a.plan() {
		return a.writePlan(w)
	}
	header := make(table.Row, len(a.columns))
	configs := make([]table.ColumnConfig, len(a.columns))
	for i, c := range a.columns {
		header[i] = shown(c.Name)
		configs[i] = table.ColumnConfig{Number: i + 1}
		if numeric(c.Type) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t := newTable(w, width)
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, row := range a.rows {
		t.AppendRow(row)
	}
	t.Render()
	foot := fmt.Sprintf("%s rows", count(a.count))
	if a.count == 1 {
		foot = "1 row"
	}
	if hidden := a.count - int64(len(a.rows)); hidden > 0 {
		foot += fmt.Sprintf(", the first %s shown (--max-rows 0 or -o csv for all)", count(int64(len(a.rows))))
	}
	_, err = fmt.Fprintf(w, "%s in %s\n", foot, elapsed(time.Duration(a.elapsedMS*1e6)))
	return err
}

// plan says whether the answer is that of EXPLAIN: texts of many lines.
func (a *readRows) plan() bool {
	return len(a.columns) == 2 && a.columns[0].Name == "explain_key" && a.columns[1].Name == "explain_value" && a.texts != nil
}

// writePlan writes the texts as they are, line by line.
func (a *readRows) writePlan(w io.Writer) error {
	for _, text := range a.texts {
		for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
			if _, err := fmt.Fprintln(w, shown(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// newTable is a table in the style that all commands share.
func newTable(w io.Writer, width int) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	if width > 0 {
		t.Style().Size.WidthMax = width
	}
	return t
}

// readRows is an answer as far as it is shown.
type readRows struct {
	columns   []rows.Column
	rows      []table.Row
	count     int64
	elapsedMS float64
	texts     []string // the values of explain_value
}

// readAnswer reads the JSON of /query/sql token by token.
func readAnswer(r io.Reader, maxRows int) (out readRows, err error) {
	defer func() {
		if _, coded := err.(*lake.Error); err != nil && !coded {
			err = fmt.Errorf("read the answer: %w", err)
		}
	}()
	d := json.NewDecoder(r)
	d.UseNumber()
	if _, err := d.Token(); err != nil { // {
		return out, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return out, err
		}
		switch name {
		case "columns":
			err = d.Decode(&out.columns)
		case "rows":
			err = out.read(d, maxRows)
		case "elapsed_ms":
			err = d.Decode(&out.elapsedMS)
		default:
			var skipped json.RawMessage
			err = d.Decode(&skipped)
		}
		if err != nil {
			return out, err
		}
	}
	// To the very end: only there the answer says that it is whole.
	_, err = io.Copy(io.Discard, io.MultiReader(d.Buffered(), r))
	return out, err
}

func (a *readRows) read(d *json.Decoder, maxRows int) error {
	if _, err := d.Token(); err != nil { // [
		return err
	}
	for d.More() {
		a.count++
		if maxRows > 0 && a.count > int64(maxRows) {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return err
			}
			continue
		}
		var row []json.RawMessage
		if err := d.Decode(&row); err != nil {
			return err
		}
		cells := make(table.Row, len(row))
		for i, raw := range row {
			cells[i] = cell(raw)
		}
		a.rows = append(a.rows, cells)
		var text string
		if len(row) == 2 && a.columns != nil && a.columns[len(a.columns)-1].Name == "explain_value" && json.Unmarshal(row[1], &text) == nil {
			a.texts = append(a.texts, text)
		}
	}
	_, err := d.Token() // ]
	return err
}

// cell is a JSON value as a person reads it: text bare, null as NULL, nested
// values as JSON.
func cell(raw json.RawMessage) string {
	if string(raw) == "null" {
		return "NULL"
	}
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return shown(s)
	}
	return shown(string(raw))
}

// shown makes text safe for a terminal: what is stored must not move the
// cursor or change colours.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return '�'
		}
		return r
	}, s)
}

// numeric says whether columns of a type stand to the right.
func numeric(sqlType string) bool {
	switch base, _, _ := strings.Cut(sqlType, "("); base {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE":
		return true
	case "DECIMAL":
		return strings.HasSuffix(sqlType, ")") // not DECIMAL(4,2)[]
	}
	return false
}

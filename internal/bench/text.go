package bench

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// WriteText writes the report as tables for people.
func (r *Report) WriteText(out io.Writer) error {
	w := &bytes.Buffer{}
	fmt.Fprintf(w, "tarn %s beside DuckDB %s: %s/%s, %d cores, %s of memory\n", r.Tarn, r.DuckDB, r.Machine.OS, r.Machine.Arch, r.Machine.CPUs, humanize.Bytes(uint64(r.Machine.MemoryBytes)))
	fmt.Fprintf(w, "%s timesheets, %s candidates (seed %d); medians of %d in turns; each has %d threads and %s for queries\n",
		humanize.Comma(r.TimesheetRows), humanize.Comma(r.CandidateRows), r.Seed, r.Rounds, r.Threads, humanize.Bytes(uint64(r.QueryMemory)))
	fmt.Fprintf(w, "tarn's times are from the engine's call to the last byte from its worker process, DuckDB's are inside its own\n")
	if r.Machine.Load > 0.5 {
		fmt.Fprintf(w, "other work ran on this machine before: load %s on %d cores; figures of a quiet one are better\n", number(r.Machine.Load), r.Machine.CPUs)
	}
	for _, state := range []State{Cold, Hot} {
		r.writeQueries(w, state)
	}
	r.writeWrites(w)
	r.writeLoads(w)
	r.writeHeld(w)
	r.writeGoals(w)
	fmt.Fprintf(w, "\n%s answers were compared and agree.\n", humanize.Comma(r.Compared))
	_, err := out.Write(w.Bytes())
	return err
}

// tableOf draws a table; columns from the first number on stand to the right.
func tableOf(w io.Writer, left int, header table.Row, rows []table.Row) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(header)
	var configs []table.ColumnConfig
	for i := left; i < len(header); i++ {
		if header[i] == "" {
			continue // words
		}
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	for _, row := range rows {
		if row == nil {
			t.AppendSeparator()
			continue
		}
		t.AppendRow(row)
	}
	t.Render()
}

func (r *Report) writeQueries(w io.Writer, state State) {
	var lines []table.Row
	base, last := "", ""
	for _, t := range r.Queries {
		if t.State != state {
			continue
		}
		name := ""
		if t.Query != last {
			if last != "" {
				lines = append(lines, nil)
			}
			name, last = t.Query, t.Query
			base = t.System
		}
		ofClean := ""
		if t.OfClean > 0 {
			ofClean = number(t.OfClean)
		}
		lines = append(lines, table.Row{name, t.System, t.dataText(), number(t.MedianMS), number(t.P10MS), number(t.P90MS), number(t.Ratio), ofClean})
	}
	if lines == nil {
		return
	}
	what := "answered from Parquet"
	if state == Hot {
		what = "answered from images in memory"
	}
	fmt.Fprintf(w, "\nQueries, tarn %s (%s); ratio: of %s\n", state, what, base)
	tableOf(w, 3, table.Row{"query", "system", "rows", "median ms", "p10", "p90", "ratio", "of clean"}, lines)
}

// dataText says what was asked for. What the lake merges when it is asked, a peer
// reads merged.
func (t Timing) dataText() string {
	if t.Data != clean0 && !isTarn(t.System) {
		return dataText(t.Data) + ", merged"
	}
	return dataText(t.Data)
}

func dataText(namespace string) string {
	switch namespace {
	case changed1:
		return "1% changed"
	case changed10:
		return "10% changed"
	}
	return namespace
}

func (r *Report) writeWrites(w io.Writer) {
	if len(r.Writes) == 0 {
		return
	}
	fmt.Fprintf(w, "\nUpserts of one existing row a request, durable when answered\n")
	var lines []table.Row
	for i, x := range r.Writes {
		if i > 0 {
			lines = append(lines, nil)
		}
		many := fmt.Sprintf("%d writers", x.Writers)
		lines = append(lines,
			table.Row{string(x.State), "one writer", "", number(x.One.MedianMS), number(x.One.P10MS), number(x.One.P90MS), number(x.One.P99MS)},
			table.Row{"", fmt.Sprintf("disk: write, fsync, link, fsync folder of %s bytes", humanize.Comma(x.DiskBytes)), "", number(x.Disk.MedianMS), number(x.Disk.P10MS), number(x.Disk.P90MS), number(x.Disk.P99MS)},
			streamRow(many, x.Alone),
			streamRow(many+" beside joins", x.WithJoins),
			table.Row{"", "join, nobody writes", "", number(x.JoinQuiet.MedianMS), number(x.JoinQuiet.P10MS), number(x.JoinQuiet.P90MS), number(x.JoinQuiet.P99MS)},
			table.Row{"", fmt.Sprintf("join beside them (%s times)", number(x.JoinRatio)), "", number(x.JoinUnder.MedianMS), number(x.JoinUnder.P10MS), number(x.JoinUnder.P90MS), number(x.JoinUnder.P99MS)},
		)
	}
	tableOf(w, 2, table.Row{"state", "what", "rows/s", "median ms", "p10", "p90", "p99"}, lines)
}

func streamRow(what string, s Stream) table.Row {
	return table.Row{"", what, humanize.Comma(int64(s.PerS)), number(s.MedianMS), number(s.P10MS), number(s.P90MS), number(s.P99MS)}
}

func (r *Report) writeLoads(w io.Writer) {
	fmt.Fprintf(w, "\nRows brought into place\n")
	var lines []table.Row
	for _, l := range r.Loads {
		lines = append(lines, table.Row{l.What, l.Data, humanize.Comma(l.Rows), number(l.MS), humanize.Comma(int64(l.PerS))})
	}
	tableOf(w, 2, table.Row{"what", "of", "rows", "ms", "rows/s"}, lines)
}

func (r *Report) writeHeld(w io.Writer) {
	fmt.Fprintf(w, "\nMemory that holds timesheets and candidates\n")
	var lines []table.Row
	for _, h := range r.Held {
		lines = append(lines, table.Row{h.System, dataText(h.Data), humanize.Comma(h.Rows), number(float64(h.Bytes) / 1e6), number(h.PerRow)})
	}
	tableOf(w, 2, table.Row{"system", "rows", "number", "MB", "bytes a row"}, lines)
	if r.HeldDoubt != "" {
		fmt.Fprintf(w, "tarn's bytes are not to be trusted: %s\n", r.HeldDoubt)
	}
}

func (r *Report) writeGoals(w io.Writer) {
	fmt.Fprintf(w, "\nGoals (2 cores, scale 1)\n")
	var lines []table.Row
	for _, g := range r.Goals {
		aim := "at most " + large(g.Most)
		if g.Least > 0 {
			aim = "at least " + large(g.Least)
		}
		got := ""
		if g.Measured > 0 {
			got = large(g.Measured)
		}
		verdict := string(g.Verdict)
		if g.Why != "" {
			verdict += ": " + g.Why
		}
		lines = append(lines, table.Row{g.Goal, aim + " " + g.Unit, got, verdict})
	}
	tableOf(w, 2, table.Row{"goal", "aim", "measured", ""}, lines)
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return humanize.Comma(int64(v + 0.5))
}

// large is a number whose thousands stand apart where it has some.
func large(v float64) string {
	if v >= 100 {
		return humanize.Comma(int64(v + 0.5))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

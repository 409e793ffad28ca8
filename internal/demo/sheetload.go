package demo

import (
	"context"
	"fmt"

	"tarn/internal/demo/staffing"
)

// Each request of the sheet load inserts some timesheets, changes the first one
// of the writer's request before, and deletes the last one of that before, in
// one atomic body.
const (
	sheetsARequest  = 5
	sheetsAWriter   = 10_000_000 // keys apart, so that writers never meet
	loadStatusStart = "written"
)

// sheetLoad writes timesheets above all that the tour had.
type sheetLoad struct {
	want  *expected
	first int64 // key of the first row of writer 0
}

func newSheetLoad(set *staffing.Set, want *expected) *sheetLoad {
	sheets, _ := set.Table("timesheets")
	return &sheetLoad{want: want, first: 10 * sheetsAWriter * (1 + sheets.Rows/sheetsAWriter)}
}

func (l *sheetLoad) dataset() string      { return "timesheets" }
func (l *sheetLoad) keyed() bool          { return true }
func (l *sheetLoad) writers(most int) int { return most }

func (l *sheetLoad) id(writer, n, i int) int64 {
	return l.first + int64(writer)*sheetsAWriter + int64(n*sheetsARequest+i)
}

func (l *sheetLoad) request(writer, n int) []byte {
	var lines []any
	for i := range sheetsARequest {
		lines = append(lines, l.line(l.id(writer, n, i), loadStatusStart))
	}
	if n > 0 {
		lines = append(lines,
			l.line(l.id(writer, n-1, 0), changedBy(n)),
			map[string]any{"op": "delete", "key": map[string]any{"timesheet_id": l.id(writer, n-1, sheetsARequest-1)}})
	}
	return ndjson(lines)
}

func (l *sheetLoad) line(id int64, status string) map[string]any {
	s := l.want.set.Timesheet(1 + id%l.want.rows)
	s.ID, s.Status = id, status
	return map[string]any{"op": "upsert", "row": sheetLine(s)}
}

func changedBy(n int) string { return fmt.Sprintf("changed by request %d", n) }

// after gives what a writer's rows are once its first n requests are in.
func (l *sheetLoad) after(writer, n int) map[int64]string {
	rows := map[int64]string{}
	for r := range n {
		for i := range sheetsARequest {
			rows[l.id(writer, r, i)] = loadStatusStart
		}
		if r > 0 {
			rows[l.id(writer, r-1, 0)] = changedBy(r)
			delete(rows, l.id(writer, r-1, sheetsARequest-1))
		}
	}
	return rows
}

func (l *sheetLoad) check(ctx context.Context, t *tour, acked []int, settled bool) error {
	a, err := t.lake.ask(ctx, fmt.Sprintf("select timesheet_id, status from timesheets where timesheet_id >= %d", l.first))
	if err != nil {
		return err
	}
	there := make([]map[int64]string, len(acked))
	for i := range there {
		there[i] = map[int64]string{}
	}
	strange := 0
	for _, row := range a.rows {
		id, err := integer(row[0])
		if err != nil {
			return err
		}
		if w := (id - l.first) / sheetsAWriter; w < int64(len(there)) {
			there[w][id] = fmt.Sprint(row[1])
		} else {
			strange++
		}
	}
	requests, rows, further, wrong := 0, 0, 0, 0
	for w, n := range acked {
		requests += n
		rows += len(l.after(w, n))
		switch {
		case same(there[w], l.after(w, n)):
		case !settled && same(there[w], l.after(w, n+1)): // in flight, durable, never acknowledged: allowed, whole
			further++
		default:
			wrong++
		}
	}
	if settled {
		t.check(wrong == 0 && strange == 0, "each of the %s requests is in exactly once: %s rows", count(int64(requests)), count(int64(rows)))
	} else {
		t.check(wrong == 0 && strange == 0, "the %s rows of the %s acknowledged requests are there as last written; of those in flight, %d are in whole and %d not at all",
			count(int64(rows)), count(int64(requests)), further, len(acked)-further-wrong)
	}
	all, err := t.lake.ask(ctx, fmt.Sprintf("select count(*), sum(hours_regular*bill_rate) from timesheets where timesheet_id < %d", l.first))
	if err != nil {
		return err
	}
	t.check(fmt.Sprint(all.rows[0][0]) == fmt.Sprint(l.want.total()) && fmt.Sprint(all.rows[0][1]) == l.want.billed(),
		"the %s timesheets of before are as they were, billed %s", count(l.want.total()), all.rows[0][1])
	return nil
}

func same(a, b map[int64]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tarn/internal/demo/staffing"
)

// change updates, inserts and deletes timesheets and shows that the answer
// changed and that no base file did.
func (t *tour) change(ctx context.Context, want *expected) error {
	p := planChanges(want)
	t.step(fmt.Sprintf("Change rows: update %s, insert %s, delete %s timesheets", count(int64(len(p.updates))), count(int64(len(p.inserts))), count(int64(len(p.deletes)))))
	before, err := baseFiles(t.Lake)
	if err != nil {
		return err
	}
	first := p.updates[0]
	if err := t.showRow(ctx, "before", first.ID); err != nil {
		return err
	}
	was := want.billed()
	began := time.Now()
	if _, err := t.lake.upsert(ctx, "timesheets", sheetLines(p.updates)); err != nil {
		return err
	}
	if _, err := t.lake.upsert(ctx, "timesheets", sheetLines(p.inserts)); err != nil {
		return err
	}
	if _, err := t.lake.remove(ctx, "timesheets", keyLines("timesheet_id", p.deletes)); err != nil {
		return err
	}
	t.say("three requests, durable in %s", took(time.Since(began)))
	p.apply(want)
	if err := t.showRow(ctx, "after", first.ID); err != nil {
		return err
	}
	a, err := t.lake.ask(ctx, "select count(*), sum(hours_regular*bill_rate) from timesheets")
	if err != nil {
		return err
	}
	t.check(fmt.Sprint(a.rows[0][0]) == fmt.Sprint(want.total()) && fmt.Sprint(a.rows[0][1]) == want.billed(),
		"billed in all was %s and is %s", was, a.rows[0][1])
	if err := t.askJoin(ctx, want); err != nil {
		return err
	}
	gone, err := t.lake.rowExists(ctx, "timesheets", fmt.Sprint(p.deletes[0]))
	if err != nil {
		return err
	}
	t.check(!gone, "timesheet %d is gone (404)", p.deletes[0])
	after, err := baseFiles(t.Lake)
	if err != nil {
		return err
	}
	t.check(after == before, "no base file was rewritten: all %d have their size and time", strings.Count(before, "\n"))
	return nil
}

// showRow prints a few fields of one timesheet, read by its key.
func (t *tour) showRow(ctx context.Context, when string, id int64) error {
	row, err := t.lake.row(ctx, "timesheets", fmt.Sprint(id))
	if err != nil {
		return err
	}
	t.say("timesheet %d %s: status %v, hours_regular %v, bill_rate %v", id, when, row["status"], row["hours_regular"], row["bill_rate"])
	return nil
}

// changes are the changed rows of the tour.
type changes struct {
	updates, inserts []staffing.Timesheet
	deletes          []int64
}

// planChanges spreads updates and deletes evenly over the dataset, so that they
// touch all of its base files: the hard case.
func planChanges(e *expected) changes {
	var c changes
	updates, inserts, deletes := min(1_000, e.rows/10), min(250, e.rows/10+1), min(500, e.rows/20)
	updated := map[int64]bool{}
	for i := range updates {
		s := e.set.Timesheet(1 + i*e.rows/updates)
		s.Status, s.HoursRegular = "disputed", s.HoursRegular+100
		c.updates, updated[s.ID] = append(c.updates, s), true
	}
	for i := range inserts {
		s := e.set.Timesheet(1 + i)
		s.ID, s.Status = e.rows+1+i, "submitted"
		c.inserts = append(c.inserts, s)
	}
	for i := range deletes {
		id := 1 + i*e.rows/deletes + e.rows/updates/2 // half way between two updates
		for updated[id] {
			id++
		}
		c.deletes = append(c.deletes, id)
	}
	return c
}

func (c changes) apply(e *expected) {
	for _, t := range append(append([]staffing.Timesheet{}, c.updates...), c.inserts...) {
		e.upsert(t)
	}
	for _, id := range c.deletes {
		e.remove(id)
	}
}

// rows is how many changes there are.
func (c changes) rows() int64 { return int64(len(c.updates) + len(c.inserts) + len(c.deletes)) }

// sheetLine is a timesheet as a JSON object of a request.
func sheetLine(t staffing.Timesheet) map[string]any {
	return map[string]any{
		"timesheet_id": t.ID, "candidate_id": t.CandidateID, "placement_id": t.PlacementID,
		"work_date":     time.Unix(t.WorkDate*86_400, 0).UTC().Format(time.DateOnly),
		"hours_regular": hundredths(t.HoursRegular), "hours_overtime": hundredths(t.HoursOvertime),
		"bill_rate": hundredths(t.BillRate), "pay_rate": hundredths(t.PayRate), "status": t.Status,
	}
}

func hundredths(n int64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

func sheetLines(sheets []staffing.Timesheet) []byte {
	lines := make([]any, len(sheets))
	for i, t := range sheets {
		lines[i] = sheetLine(t)
	}
	return ndjson(lines)
}

func keyLines(column string, ids []int64) []byte {
	lines := make([]any, len(ids))
	for i, id := range ids {
		lines[i] = map[string]any{column: id}
	}
	return ndjson(lines)
}

// ndjson writes a JSON value a line. The values are maps, strings and numbers,
// which always encode.
func ndjson(lines []any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, line := range lines {
		if err := enc.Encode(line); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// baseFiles lists the data files of all bases with size and time, a line each.
func baseFiles(lake string) (string, error) {
	var b strings.Builder
	root := filepath.Join(lake, "base")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %d %s\n", path, info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("list the base files: %w", err)
	}
	return b.String(), nil
}

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tarn/internal/demo/staffing"
	"tarn/internal/engine"
	"tarn/internal/rows"
)

// ledger notes what was written and acknowledged: each upsert sets the
// timesheet's placement to a mark of its own. A timesheet is changed by one
// writer at a time, so its newest mark is the one acknowledged last.
type ledger struct {
	set  *staffing.Set
	last atomic.Int64

	mu    sync.Mutex // guards marks
	marks map[int64]int64
}

// firstMark is above every placement of the data.
const firstMark = int64(1) << 40

func newLedger(set *staffing.Set) *ledger {
	l := &ledger{set: set, marks: map[int64]int64{}}
	l.last.Store(firstMark)
	return l
}

func (l *ledger) next() int64 { return l.last.Add(1) }

func (l *ledger) acknowledged(id, mark int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks[id] = mark
}

// row is a timesheet with a mark, as a line of NDJSON.
func (l *ledger) row(id, mark int64) string {
	t := l.set.Timesheet(id)
	date := time.Unix(t.WorkDate*24*60*60, 0).UTC().Format(time.DateOnly)
	return fmt.Sprintf(`{"timesheet_id":%d,"candidate_id":%d,"placement_id":%d,"work_date":%q,"hours_regular":%q,"hours_overtime":%q,"bill_rate":%q,"pay_rate":%q,"status":%q}`+"\n",
		t.ID, t.CandidateID, mark, date, cents(t.HoursRegular), cents(t.HoursOvertime), cents(t.BillRate), cents(t.PayRate), t.Status)
}

func cents(v int64) string { return fmt.Sprintf("%d.%02d", v/100, v%100) }

// check reads every marked row back and holds it against what was acknowledged.
func (l *ledger) check(ctx context.Context, d *door) error {
	a, err := d.Query(ctx, engine.QueryRequest{
		SQL:    fmt.Sprintf("select timesheet_id, placement_id from %s.timesheets where placement_id >= %d", written0, firstMark),
		Format: rows.OutArrow,
	})
	if err != nil {
		return err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return err
	}
	r, err := ipc.NewReader(bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer r.Release()
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := 0
	for r.Next() {
		rec := r.RecordBatch()
		ids, marks := rec.Column(0).(*array.Int64), rec.Column(1).(*array.Int64)
		for i := range int(rec.NumRows()) {
			seen++
			if want := l.marks[ids.Value(i)]; marks.Value(i) != want {
				return fmt.Errorf("wrong answer: timesheet %d was last acknowledged with the mark %d and has %d", ids.Value(i), want, marks.Value(i))
			}
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	if seen != len(l.marks) {
		return fmt.Errorf("wrong answer: %d timesheets were changed and acknowledged, %d come back so", len(l.marks), seen)
	}
	return nil
}

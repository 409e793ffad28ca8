package demo

import (
	"fmt"
	"math/big"

	"tarn/internal/demo/staffing"
)

// expected is the tour's own arithmetic over the rows it made: what the lake
// must answer, computed without the lake. Sums are whole ten-thousandths
// (hundredths of hours times hundredths of money), so they are exact.
type expected struct {
	set    *staffing.Set
	rows   int64                         // of timesheets as imported
	sheets map[int64]*staffing.Timesheet // changed since; nil is deleted
	groups map[group]*totals
	homes  []string // city of a candidate by key
	pays   []int64  // pay rate of a candidate by key, hundredths
}

type group struct{ city, status string }

type totals struct {
	sheets int64
	billed int64 // ten-thousandths
	pay    int64 // sum of the candidates' pay rates, hundredths
}

func newExpected(set *staffing.Set) *expected {
	sheets, _ := set.Table("timesheets")
	people, _ := set.Table("candidates")
	e := &expected{
		set: set, rows: sheets.Rows,
		sheets: map[int64]*staffing.Timesheet{}, groups: map[group]*totals{},
		homes: make([]string, people.Rows+1), pays: make([]int64, people.Rows+1),
	}
	for id := int64(1); id <= people.Rows; id++ {
		c := set.Candidate(id)
		e.homes[id], e.pays[id] = c.City, c.PayRate
	}
	for id := int64(1); id <= e.rows; id++ {
		t := set.Timesheet(id)
		e.count(&t, 1)
	}
	return e
}

// count adds a timesheet to its group, or takes it away with sign -1.
func (e *expected) count(t *staffing.Timesheet, sign int64) {
	g := group{e.homes[t.CandidateID], t.Status}
	if e.groups[g] == nil {
		e.groups[g] = &totals{}
	}
	sum := e.groups[g]
	sum.sheets += sign
	sum.billed += sign * t.HoursRegular * t.BillRate
	sum.pay += sign * e.pays[t.CandidateID]
	if sum.sheets == 0 {
		delete(e.groups, g)
	}
}

// sheet gives a timesheet as it is now; ok is false for one that is not there.
func (e *expected) sheet(id int64) (t staffing.Timesheet, ok bool) {
	if changed, known := e.sheets[id]; known {
		if changed == nil {
			return staffing.Timesheet{}, false
		}
		return *changed, true
	}
	if id < 1 || id > e.rows {
		return staffing.Timesheet{}, false
	}
	return e.set.Timesheet(id), true
}

// upsert and remove do to the arithmetic what the request does to the lake.
func (e *expected) upsert(t staffing.Timesheet) {
	if old, ok := e.sheet(t.ID); ok {
		e.count(&old, -1)
	}
	e.count(&t, 1)
	e.sheets[t.ID] = &t
}

func (e *expected) remove(id int64) {
	if old, ok := e.sheet(id); ok {
		e.count(&old, -1)
	}
	e.sheets[id] = nil
}

// total is the number of timesheets now.
func (e *expected) total() int64 {
	n := int64(0)
	for _, t := range e.groups {
		n += t.sheets
	}
	return n
}

// billed is the sum of hours times rates over all timesheets, as SQL writes it.
func (e *expected) billed() string {
	sum := new(big.Int)
	for _, t := range e.groups {
		sum.Add(sum, big.NewInt(t.billed))
	}
	return tenThousandths(sum)
}

// tenThousandths writes a number of ten-thousandths as DECIMAL(…, 4) prints.
func tenThousandths(n *big.Int) string {
	whole, part := new(big.Int).QuoRem(n, big.NewInt(10_000), new(big.Int))
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	return fmt.Sprintf("%s%s.%04d", sign, whole.Abs(whole), part.Abs(part).Int64())
}

// wanted gives the keys of the filter query, in its order: candidates of
// California, active, of five years or more.
func (e *expected) wanted() []int64 {
	var out []int64
	for id := int64(1); id < int64(len(e.homes)); id++ {
		if c := e.set.Candidate(id); c.State == "CA" && c.Status == "active" && c.Years >= 5 {
			out = append(out, id)
		}
	}
	return out
}

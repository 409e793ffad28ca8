package staffing

import (
	"fmt"
	"math"
)

// tableNumber is part of what a value is drawn from and never changes.
type tableNumber uint64

const (
	clients tableNumber = iota + 1
	candidates
	jobOrders
	placements
	timesheets
	callLog
	emailLog
)

// Table is one table of the set.
type Table struct {
	Name string
	Key  []string // its primary key
	Rows int64

	number tableNumber
	shape  shape
}

// Set is all tables at one seed and scale.
type Set struct {
	Seed uint64

	tables []Table
	rows   map[tableNumber]int64
}

// New makes a set. Scale 1 is 2,467,000 rows; another scale has as many rows
// of each table in proportion, at least one.
func New(seed uint64, scale float64) (*Set, error) {
	if !(scale > 0 && scale <= 1000) {
		return nil, fmt.Errorf("scale %v: must be above 0 and at most 1000", scale)
	}
	full := []Table{
		{Name: "clients", Key: []string{"client_id"}, Rows: 2_000, number: clients, shape: clientShape()},
		{Name: "candidates", Key: []string{"candidate_id"}, Rows: 100_000, number: candidates, shape: candidateShape()},
		{Name: "job_orders", Key: []string{"job_order_id"}, Rows: 15_000, number: jobOrders, shape: jobOrderShape()},
		{Name: "placements", Key: []string{"placement_id"}, Rows: 50_000, number: placements, shape: placementShape()},
		{Name: "timesheets", Key: []string{"timesheet_id"}, Rows: 1_000_000, number: timesheets, shape: timesheetShape()},
		{Name: "call_log", Key: []string{"call_id"}, Rows: 800_000, number: callLog, shape: callShape()},
		{Name: "email_log", Key: []string{"email_id"}, Rows: 500_000, number: emailLog, shape: emailShape()},
	}
	s := &Set{Seed: seed, tables: full, rows: map[tableNumber]int64{}}
	for i := range s.tables {
		t := &s.tables[i]
		t.Rows = max(1, int64(math.Round(float64(t.Rows)*scale)))
		s.rows[t.number] = t.Rows
	}
	return s, nil
}

// Tables gives the tables, smallest dependencies first.
func (s *Set) Tables() []Table { return s.tables }

// Rows is the number of rows of all tables.
func (s *Set) Rows() int64 {
	total := int64(0)
	for _, t := range s.tables {
		total += t.Rows
	}
	return total
}

// Table finds a table by name; ok is false when there is none.
func (s *Set) Table(name string) (t Table, ok bool) {
	for _, t := range s.tables {
		if t.Name == name {
			return t, true
		}
	}
	return Table{}, false
}

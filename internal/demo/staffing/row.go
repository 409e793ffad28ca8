package staffing

// The rows that other code computes with. Money and hours are in hundredths,
// days are days since 1970-01-01. Numbers of rows begin at 1 and are the keys.

// Candidate is one row of candidates.
type Candidate struct {
	ID                  int64
	FirstName, LastName string
	City, State, Status string
	Years               int64
	PayRate             int64 // hundredths
	Available           int64 // days since 1970-01-01; 0 is null
}

// Timesheet is one row of timesheets.
type Timesheet struct {
	ID, CandidateID, PlacementID int64
	WorkDate                     int64 // days since 1970-01-01
	HoursRegular, HoursOvertime  int64 // hundredths
	BillRate, PayRate            int64 // hundredths
	Status                       string
}

const (
	firstDay = 18_993 // 2022-01-01
	lastDay  = 20_453 // 2025-12-31
)

// Candidate makes the candidate with a key of 1 to the number of rows.
func (s *Set) Candidate(id int64) Candidate {
	d := roll(s.Seed, candidates, id)
	at := places[d.skewed(3, int64(len(places)))]
	c := Candidate{
		ID:        id,
		FirstName: firstNames[d.below(1, int64(len(firstNames)))],
		LastName:  lastNames[d.below(2, int64(len(lastNames)))],
		City:      at.city, State: at.state,
		Status:  d.pick(4, candidateStatus),
		Years:   d.skewed(5, 31),
		PayRate: 1500 + 25*d.skewed(6, 300),
	}
	if d.below(7, 10) > 0 {
		c.Available = d.between(8, lastDay-90, lastDay+90)
	}
	return c
}

// placed says who works in a placement and at what rates.
func (s *Set) placed(placement int64) (candidate, jobOrder, pay, bill int64) {
	d := roll(s.Seed, placements, placement)
	candidate = 1 + d.below(1, s.rows[candidates])
	jobOrder = 1 + d.below(2, s.rows[jobOrders])
	pay = s.Candidate(candidate).PayRate + 25*d.below(3, 20)
	bill = pay * d.between(4, 125, 170) / 100
	return candidate, jobOrder, pay, bill
}

// ordered says for which client a job order is.
func (s *Set) ordered(jobOrder int64) (client int64) {
	return 1 + roll(s.Seed, jobOrders, jobOrder).skewed(1, s.rows[clients])
}

// Timesheet makes the timesheet with a key of 1 to the number of rows. Work
// dates grow with the key, as they do where sheets are written day by day.
func (s *Set) Timesheet(id int64) Timesheet {
	d := roll(s.Seed, timesheets, id)
	t := Timesheet{ID: id, PlacementID: 1 + d.below(1, s.rows[placements])}
	t.CandidateID, _, t.PayRate, t.BillRate = s.placed(t.PlacementID)
	t.WorkDate = firstDay + (id-1)*(lastDay-firstDay)/max(1, s.rows[timesheets]) + d.below(2, 3)
	t.HoursRegular = 25 * d.between(3, 8, 32)
	if d.below(4, 5) == 0 {
		t.HoursOvertime = 25 * d.between(5, 1, 16)
	}
	t.Status = d.pick(6, timesheetStatus)
	return t
}

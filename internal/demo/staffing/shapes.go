package staffing

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// shape is a table's columns and how one row of it is appended.
type shape struct {
	fields []arrow.Field
	fill   func(s *Set, id int64, to *line)
}

// line appends one row to the builders, a column after the other.
type line struct {
	record *array.RecordBuilder
	at     int
}

func (l *line) next() array.Builder {
	b := l.record.Field(l.at)
	l.at++
	return b
}

func (l *line) long(v int64)                           { l.next().(*array.Int64Builder).Append(v) }
func (l *line) text(v string)                          { l.next().(*array.StringBuilder).Append(v) }
func (l *line) truth(v bool)                           { l.next().(*array.BooleanBuilder).Append(v) }
func (l *line) date(days int64)                        { l.next().(*array.Date32Builder).Append(arrow.Date32(days)) }
func (l *line) moment(us int64)                        { l.next().(*array.TimestampBuilder).Append(arrow.Timestamp(us)) }
func (l *line) cents(v int64)                          { l.next().(*array.Decimal128Builder).Append(decimal128.FromI64(v)) }
func (l *line) null()                                  { l.next().AppendNull() }
func column(name string, t arrow.DataType) arrow.Field { return arrow.Field{Name: name, Type: t} }

func nullable(f arrow.Field) arrow.Field {
	f.Nullable = true
	return f
}

func long(name string) arrow.Field  { return column(name, arrow.PrimitiveTypes.Int64) }
func text(name string) arrow.Field  { return column(name, arrow.BinaryTypes.String) }
func truth(name string) arrow.Field { return column(name, arrow.FixedWidthTypes.Boolean) }
func date(name string) arrow.Field  { return column(name, arrow.FixedWidthTypes.Date32) }
func money(name string) arrow.Field {
	return column(name, &arrow.Decimal128Type{Precision: 10, Scale: 2})
}
func hours(name string) arrow.Field {
	return column(name, &arrow.Decimal128Type{Precision: 5, Scale: 2})
}
func moment(name string) arrow.Field {
	return column(name, &arrow.TimestampType{Unit: arrow.Microsecond})
}

const dayUS = 86_400_000_000

func clientShape() shape {
	return shape{
		fields: []arrow.Field{long("client_id"), text("name"), text("industry"), text("city"), text("state"), text("status"), date("since")},
		fill: func(s *Set, id int64, to *line) {
			d := roll(s.Seed, clients, id)
			at := places[d.skewed(3, int64(len(places)))]
			to.long(id)
			to.text(fmt.Sprintf("%s %s %d", companyHeads[d.below(1, int64(len(companyHeads)))], companyTails[d.below(2, int64(len(companyTails)))], id))
			to.text(industries[d.below(4, int64(len(industries)))])
			to.text(at.city)
			to.text(at.state)
			to.text(d.pick(5, clientStatus))
			to.date(d.between(6, firstDay-3000, firstDay))
		},
	}
}

func candidateShape() shape {
	return shape{
		fields: []arrow.Field{long("candidate_id"), text("first_name"), text("last_name"), text("email"), text("city"), text("state"), text("status"), long("years"), money("pay_rate"), nullable(date("available_from"))},
		fill: func(s *Set, id int64, to *line) {
			c := s.Candidate(id)
			to.long(c.ID)
			to.text(c.FirstName)
			to.text(c.LastName)
			to.text(fmt.Sprintf("%s.%d@example.com", strings.ToLower(c.LastName), c.ID))
			to.text(c.City)
			to.text(c.State)
			to.text(c.Status)
			to.long(c.Years)
			to.cents(c.PayRate)
			if c.Available == 0 {
				to.null()
			} else {
				to.date(c.Available)
			}
		},
	}
}

func jobOrderShape() shape {
	return shape{
		fields: []arrow.Field{long("job_order_id"), long("client_id"), text("title"), text("city"), text("state"), long("openings"), money("bill_rate"), text("status"), date("opened_on")},
		fill: func(s *Set, id int64, to *line) {
			d := roll(s.Seed, jobOrders, id)
			at := places[d.skewed(3, int64(len(places)))]
			to.long(id)
			to.long(s.ordered(id))
			to.text(titles[d.below(2, int64(len(titles)))])
			to.text(at.city)
			to.text(at.state)
			to.long(1 + d.skewed(4, 12))
			to.cents(2500 + 50*d.skewed(5, 240))
			to.text(d.pick(6, orderStatus))
			to.date(d.between(7, firstDay, lastDay))
		},
	}
}

func placementShape() shape {
	return shape{
		fields: []arrow.Field{long("placement_id"), long("candidate_id"), long("job_order_id"), long("client_id"), date("start_date"), nullable(date("end_date")), money("pay_rate"), money("bill_rate"), text("status")},
		fill: func(s *Set, id int64, to *line) {
			d := roll(s.Seed, placements, id)
			candidate, order, pay, bill := s.placed(id)
			start, status := d.between(5, firstDay, lastDay-30), d.pick(7, placementStatus)
			to.long(id)
			to.long(candidate)
			to.long(order)
			to.long(s.ordered(order))
			to.date(start)
			if status == "active" {
				to.null()
			} else {
				to.date(start + d.between(6, 14, 400))
			}
			to.cents(pay)
			to.cents(bill)
			to.text(status)
		},
	}
}

func timesheetShape() shape {
	return shape{
		fields: []arrow.Field{long("timesheet_id"), long("candidate_id"), long("placement_id"), date("work_date"), hours("hours_regular"), hours("hours_overtime"), money("bill_rate"), money("pay_rate"), text("status")},
		fill: func(s *Set, id int64, to *line) {
			t := s.Timesheet(id)
			to.long(t.ID)
			to.long(t.CandidateID)
			to.long(t.PlacementID)
			to.date(t.WorkDate)
			to.cents(t.HoursRegular)
			to.cents(t.HoursOvertime)
			to.cents(t.BillRate)
			to.cents(t.PayRate)
			to.text(t.Status)
		},
	}
}

func callShape() shape {
	return shape{
		fields: []arrow.Field{long("call_id"), long("candidate_id"), long("recruiter_id"), moment("started_at"), long("duration_s"), text("direction"), text("outcome")},
		fill: func(s *Set, id int64, to *line) {
			d := roll(s.Seed, callLog, id)
			outcome := d.pick(6, callOutcome)
			to.long(id)
			to.long(1 + d.below(1, s.rows[candidates]))
			to.long(1 + d.skewed(2, recruiters))
			to.moment(eventTime(d, 3, id, s.rows[callLog]))
			if outcome == "connected" {
				to.long(d.between(4, 20, 1800))
			} else {
				to.long(d.between(4, 0, 40))
			}
			to.text(d.pick(5, callDirection))
			to.text(outcome)
		},
	}
}

func emailShape() shape {
	return shape{
		fields: []arrow.Field{long("email_id"), long("candidate_id"), long("recruiter_id"), moment("sent_at"), text("subject"), text("status"), truth("automatic")},
		fill: func(s *Set, id int64, to *line) {
			d := roll(s.Seed, emailLog, id)
			to.long(id)
			to.long(1 + d.below(1, s.rows[candidates]))
			to.long(1 + d.skewed(2, recruiters))
			to.moment(eventTime(d, 3, id, s.rows[emailLog]))
			to.text(subjects[d.skewed(4, int64(len(subjects)))])
			to.text(d.pick(5, mailStatus))
			to.truth(d.below(6, 3) > 0)
		},
	}
}

// eventTime gives µs since 1970-01-01 that grow with the row: events are
// logged as they happen, up to an hour apart from their place.
func eventTime(d dice, field uint64, id, rows int64) int64 {
	span := int64(lastDay-firstDay) * 86_400 // seconds
	return int64(firstDay)*dayUS + (id-1)*span/rows*1_000_000 + d.below(field, 3_600_000_000)
}

package bench

import (
	"fmt"
	"strings"
)

// query is one of the questions. Its SQL names the two tables as {timesheets}
// and {candidates}, and {key} is another candidate in each round.
type query struct {
	Name string `json:"query"`
	SQL  string `json:"sql"`
}

// queries are the five that are measured everywhere.
var queries = []query{
	{"join", `select c.city, t.status, count(*), sum(t.hours_regular*t.bill_rate), avg(c.pay_rate)
from {timesheets} t join {candidates} c on c.candidate_id=t.candidate_id group by c.city, t.status`},
	{"join, one row", `select count(*), sum(t.hours_regular*t.bill_rate), min(c.pay_rate)
from {timesheets} t join {candidates} c on c.candidate_id=t.candidate_id where c.years > 3`},
	{"filter", `select * from {candidates} where state='CA' and status='active' and years>=5 order by candidate_id limit 100`},
	{"point", `select * from {candidates} where candidate_id = {key}`},
	{"group", `select status, count(*), sum(hours_regular) from {timesheets} group by status`},
}

// in is the query's text over the rows of a namespace, for a round.
func (q query) in(namespace string, round int, candidates int64) string {
	return strings.NewReplacer(
		"{timesheets}", namespace+".timesheets", "{candidates}", namespace+".candidates", "{key}", fmt.Sprint(keyOf(round, candidates)),
	).Replace(q.SQL)
}

// keyOf spreads the keys of rounds over the table.
func keyOf(round int, rows int64) int64 { return int64(round)*7919%rows + 1 }

// byKeyRequest is the query "point" as byKey takes it.
func byKeyRequest(namespace string, round int, candidates int64) string {
	return fmt.Sprintf(`%s.candidates {"candidate_id": %d}`, namespace, keyOf(round, candidates))
}

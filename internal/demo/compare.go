package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
)

// compare compares the rows of the join (city, status, sheets, billed, pay)
// with the arithmetic and says what is wrong first, or "".
func (e *expected) compare(rows [][]any) string {
	if len(rows) != len(e.groups) {
		return fmt.Sprintf("%d groups, but it must be %d", len(rows), len(e.groups))
	}
	for _, row := range rows {
		g := group{fmt.Sprint(row[0]), fmt.Sprint(row[1])}
		want := e.groups[g]
		if want == nil {
			return fmt.Sprintf("group %s, %s must not be there", g.city, g.status)
		}
		if got := fmt.Sprint(row[2]); got != fmt.Sprint(want.sheets) {
			return fmt.Sprintf("%s, %s: %s timesheets, but it must be %d", g.city, g.status, got, want.sheets)
		}
		if got, must := fmt.Sprint(row[3]), tenThousandths(big.NewInt(want.billed)); got != must {
			return fmt.Sprintf("%s, %s: billed %s, but it must be %s", g.city, g.status, got, must)
		}
		// An average is a double: equal within its rounding.
		must := float64(want.pay) / float64(want.sheets) / 100
		got, err := number(row[4])
		if err != nil || math.Abs(got-must) > 1e-9*math.Abs(must) {
			return fmt.Sprintf("%s, %s: average pay %v, but it must be %v", g.city, g.status, row[4], must)
		}
	}
	return ""
}

func number(v any) (float64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not a number", v)
	}
	return n.Float64()
}

func integer(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not an integer", v)
	}
	return n.Int64()
}

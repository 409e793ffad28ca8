package demo

// importList begins the list of imports and gives what adds a line to it: each
// is shown when its import has ended, not all at the end.
func importList[T any](r *report, datasets []T, name func(T) string) func(cells ...string) {
	widths, right := []int{len("dataset"), len("1,000,000,000"), len("country, order_no"), len("1000 ms")}, []bool{false, true, false, true}
	for _, d := range datasets {
		widths[0] = max(widths[0], len(name(d)))
	}
	r.line(widths, right, "dataset", "rows", "primary key", "time")
	return func(cells ...string) { r.line(widths, right, cells...) }
}

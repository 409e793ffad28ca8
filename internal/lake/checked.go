package lake

// Checked is what the gate says of a SQL text that may run.
type Checked struct {
	Select   bool   `json:"select"` // it is a query whose rows are data: no SHOW, DESCRIBE or EXPLAIN
	Kind     string `json:"kind"`   // what it is, in words
	Datasets []Name `json:"datasets"`
	AsOf     bool   `json:"as_of"` // it names datasets as they were (AT)
}

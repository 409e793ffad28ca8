package change

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/format"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// merge puts the changes of several requests, in their order, into one batch at
// most: for a keyed dataset the latest change of each key, otherwise all of them.
func merge(schema lake.Schema, all []format.Changes) ([]format.Changes, error) {
	if schema.Keyed() {
		all = latest(schema, all)
	}
	if len(all) < 2 {
		return all, nil
	}
	one, err := concat(schema, all)
	return []format.Changes{one}, err
}

// latest cuts the changes down to the last one of each key, as slices of what
// came, in order.
func latest(schema lake.Schema, all []format.Changes) []format.Changes {
	enc := keys.NewEncoder(schema.KeySchema(), schema.KeyIndexes())
	type place struct{ batch, row int }
	last := map[string]place{}
	total := 0
	var key []byte
	for b, c := range all {
		for r := range int(c.Rows.NumRows()) {
			key = enc.Append(key[:0], c.Rows, r)
			last[string(key)] = place{b, r}
			total++
		}
	}
	if len(last) == total {
		return all
	}
	keep := make([][]bool, len(all))
	for b, c := range all {
		keep[b] = make([]bool, c.Rows.NumRows())
	}
	for _, p := range last {
		keep[p.batch][p.row] = true
	}
	var out []format.Changes
	for b, c := range all {
		for from := 0; from < len(keep[b]); {
			if !keep[b][from] {
				from++
				continue
			}
			to := from
			for to < len(keep[b]) && keep[b][to] {
				to++
			}
			out = append(out, format.Changes{Rows: c.Rows.NewSlice(int64(from), int64(to)), Ops: c.Ops[from:to]})
			from = to
		}
	}
	return out
}

// concat joins batches of one schema. Encoding one batch of 64 rows costs far
// less than 64 batches of one.
func concat(schema lake.Schema, pieces []format.Changes) (format.Changes, error) {
	var ops []uint8
	for _, p := range pieces {
		ops = append(ops, p.Ops...)
	}
	cols := make([]arrow.Array, len(schema.Columns))
	parts := make([]arrow.Array, len(pieces))
	for c := range cols {
		for i, p := range pieces {
			parts[i] = p.Rows.Column(c)
		}
		col, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return format.Changes{}, fmt.Errorf("join changes of column %s: %w", schema.Columns[c].Name, err)
		}
		cols[c] = col
	}
	return format.Changes{Rows: array.NewRecordBatch(pieces[0].Rows.Schema(), cols, int64(len(ops))), Ops: ops}, nil
}

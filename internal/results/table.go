package results

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/zeebo/xxh3"

	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Table is all rows of a dataset as they were at one sequence, and finds a row by its
// key. It is not changed once it is indexed: what has changed since is noted beside it
// (tables.go).
//
// The index is a hash table of row numbers alone, by open addressing: a key is compared
// with that of the row that is found, encoded again. So it takes about 6 to 12 bytes a
// row, however long the keys are.
type Table struct {
	Columns []rows.Column // as the worker spells them
	Schema  *arrow.Schema // of the batches

	key     *keys.Encoder
	batches []arrow.RecordBatch
	starts  []uint32 // of each batch: the number of its first row
	rows    uint32
	slots   []uint32 // by hash: a row's number + 1, 0 where there is none
}

// newTable makes a table without rows for the answer to SELECT * of a dataset with a
// schema.
func newTable(of lake.Schema, columns []rows.Column, schema *arrow.Schema) *Table {
	return &Table{Columns: columns, Schema: schema, key: keys.NewEncoder(of.KeySchema(), of.KeyIndexes())}
}

// columnBytes is about what a column of a batch takes beside its values.
const columnBytes = 512

// batchBytes is what a batch takes.
func batchBytes(rec arrow.RecordBatch) int64 {
	return rows.BatchBytes(rec) + (rec.NumCols()+1)*columnBytes
}

// add takes a batch in, whose memory is the table's from then on.
func (t *Table) add(rec arrow.RecordBatch) error {
	if err := t.key.Check(rec); err != nil {
		return err
	}
	t.batches, t.starts = append(t.batches, rec), append(t.starts, t.rows)
	t.rows += uint32(rec.NumRows())
	return nil
}

// slotsFor is how many slots the index of so many rows has: at most two of three are in
// use.
func slotsFor(rows uint32) int64 {
	n := int64(8)
	for n < int64(rows)+int64(rows)/2 {
		n *= 2
	}
	return n
}

// index makes the rows be found; their keys are unique.
func (t *Table) index() {
	t.slots = make([]uint32, slotsFor(t.rows))
	mask := uint64(len(t.slots) - 1)
	var key []byte
	number := uint32(0)
	for _, rec := range t.batches {
		for row := range int(rec.NumRows()) {
			key = t.key.Append(key[:0], rec, row)
			number++
			at := xxh3.Hash(key) & mask
			for t.slots[at] != 0 {
				at = (at + 1) & mask
			}
			t.slots[at] = number
		}
	}
}

// find gives the number of the row with a key.
func (t *Table) find(key string) (row uint32, ok bool) {
	mask := uint64(len(t.slots) - 1)
	var have []byte
	for at := xxh3.HashString(key) & mask; t.slots[at] != 0; at = (at + 1) & mask {
		row = t.slots[at] - 1
		rec, within := t.at(row)
		if have = t.key.Append(have[:0], rec, within); string(have) == key {
			return row, true
		}
	}
	return 0, false
}

// at gives the batch of a row, and its place there.
func (t *Table) at(row uint32) (rec arrow.RecordBatch, within int) {
	from, to := 0, len(t.starts) // the first batch that begins behind the row
	for from < to {
		if mid := (from + to) / 2; t.starts[mid] <= row {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return t.batches[from-1], int(row - t.starts[from-1])
}

// AppendJSON appends a row as a JSON object.
func (t *Table) AppendJSON(dst []byte, row uint32) ([]byte, error) {
	rec, within := t.at(row)
	return rows.AppendRow(dst, rec, within)
}

// Take gives rows, at least one, as a batch that holds nothing else: what is written of a
// part of a batch has neighbours' values in it.
func (t *Table) Take(numbers []uint32) (arrow.RecordBatch, error) {
	cols, parts := make([]arrow.Array, len(t.Columns)), make([]arrow.Array, len(numbers))
	for c := range cols {
		for i, row := range numbers {
			rec, within := t.at(row)
			parts[i] = array.NewSlice(rec.Column(c), int64(within), int64(within)+1)
		}
		var err error
		if cols[c], err = array.Concatenate(parts, memory.DefaultAllocator); err != nil {
			return nil, lake.Step("take rows that are held", err)
		}
	}
	return array.NewRecordBatch(t.Schema, cols, int64(len(numbers))), nil
}

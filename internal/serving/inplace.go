package serving

import (
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/duck"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// How many keys are deleted by a condition that spells them; more go through a table.
// Those of several columns are looked for one after the other.
const (
	deleteByText     = 128
	deleteManyByText = 4
)

// What small batches become one of: a vector of DuckDB's, where their rows are not long.
const (
	rowsTogether  = 2048
	bytesTogether = 1 << 20
)

// apply brings loaded deltas, in ascending order, to the image, in the
// transaction of the caller: the latest change per key wins; keys that the
// filter knows are deleted, then the rows that remain are appended.
func (m *image) apply(ctx context.Context, c *duck.Conn, deltas []loaded) error {
	var changes []format.Changes
	for _, d := range deltas {
		changes = append(changes, d.changes...)
		m.change.sequence = d.sequence
	}
	return m.take(ctx, c, changes)
}

// applyLarge brings a delta to the image as its file is read.
func (m *image) applyLarge(ctx context.Context, c *duck.Conn, uuid string, d lake.Delta) error {
	h, err := format.OpenDelta(ctx, d.Path, m.schema, func(ch format.Changes) error {
		return m.take(ctx, c, []format.Changes{ch})
	})
	if err != nil {
		return nameKey(err, d)
	}
	m.change.sequence = d.Sequence
	return sameDelta(d, h, uuid)
}

// take brings changes to the table.
func (m *image) take(ctx context.Context, c *duck.Conn, changes []format.Changes) error {
	s := m.sort(changes)
	s.known, s.rows = together(s.known), together(s.rows)
	defer s.release()
	if err := m.delete(ctx, c, s.known); err != nil {
		return err
	}
	if len(s.rows) > 0 {
		if err := m.append(ctx, c, s.rows); err != nil {
			return err
		}
	}
	for _, b := range s.rows {
		m.change.counts.rows += b.NumRows()
	}
	m.change.bytes += s.bytes
	return nil
}

func (m *image) append(ctx context.Context, c *duck.Conn, rows []arrow.RecordBatch) error {
	if len(m.codes) > 0 {
		rows = m.withCodes(rows)
		defer func() {
			for _, b := range rows {
				b.Release()
			}
		}()
	}
	return c.Append(ctx, catalogName, internalSchema, m.table, rows)
}

// sorted is changes made ready: the keys that may be in the table, and the rows
// to append.
type sorted struct {
	known []arrow.RecordBatch // of the key columns
	rows  []arrow.RecordBatch
	bytes int64 // about, of rows
}

func (s *sorted) release() {
	for _, b := range append(s.known, s.rows...) {
		b.Release()
	}
}

// sort finds the latest change of each key and which keys the table may hold,
// and notes the keys in the filter.
func (m *image) sort(changes []format.Changes) sorted {
	var out sorted
	if m.key == nil {
		for _, ch := range changes {
			ch.Rows.Retain()
			out.rows = append(out.rows, ch.Rows)
			out.bytes += arrowBytes(ch.Rows)
		}
		return out
	}
	type place struct{ change, row int }
	latest := map[string]place{}
	var key []byte
	total := 0
	for i, ch := range changes {
		for row := range int(ch.Rows.NumRows()) {
			key = m.key.Append(key[:0], ch.Rows, row)
			latest[string(key)] = place{i, row}
			total++
		}
	}
	at := m.schema.KeyIndexes()
	unique := len(latest) == total
	for i, ch := range changes {
		n := int(ch.Rows.NumRows())
		known, keep := make([]bool, n), make([]bool, n)
		for row := range n {
			key = m.key.Append(key[:0], ch.Rows, row)
			if !unique && latest[string(key)] != (place{i, row}) {
				continue
			}
			known[row] = m.filter.has(key)
			if keep[row] = ch.Ops[row] == 0; keep[row] {
				m.filter.add(key)
			}
		}
		if b := pick(ch.Rows, known); b != nil {
			out.known = append(out.known, only(b, at))
			b.Release()
		}
		if b := pick(ch.Rows, keep); b != nil {
			out.rows = append(out.rows, b)
			out.bytes += arrowBytes(ch.Rows) * b.NumRows() / int64(n)
		}
	}
	return out
}

// pick gives the rows that are marked, nil where none is.
func pick(rec arrow.RecordBatch, marked []bool) arrow.RecordBatch {
	var runs []arrow.RecordBatch
	defer func() {
		for _, r := range runs {
			r.Release()
		}
	}()
	for from := 0; from < len(marked); from++ {
		if !marked[from] {
			continue
		}
		to := from
		for to < len(marked) && marked[to] {
			to++
		}
		runs = append(runs, rec.NewSlice(int64(from), int64(to)))
		from = to
	}
	switch len(runs) {
	case 0:
		return nil
	case 1:
		runs[0].Retain()
		return runs[0]
	}
	return joined(runs)
}

// joined gives the rows of batches of one schema as one.
func joined(batches []arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, batches[0].NumCols())
	rows := int64(0)
	for i := range columns {
		parts := make([]arrow.Array, len(batches))
		for j, b := range batches {
			parts[j] = b.Column(i)
		}
		column, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil { // parts of one column have one type
			panic("serving: " + err.Error())
		}
		columns[i] = column
		defer column.Release()
	}
	for _, b := range batches {
		rows += b.NumRows()
	}
	return array.NewRecordBatch(batches[0].Schema(), columns, rows)
}

// together joins small batches that follow each other, and lets go of those: each batch
// costs an append as much as some hundred rows.
func together(batches []arrow.RecordBatch) []arrow.RecordBatch {
	var out []arrow.RecordBatch
	for len(batches) > 0 {
		n, rows, bytes := 0, int64(0), int64(0)
		for _, b := range batches {
			rows, bytes = rows+b.NumRows(), bytes+arrowBytes(b)
			if n > 0 && (rows > rowsTogether || bytes > bytesTogether) {
				break
			}
			n++
		}
		if n == 1 {
			out = append(out, batches[0])
		} else {
			out = append(out, joined(batches[:n]))
			for _, b := range batches[:n] {
				b.Release()
			}
		}
		batches = batches[n:]
	}
	return out
}

// delete takes the rows of the keys out of the table.
func (m *image) delete(ctx context.Context, c *duck.Conn, known []arrow.RecordBatch) error {
	if len(known) == 0 {
		return nil
	}
	key := m.schema.KeySchema()
	most := int64(deleteByText)
	if len(key.Columns) > 1 {
		most = deleteManyByText
	}
	if where, ok := inText(key, known, most); ok {
		return m.deleted(c.Rows(ctx, "DELETE FROM "+internal(m.table)+" d WHERE "+where))
	}
	cols, same := make([]string, len(key.Columns)), make([]string, len(key.Columns))
	for i, col := range key.Columns {
		q := lake.QuoteIdent(col.Name)
		cols[i] = q + " " + col.Type.SQL()
		same[i] = "d." + q + " = k." + q
	}
	if err := c.Exec(ctx, "CREATE OR REPLACE TEMP TABLE _tarn_known ("+strings.Join(cols, ", ")+")"); err != nil {
		return err
	}
	if err := c.Append(ctx, "temp", "main", "_tarn_known", known); err != nil {
		return err
	}
	err := m.deleted(c.Rows(ctx, "DELETE FROM "+internal(m.table)+" d USING temp.main._tarn_known k WHERE "+strings.Join(same, " AND ")))
	if err != nil {
		return err
	}
	return c.Exec(ctx, "DROP TABLE temp.main._tarn_known")
}

// deleted counts what a DELETE says it took: the filter also knows keys that
// are not there.
func (m *image) deleted(rows [][]any, err error) error {
	if err != nil {
		return err
	}
	if n, ok := rows[0][0].(int64); ok {
		m.change.counts.replaced += n
		m.change.counts.rows -= n
	}
	return nil
}

// arrowBytes is about what a batch's rows take before they are compressed: a text
// takes DuckDB some bytes more than Arrow.
func arrowBytes(rec arrow.RecordBatch) int64 {
	n := int64(0)
	for _, col := range rec.Columns() {
		n += int64(col.Data().SizeInBytes())
		switch col.(type) {
		case *array.String, *array.Binary:
			n += 8 * int64(col.Len())
		}
	}
	return n
}

package serving

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// codes number the values of a text column that has few of them: an image has a
// column of numbers beside such a column, as grouping by a byte costs a fraction of
// grouping by a text (docs/design/codes.md). NULL stays NULL, so that rows which an
// outer join makes up are in one group with it.
//
// A number never changes its value, and a value is added before the transaction
// that first uses it is committed: who has fixed a snapshot and takes the values
// then can spell every number in it. Where there are too many values, the codes end:
// they are numbers of nothing from then on.
//
// An image and the rebuild that follows it have the same codes. Only the publisher
// adds to them.
type codes struct {
	at     int    // of the column
	column string // of the numbers

	mu struct {
		sync.Mutex
		values []string // of the numbers from 1
		bytes  int
		of     map[string]uint8
		ended  bool
	}
}

// How many values a column may have, and how long all of them may be as text: a
// query spells them.
const (
	mostValues      = 255
	mostValuesBytes = 8 << 10
	likelyValues    = 200 // where a first look finds more, it is not begun
)

func newCodes(at int) *codes {
	c := &codes{at: at, column: fmt.Sprint("_tarn_code_", at)}
	c.mu.of = map[string]uint8{}
	return c
}

// code gives the number of a value, which it adds where it is new; 0 once the codes
// have ended.
func (c *codes) code(value string) uint8 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.mu.of[value]
	switch {
	case ok || c.mu.ended:
		return n
	case len(c.mu.values) == mostValues || c.mu.bytes+len(value) > mostValuesBytes || strings.IndexByte(value, 0) >= 0:
		c.mu.ended, c.mu.values, c.mu.of = true, nil, nil
		return 0
	}
	value = strings.Clone(value)
	c.mu.values = append(c.mu.values, value)
	c.mu.bytes += len(value)
	n = uint8(len(c.mu.values))
	c.mu.of[value] = n
	return n
}

// spelled gives the values of the numbers from 1; ok is false where the codes have
// ended. The slice only grows behind its end.
func (c *codes) spelled() (values []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.values, !c.mu.ended
}

// chooseCodes begins codes for the text columns of an image that have few values in
// its first rows.
func (p *publisher) chooseCodes(ctx context.Context, m *image, first slice) error {
	if p.noCodes {
		return nil
	}
	var at []int
	var counts []string
	for i, col := range m.schema.Columns {
		if col.Type.Kind == lake.Varchar {
			at = append(at, i)
			counts = append(counts, "approx_count_distinct("+lake.QuoteIdent(col.Name)+")")
		}
	}
	if len(at) == 0 {
		return nil
	}
	rows, err := p.conn.Rows(ctx, "SELECT "+strings.Join(counts, ", ")+" FROM ("+first.sql+")")
	if err != nil {
		return err
	}
	for i, n := range rows[0] {
		if n, ok := n.(int64); ok && n > 0 && n <= likelyValues {
			m.codes = append(m.codes, newCodes(at[i]))
		}
	}
	return nil
}

// codedSlice adds the values of a slice to the codes, and the numbers to its rows:
// DuckDB numbers them as an ENUM of the values.
func (p *publisher) codedSlice(ctx context.Context, m *image, sql string) (string, error) {
	if len(m.codes) == 0 {
		return sql, nil
	}
	lists := make([]string, len(m.codes))
	for i, c := range m.codes {
		lists[i] = "list(DISTINCT " + lake.QuoteIdent(m.schema.Columns[c.at].Name) + ")"
	}
	rows, err := p.conn.Rows(ctx, "SELECT "+strings.Join(lists, ", ")+" FROM ("+sql+")")
	if err != nil {
		return "", err
	}
	out := "SELECT s.*"
	for i, c := range m.codes {
		found, _ := rows[0][i].([]any)
		for _, v := range found {
			if text, ok := v.(string); ok {
				c.code(text)
			}
		}
		values, ok := c.spelled()
		if !ok || len(values) == 0 {
			out += ", 0::UTINYINT"
			continue
		}
		out += fmt.Sprintf(", (enum_code(s.%s::ENUM(%s)) + 1)::UTINYINT", lake.QuoteIdent(m.schema.Columns[c.at].Name), quotedList(values))
	}
	return out + " FROM (" + sql + ") s", nil
}

func quotedList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = lake.QuoteString(v)
	}
	return strings.Join(quoted, ", ")
}

// withCodes adds the numbers to rows that are about to be appended. The caller
// releases what it gives.
func (m *image) withCodes(batches []arrow.RecordBatch) []arrow.RecordBatch {
	out := make([]arrow.RecordBatch, len(batches))
	for i, b := range batches {
		fields, columns := append([]arrow.Field{}, b.Schema().Fields()...), append([]arrow.Array{}, b.Columns()...)
		made := columns[len(columns):]
		for _, c := range m.codes {
			numbers := c.numbers(b.Column(c.at).(*array.String))
			fields = append(fields, arrow.Field{Name: c.column, Type: arrow.PrimitiveTypes.Uint8, Nullable: true})
			columns, made = append(columns, numbers), append(made, numbers)
		}
		out[i] = array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, b.NumRows())
		for _, n := range made {
			n.Release()
		}
	}
	return out
}

func (c *codes) numbers(texts *array.String) arrow.Array {
	b := array.NewUint8Builder(memory.DefaultAllocator)
	defer b.Release()
	b.Reserve(texts.Len())
	for row := range texts.Len() {
		if texts.IsNull(row) {
			b.AppendNull()
		} else {
			b.Append(c.code(texts.Value(row)))
		}
	}
	return b.NewArray()
}

package rows

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// GivenColumn is the last column of batches of MissingKeep: of each row a bit a column,
// in their order and from the lowest bit of the first byte, set where the row has it.
const GivenColumn = lake.ReservedColumnPrefix + "given"

// GivenSchema is the schema of such batches: ChangesSchema and GivenColumn.
func GivenSchema(s lake.Schema) *arrow.Schema {
	return arrow.NewSchema(append(ChangesSchema(s).Fields(), arrow.Field{Name: GivenColumn, Type: arrow.BinaryTypes.Binary}), nil)
}

// Gives says whether a row of GivenColumn has a column.
func Gives(given []byte, column int) bool { return given[column/8]>>(column%8)&1 != 0 }

// given collects GivenColumn.
type given struct {
	inKey []bool
	alloc memory.Allocator
	b     *array.BinaryBuilder
	bits  []byte
}

func newGiven(o DecodeOptions) *given {
	return &given{inKey: keyColumns(o.Schema), alloc: o.Alloc, bits: make([]byte, (len(o.Schema.Columns)+7)/8)}
}

func (g *given) renew() { g.b = array.NewBinaryBuilder(g.alloc, arrow.BinaryTypes.Binary) }

// set spells which columns a row has.
func (g *given) set(has func(i int) bool) []byte {
	clear(g.bits)
	for i := range g.inKey {
		if has(i) {
			g.bits[i/8] |= 1 << (i % 8)
		}
	}
	return g.bits
}

func (g *given) add(has func(i int) bool) { g.b.Append(g.set(has)) }

// all is the column of n rows that all have the columns with a source.
func (g *given) all(from []int, n int) arrow.Array {
	bits := g.set(func(i int) bool { return from[i] >= 0 })
	g.b.Reserve(n)
	for range n {
		g.b.Append(bits)
	}
	return g.b.NewArray()
}

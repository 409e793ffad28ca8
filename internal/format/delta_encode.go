package format

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tarn/internal/lake"
)

// Deltas up to plainBytes of values are written plain: compressing them costs
// more than it saves. Larger ones get zstd and statistics, which let a reader
// skip row groups.
const (
	plainBytes   = 1 << 20
	rowGroupRows = 122_880
)

// headerKey is the footer's key-value entry that holds the DeltaHeader.
const headerKey = "tarn"

// headerHead is how the entry's JSON starts; the sum's digits follow. JSON
// escapes quotes, so no request's key can look like it, and the footer holds
// nothing of a user's after it.
const headerHead = `{"sum":"`

// DeltaEncoder encodes deltas of one schema and keeps what they share. It is
// safe for concurrent use.
type DeltaEncoder struct {
	schema lake.Schema
	arrow  *arrow.Schema // the file's columns: those of ChangesSchema, then OpColumn
	keys   []int
	plain  *parquet.WriterProperties
	packed *parquet.WriterProperties
	props  pqarrow.ArrowWriterProperties
}

// NewDeltaEncoder fails if a column has no field id.
func NewDeltaEncoder(s lake.Schema) (*DeltaEncoder, error) {
	for _, c := range s.Columns {
		if c.ID <= 0 || c.ID >= OpFieldID {
			return nil, lake.Errorf(lake.CodeInternal, "encode delta: column %q has the field id %d", c.Name, c.ID)
		}
	}
	fields := append(changeFields(s), arrow.Field{
		Name: OpColumn, Type: arrow.PrimitiveTypes.Int32,
		Metadata: arrow.NewMetadata([]string{lake.FieldIDKey}, []string{strconv.Itoa(OpFieldID)}),
	})
	common := []parquet.WriterProperty{
		parquet.WithCreatedBy("tarn delta"),
		parquet.WithStoreDecimalAsInteger(true),
		parquet.WithMaxRowGroupLength(rowGroupRows),
	}
	return &DeltaEncoder{
		schema: s,
		arrow:  arrow.NewSchema(fields, nil),
		keys:   s.KeyIndexes(),
		plain: parquet.NewWriterProperties(append(common,
			parquet.WithDictionaryDefault(false), parquet.WithStats(false))...),
		packed: parquet.NewWriterProperties(append(common,
			parquet.WithCompression(compress.Codecs.Zstd))...),
		props: pqarrow.NewArrowWriterProperties(),
	}, nil
}

// Encode is the whole file of a delta, with its sum in place. Batches must have
// the columns of the schema with the types of lake.Type.Arrow and no null in a
// key column; h.Rows is set to the rows they hold.
func (e *DeltaEncoder) Encode(h DeltaHeader, changes []Changes) ([]byte, error) {
	var bytesIn int64
	h.Rows = 0
	for _, c := range changes {
		h.Rows += c.Rows.NumRows()
		for _, col := range c.Rows.Columns() {
			bytesIn += int64(col.Data().SizeInBytes())
		}
	}
	props := e.plain
	if bytesIn > plainBytes {
		props = e.packed
	}
	var out bytes.Buffer
	out.Grow(int(min(bytesIn, 8<<20)) + 4096)
	w, err := pqarrow.NewFileWriter(e.arrow, &out, props, e.props)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode delta: %w", err)
	}
	for _, c := range changes {
		rec, err := e.fileBatch(c)
		if err != nil {
			return nil, err
		}
		if rec.NumRows() > 0 {
			err = w.WriteBuffered(rec)
		}
		rec.Release()
		if err != nil {
			return nil, lake.Errorf(lake.CodeInternal, "encode delta: %w", err)
		}
	}
	text, err := encodeHeader(h)
	if err != nil {
		return nil, err
	}
	if err := w.AppendKeyValueMetadata(headerKey, text); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode delta: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode delta: %w", err)
	}
	file := out.Bytes()
	footer := file[len(file)-8-int(binary.LittleEndian.Uint32(file[len(file)-8:])):]
	at := bytes.LastIndex(footer, []byte(headerHead))
	patchSum(file, len(file)-len(footer)+at+len(headerHead))
	return file, nil
}

// EncodeDelta is Encode for one delta.
func EncodeDelta(h DeltaHeader, s lake.Schema, changes []Changes) ([]byte, error) {
	e, err := NewDeltaEncoder(s)
	if err != nil {
		return nil, err
	}
	return e.Encode(h, changes)
}

// encodeHeader is the text of the footer entry, with noSum for the sum.
func encodeHeader(h DeltaHeader) (string, error) {
	h.Sum, h.FormatVersion, h.Time = noSum, DeltaFormat, h.Time.UTC()
	h.Features = []string{}
	if h.Transaction != nil {
		h.Features = []string{featureTransaction}
	}
	if h.Requests == nil {
		h.Requests = []lake.Request{}
	}
	text, err := json.Marshal(h)
	if err != nil {
		return "", lake.Errorf(lake.CodeInternal, "encode delta: header: %w", err)
	}
	return string(text), nil
}

// fileBatch is a batch of changes in the columns of the file.
func (e *DeltaEncoder) fileBatch(c Changes) (arrow.RecordBatch, error) {
	n := len(e.schema.Columns)
	if int(c.Rows.NumCols()) != n || int(c.Rows.NumRows()) != len(c.Ops) {
		return nil, lake.Errorf(lake.CodeInternal, "encode delta: %d columns and %d rows with %d operations for a schema of %d columns",
			c.Rows.NumCols(), c.Rows.NumRows(), len(c.Ops), n)
	}
	for _, k := range e.keys {
		if c.Rows.Column(k).NullN() > 0 {
			return nil, lake.Errorf(lake.CodeInternal, "encode delta: null in key column %q", e.schema.Columns[k].Name)
		}
	}
	cols := make([]arrow.Array, 0, n+1)
	defer func() {
		for _, col := range cols {
			col.Release()
		}
	}()
	for i := range n {
		col, err := fit(c.Rows.Column(i), e.arrow.Field(i).Type)
		if err != nil {
			return nil, lake.Errorf(lake.CodeInternal, "encode delta: column %q: %w", e.schema.Columns[i].Name, err)
		}
		cols = append(cols, col)
	}
	ops := array.NewInt32Builder(memory.DefaultAllocator)
	defer ops.Release()
	ops.Reserve(len(c.Ops))
	for _, op := range c.Ops {
		if op > OpDelete {
			return nil, lake.Errorf(lake.CodeInternal, "encode delta: operation %d", op)
		}
		ops.UnsafeAppend(int32(op))
	}
	cols = append(cols, ops.NewArray())
	return array.NewRecordBatch(e.arrow, cols, c.Rows.NumRows()), nil
}

package rows_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func int64s(n int, from int64) arrow.RecordBatch {
	s := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "a", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(from + int64(i))
		b.Field(1).(*array.StringBuilder).Append(strings.Repeat("x", 1000))
	}
	return b.NewRecordBatch()
}

// Nothing that was written before the end is a Parquet file; row groups end by bytes, so
// that a long answer does not stay in memory; names that come twice are made unique.
func TestParquetAnswer(t *testing.T) {
	var buf bytes.Buffer
	e := rows.NewEncoder(rows.OutParquet, &buf)
	rec := int64s(0, 0)
	if err := e.Begin([]rows.Column{{Name: "a", Type: "BIGINT"}, {Name: "a", Type: "VARCHAR"}}, rec.Schema(), rows.Head{}); err != nil {
		t.Fatal(err)
	}
	rec.Release()
	const batches, each = 40, 2048
	for i := range batches {
		rec := int64s(each, int64(i*each))
		err := e.Write(rec)
		rec.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := file.NewParquetReader(bytes.NewReader(buf.Bytes())); err == nil {
		t.Error("an answer that did not end can be read")
	}
	if err := e.End(rows.Tail{}); err != nil {
		t.Fatal(err)
	}
	f, err := file.NewParquetReader(bytes.NewReader(buf.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.NumRows() != batches*each || f.NumRowGroups() < 4 {
		t.Errorf("%d rows in %d row groups", f.NumRows(), f.NumRowGroups())
	}
	if s := f.MetaData().Schema; s.Column(0).Name() != "a" || s.Column(1).Name() != "a_1" {
		t.Errorf("the columns are %s and %s", s.Column(0).Name(), s.Column(1).Name())
	}
}

func TestParquetSaysWhatItCannotHold(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "for", Type: arrow.FixedWidthTypes.MonthDayNanoInterval, Nullable: true}}, nil)
	var buf bytes.Buffer
	err := rows.NewEncoder(rows.OutParquet, &buf).Begin([]rows.Column{{Name: "a", Type: "BIGINT"}, {Name: "for", Type: "INTERVAL"}}, s, rows.Head{})
	if lake.CodeOf(err) != lake.CodeUnsupported || !strings.Contains(err.Error(), `"for"`) || !strings.Contains(err.Error(), "INTERVAL") || buf.Len() > 0 {
		t.Errorf("%v, %d bytes", err, buf.Len())
	}
}

func TestRename(t *testing.T) {
	rec := int64s(3, 0)
	defer rec.Release()
	var buf bytes.Buffer
	e := rows.NewEncoder(rows.OutArrow, &buf)
	err := errors.Join(e.Begin([]rows.Column{{Name: "a", Type: "BIGINT"}, {Name: "a", Type: "VARCHAR"}}, rec.Schema(), rows.Head{}), e.Write(rec), e.End(rows.Tail{}))
	if err != nil {
		t.Fatal(err)
	}
	stream := buf.Bytes()
	d, err := rows.Decode(t.Context(), rows.ArrowStream, rows.Rename(t.Context(), bytes.NewReader(stream), []string{"id", "v"}), rows.DecodeOptions{Schema: schema(t, "id BIGINT", "v VARCHAR")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.Next()
	if err != nil || got.NumRows() != 3 || got.Column(0).(*array.Int64).Value(2) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	got.Release()
	if _, err := rows.ArrowNames(t.Context(), rows.Rename(t.Context(), bytes.NewReader(stream), []string{"id"})); err == nil {
		t.Error("one name for two columns")
	}
	if _, err := rows.ArrowNames(t.Context(), rows.Rename(t.Context(), bytes.NewReader(stream[:40]), []string{"id", "v"})); err == nil {
		t.Error("a stream that is cut")
	}
}

package format

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// TestRefit: changes of a schema before have the columns of a later one by field id.
func TestRefit(t *testing.T) {
	was := lake.Schema{Key: []string{"id"}, Columns: []lake.Column{
		{ID: 1, Name: "id", Type: lake.Type{Kind: lake.Integer}}, {ID: 2, Name: "a", Type: lake.Type{Kind: lake.Varchar}, Nullable: true},
		{ID: 3, Name: "f", Type: lake.Type{Kind: lake.Float}, Nullable: true},
	}}
	now := lake.Schema{ID: 4, Key: []string{"id"}, Columns: []lake.Column{
		{ID: 1, Name: "id", Type: lake.Type{Kind: lake.Bigint}}, {ID: 3, Name: "f", Type: lake.Type{Kind: lake.Double}, Nullable: true},
		{ID: 5, Name: "a", Type: lake.Type{Kind: lake.Date}, Nullable: true},
	}}
	b := array.NewRecordBuilder(memory.DefaultAllocator, ChangesSchema(was))
	defer b.Release()
	b.Field(0).(*array.Int32Builder).AppendValues([]int32{7, -8}, nil)
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"x", "y"}, nil)
	b.Field(2).(*array.Float32Builder).AppendValues([]float32{0.5, 0}, []bool{true, false})
	c := Changes{Rows: b.NewRecordBatch(), Ops: []uint8{OpUpsert, OpDelete}}
	defer c.Rows.Release()
	got, err := Refit(c, now)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Rows.Release()
	if !got.Rows.Schema().Equal(ChangesSchema(now)) || fmt.Sprint(got.Ops) != "[0 1]" {
		t.Fatalf("%v, %v", got.Rows.Schema(), got.Ops)
	}
	if text := fmt.Sprint(got.Rows.Column(0), got.Rows.Column(1), got.Rows.Column(2)); text != "[7 -8] [0.5 (null)] [(null) (null)]" {
		t.Error(text)
	}
	now.Columns[0].Type = lake.Type{Kind: lake.UUID}
	if _, err := Refit(c, now); err == nil {
		t.Error("a number became a UUID")
	}
}

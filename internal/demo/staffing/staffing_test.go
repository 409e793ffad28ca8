package staffing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/zeebo/xxh3"

	"tarn/internal/demo/staffing"
)

// The sums below are of the published data set: when one changes, the answers
// in the README and in every benchmark change with it.
var golden = map[string]string{
	"clients":    "5bf1a3c0e5a81f764eabd415536ea89d",
	"candidates": "cf3cc55fa6bf7736323a6ebc22405c66",
	"job_orders": "1c44e708a29c82dd926f78737e4012db",
	"placements": "6914fa36649608c4bafd82faab49cd54",
	"timesheets": "6d534746b1b8673e4ed9019535fe5a79",
	"call_log":   "03d2518b01527c1c76965b56ec1e6660",
	"email_log":  "20bd16180c0cce777da323c844cf213f",
}

func newSet(t *testing.T, scale float64) *staffing.Set {
	t.Helper()
	s, err := staffing.New(staffing.DefaultSeed, scale)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheFullSetHasItsRows(t *testing.T) {
	s := newSet(t, 1)
	want := map[string]int64{
		"clients": 2_000, "candidates": 100_000, "job_orders": 15_000, "placements": 50_000,
		"timesheets": 1_000_000, "call_log": 800_000, "email_log": 500_000,
	}
	for _, table := range s.Tables() {
		if table.Rows != want[table.Name] {
			t.Errorf("%s: %d rows, want %d", table.Name, table.Rows, want[table.Name])
		}
	}
	if s.Rows() != 2_467_000 {
		t.Errorf("%d rows in all, want 2,467,000", s.Rows())
	}
}

func TestValuesAreTheSameOnEveryMachine(t *testing.T) {
	s := newSet(t, 0.02)
	for _, table := range s.Tables() {
		sum := xxh3.New()
		rec := s.Record(table, 1, table.Rows)
		if err := array.RecordToJSON(rec, sum); err != nil {
			t.Fatal(err)
		}
		rec.Release()
		if got := fmt.Sprintf("%x", sum.Sum128().Bytes()); got != golden[table.Name] {
			t.Errorf("%s: sum %s, want %s", table.Name, got, golden[table.Name])
		}
	}
}

func TestARowDoesNotDependOnItsBatch(t *testing.T) {
	s := newSet(t, 0.02)
	table, _ := s.Table("timesheets")
	rec := s.Record(table, 101, 200)
	defer rec.Release()
	ids := rec.Column(0).(*array.Int64)
	status := rec.Column(8).(*array.String)
	for i := range int(rec.NumRows()) {
		if row := s.Timesheet(int64(101 + i)); ids.Value(i) != row.ID || status.Value(i) != row.Status {
			t.Fatalf("row %d of the batch is %d %s, alone it is %d %s", i, ids.Value(i), status.Value(i), row.ID, row.Status)
		}
	}
}

func TestForeignKeysMeetTheirRows(t *testing.T) {
	for _, scale := range []float64{0.000001, 0.001, 0.02} {
		s := newSet(t, scale)
		rows := map[string]int64{}
		for _, table := range s.Tables() {
			rows[table.Key[0]] = table.Rows
		}
		for _, table := range s.Tables() {
			rec := s.Record(table, 1, table.Rows)
			for i, f := range rec.Schema().Fields() {
				limit, ok := rows[f.Name]
				if !ok {
					continue
				}
				for _, v := range rec.Column(i).(*array.Int64).Int64Values() {
					if v < 1 || v > limit {
						t.Fatalf("scale %v: %s.%s is %d, which has no row among %d", scale, table.Name, f.Name, v, limit)
					}
				}
			}
			rec.Release()
		}
	}
}

func TestParquetHoldsTheRows(t *testing.T) {
	s := newSet(t, 0.02)
	dir := t.TempDir()
	for _, table := range s.Tables() {
		written := int64(0)
		path, err := s.WriteParquet(t.Context(), table, dir, func(n int64) { written += n })
		if err != nil {
			t.Fatal(err)
		}
		first, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if r.NumRows() != table.Rows || written != table.Rows {
			t.Errorf("%s: %d rows in the file, %d reported, want %d", table.Name, r.NumRows(), written, table.Rows)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteParquet(t.Context(), table, dir, nil); err != nil {
			t.Fatal(err)
		}
		if second, _ := os.ReadFile(path); string(first) != string(second) {
			t.Errorf("%s: written twice, the files differ", table.Name)
		}
	}
}

func TestACancelledWriteLeavesNoFile(t *testing.T) {
	s := newSet(t, 0.1)
	ctx, cancel := context.WithCancel(t.Context())
	table, _ := s.Table("timesheets")
	dir := t.TempDir()
	_, err := s.WriteParquet(ctx, table, dir, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a cancelled context", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files left", len(left))
	}
}

func TestScaleIsChecked(t *testing.T) {
	for _, scale := range []float64{0, -1, 1001} {
		if _, err := staffing.New(1, scale); err == nil {
			t.Errorf("scale %v was taken", scale)
		}
	}
}

// Money is kept exactly, so that the demo can compare sums to the cent.
func TestMoneyIsDecimal(t *testing.T) {
	s := newSet(t, 0.001)
	table, _ := s.Table("timesheets")
	for _, name := range []string{"hours_regular", "hours_overtime", "bill_rate", "pay_rate"} {
		f, _ := table.Schema().FieldsByName(name)
		if _, ok := f[0].Type.(*arrow.Decimal128Type); !ok {
			t.Errorf("%s is %s", name, f[0].Type)
		}
	}
}

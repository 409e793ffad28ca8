package handover

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tarn/internal/handover/sparkpb"
	"tarn/internal/lake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sendBatch = func(rows int64, data []byte) error

// asksSpark gives the rows that a fake server answers with, and the error.
func asksSpark(t *testing.T, f *fakeSpark, q Query, options ...func(*Options)) (rows int64, err error) {
	t.Helper()
	o := Options{SparkURL: f.url}
	for _, set := range options {
		set(&o)
	}
	c, err := NewSpark(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	return countRows(t.Context(), c, q)
}

func countRows(ctx context.Context, c Cluster, q Query) (rows int64, err error) {
	a, err := c.Query(ctx, q)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	if _, err := Columns(a.Schema()); err != nil {
		return 0, err
	}
	for {
		rec, err := a.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows += rec.NumRows()
		rec.Release()
	}
}

// TestSparkSession: a query has a session of its own, with settings and a place for names,
// which is released.
func TestSparkSession(t *testing.T) {
	f := newFakeSpark(t)
	var asked *sparkpb.SQL
	f.answer = func(sql *sparkpb.SQL, send sendBatch, _ context.Context) error {
		asked = sql
		return errors.Join(send(2, numbers(t, 1, 2)), send(0, numbers(t)), send(1, numbers(t, 3)))
	}
	rows, err := asksSpark(t, f, Query{SQL: `SELECT "n" FROM d WHERE n < $1`, Params: []byte(`[7]`)}, func(o *Options) { o.Catalog = "other" })
	if err != nil || rows != 3 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	if asked.Query != "SELECT `n`  FROM d WHERE n < :p1" || asked.NamedArguments["p1"].GetLiteral().GetLong() != 7 {
		t.Errorf("asked %v", asked)
	}
	if f.mu.used != "USE `other`.`main`" || f.mu.configs["spark.sql.variable.substitute"] != "false" || f.mu.configs["spark.sql.session.timeZone"] != "UTC" {
		t.Errorf("%s with %v", f.mu.used, f.mu.configs)
	}
	if len(f.mu.sessions) != 1 || !slices.Equal(f.mu.sessions, f.mu.released) || len(f.mu.interrupted) != 0 {
		t.Errorf("sessions %v, released %v, interrupted %v", f.mu.sessions, f.mu.released, f.mu.interrupted)
	}
}

// TestSparkFaults: what is no whole answer is an error with a code.
func TestSparkFaults(t *testing.T) {
	fails := func(err error) func(*sparkpb.SQL, sendBatch, context.Context) error {
		return func(*sparkpb.SQL, sendBatch, context.Context) error { return err }
	}
	told := func(state, class, words string) error {
		st, err := status.New(codes.Internal, words).WithDetails(&errdetails.ErrorInfo{Metadata: map[string]string{"sqlState": state, "errorClass": class}})
		if err != nil {
			t.Fatal(err)
		}
		return st.Err()
	}
	union := arrow.NewSchema([]arrow.Field{{Name: "u", Type: arrow.ListOf(arrow.FixedWidthTypes.Duration_us)}}, nil)
	for name, c := range map[string]struct {
		answer func(*sparkpb.SQL, sendBatch, context.Context) error
		code   lake.Code
		says   string
	}{
		"bad SQL":         {fails(told("42703", "UNRESOLVED_COLUMN", "[UNRESOLVED_COLUMN] no x;\n'Project")), lake.CodeSQLInvalid, "Spark: [UNRESOLVED_COLUMN] no x"},
		"a division by 0": {fails(told("22012", "DIVIDE_BY_ZERO", "zero")), lake.CodeSQLInvalid, "zero"},
		"no table":        {fails(told("42P01", "TABLE_OR_VIEW_NOT_FOUND", "d")), lake.CodeEngineFailed, "does not find"},
		"a lost executor": {fails(told("", "", "Job aborted due to stage failure")), lake.CodeEngineFailed, "Job aborted"},
		"no words":        {fails(status.Error(codes.Unknown, "")), lake.CodeEngineFailed, "Spark"},
		"it is stopping":  {fails(status.Error(codes.Unavailable, "bye")), lake.CodeEngineUnavailable, "bye"},
		"not let in":      {fails(status.Error(codes.PermissionDenied, "no")), lake.CodeEngineUnavailable, "let tarn in"},
		"no batch":        {fails(nil), lake.CodeEngineFailed, "no columns"},
		"cut within": {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error {
			return errors.Join(send(1, numbers(t, 1)), status.Error(codes.Unavailable, "gone"))
		}, lake.CodeEngineFailed, "cut"},
		"an error within": {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error {
			if err := send(1, numbers(t, 1)); err != nil {
				return err
			}
			return told("22003", "ARITHMETIC_OVERFLOW", "overflow")
		}, lake.CodeSQLInvalid, "overflow"},
		"not the rows": {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error { return send(5, numbers(t, 1)) }, lake.CodeEngineFailed, "5"},
		"no Arrow":     {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error { return send(1, []byte("nonsense")) }, lake.CodeEngineFailed, "cut"},
		"half a batch": {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error {
			whole := numbers(t, 1, 2, 3)
			return send(3, whole[:len(whole)-40])
		}, lake.CodeEngineFailed, ""},
		"an unknown type": {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error { return send(0, streamOf(t, union)) }, lake.CodeUnsupported, "duration"},
		"other columns": {func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error {
			two := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.BinaryTypes.String}}, nil)
			b := array.NewRecordBuilder(memory.DefaultAllocator, two)
			defer b.Release()
			b.Field(0).(*array.StringBuilder).Append("x")
			rec := b.NewRecordBatch()
			defer rec.Release()
			return errors.Join(send(1, numbers(t, 1)), send(1, streamOf(t, two, rec)))
		}, lake.CodeEngineFailed, "utf8"},
	} {
		f := newFakeSpark(t)
		f.answer = c.answer
		if _, err := asksSpark(t, f, Query{SQL: "SELECT 1"}); lake.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%s), want %s %q", name, err, lake.CodeOf(err), c.code, c.says)
		}
		if len(f.mu.released) != len(f.mu.sessions) {
			t.Errorf("%s: %d sessions, %d released", name, len(f.mu.sessions), len(f.mu.released))
		}
	}
}

func TestSparkToken(t *testing.T) {
	f := newFakeSpark(t)
	f.token = "secret"
	f.answer = func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error { return send(1, numbers(t, 1)) }
	if _, err := asksSpark(t, f, Query{SQL: "SELECT 1"}); lake.CodeOf(err) != lake.CodeEngineUnavailable || !strings.Contains(lake.HintOf(err), "token") {
		t.Errorf("without a token: %v", err)
	}
	if _, err := asksSpark(t, f, Query{SQL: "SELECT 1"}, func(o *Options) { o.SparkURL += "/;token=secret;use_ssl=false" }); err != nil {
		t.Errorf("with the token: %v", err)
	}
}

// TestSparkCancel: the end of the context, and closing, end the query in Spark.
func TestSparkCancel(t *testing.T) {
	for _, how := range []string{"context", "close"} {
		f := newFakeSpark(t)
		f.answer = func(_ *sparkpb.SQL, send sendBatch, ctx context.Context) error {
			if err := send(1, numbers(t, 1)); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		c, err := NewSpark(Options{SparkURL: f.url})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		a, err := c.Query(ctx, Query{SQL: "SELECT 1"})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := a.Next()
		if err != nil {
			t.Fatal(err)
		}
		rec.Release()
		if how == "context" {
			cancel()
			if _, err := a.Next(); lake.CodeOf(err) != lake.CodeCancelled {
				t.Errorf("after the end of the context: %v", err)
			}
		}
		a.Close()
		a.Close()
		if err := c.Close(); err != nil { // waits for the release
			t.Error(err)
		}
		cancel()
		if len(f.mu.released) != 1 || how == "close" && len(f.mu.interrupted) != 1 {
			t.Errorf("%s: released %v, interrupted %v", how, f.mu.released, f.mu.interrupted)
		}
	}
}

// TestSparkComesBack: a server that was down is asked anew.
func TestSparkComesBack(t *testing.T) {
	f := newFakeSpark(t)
	c, err := NewSpark(Options{SparkURL: "sc://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if _, err := c.Query(t.Context(), Query{SQL: "SELECT 1"}); lake.CodeOf(err) != lake.CodeEngineUnavailable || !strings.Contains(lake.HintOf(err), "spark_url") {
			t.Errorf("nobody listens: %v", err)
		}
	}
	f.answer = func(_ *sparkpb.SQL, send sendBatch, _ context.Context) error { return send(1, numbers(t, 1)) }
	if _, err := asksSpark(t, f, Query{SQL: "SELECT 1"}); err != nil {
		t.Error(err)
	}
}

// TestDurations: an interval of days and seconds is an INTERVAL.
func TestDurations(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "d", Type: arrow.FixedWidthTypes.Duration_us, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.DurationBuilder).AppendValues([]arrow.Duration{86_400_000_001, -1, 0}, []bool{true, true, false})
	rec := b.NewRecordBatch()
	defer rec.Release()
	out, err := present(rec, presented(schema))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	col := out.Column(0).(*array.MonthDayNanoInterval)
	if col.Value(0) != (arrow.MonthDayNanoInterval{Days: 1, Nanoseconds: 1000}) || col.Value(1) != (arrow.MonthDayNanoInterval{Nanoseconds: -1000}) || !col.IsNull(2) {
		t.Errorf("%v", col)
	}
}

package job

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"tarn/internal/lake"
)

// words are the parts of DuckDB's spelling of a type that are not names: a
// quoted name is matched whole, so that it is left alone.
var words = regexp.MustCompile(`"(?:[^"]|"")*"|TIME WITH TIME ZONE|TIMESTAMP WITH TIME ZONE|[A-Za-z_]+`)

// typeOf is what a type found in an input becomes. Integers of any width up to
// 32 bits unsigned become BIGINT (columns that are joined should have one type),
// UBIGINT becomes DECIMAL(20,0), JSON of mixed kinds its text. The times of
// Parquet that are marked as adjusted to UTC, as pyarrow marks all of them, are
// times of day. What Iceberg cannot hold is CodeUnsupported.
func typeOf(found string) (lake.Type, error) {
	spelled := words.ReplaceAllStringFunc(found, func(w string) string {
		switch w {
		case "JSON", `"NULL"`:
			return "VARCHAR"
		case "TIME WITH TIME ZONE":
			return "TIME"
		}
		return w
	})
	t, err := lake.ParseType(spelled)
	if err != nil {
		return lake.Type{}, err
	}
	return widened(t), nil
}

func widened(t lake.Type) lake.Type {
	if t.Kind == lake.Integer {
		return lake.Type{Kind: lake.Bigint}
	}
	if len(t.Fields) > 0 {
		parts := make([]lake.Column, len(t.Fields))
		for i, f := range t.Fields {
			f.Type = widened(f.Type)
			parts[i] = f
		}
		t.Fields = parts
	}
	return t
}

// wider is the type that keeps every value of both; for BIGINT and DOUBLE that
// is checked value by value (see converted).
func wider(a, b lake.Type) (lake.Type, bool) {
	if a.Equal(b) {
		return a, true
	}
	if a.Kind > b.Kind {
		a, b = b, a
	}
	switch {
	case a.Kind == lake.Bigint && b.Kind == lake.Double,
		a.Kind == lake.Float && b.Kind == lake.Double,
		a.Kind == lake.Date && b.Kind == lake.Timestamp:
		return b, true
	case a.Kind == lake.Bigint && b.Kind == lake.Decimal:
		return widerDecimal(lake.Type{Kind: lake.Decimal, Precision: 19}, b)
	case a.Kind == lake.Decimal && b.Kind == lake.Decimal:
		return widerDecimal(a, b)
	}
	return lake.Type{}, false
}

func widerDecimal(a, b lake.Type) (lake.Type, bool) {
	scale := max(a.Scale, b.Scale)
	t := lake.Type{Kind: lake.Decimal, Precision: max(a.Precision-a.Scale, b.Precision-b.Scale) + scale, Scale: scale}
	return t, t.Precision <= 38
}

// wholeDouble is the largest integer up to which a DOUBLE holds all integers.
const wholeDouble = 1 << 53

// converted is the expression that gives a column of an input the type wanted.
// A value that would not be kept fails the query with words of its own.
func converted(x string, c inputColumn, want lake.Type) string {
	switch {
	case c.found == want.SQL():
		return x
	case c.typ.Kind == lake.Bigint && want.Kind == lake.Double:
		return fmt.Sprintf("CASE WHEN abs(%[1]s::HUGEINT) > %[2]d THEN error(%[3]s || %[1]s::VARCHAR) ELSE %[1]s::DOUBLE END",
			x, wholeDouble, lake.QuoteString(fmt.Sprintf("column %q is DOUBLE in another file and cannot keep ", c.name)))
	default:
		return fmt.Sprintf("CAST(%s AS %s)", x, want.SQL())
	}
}

// checkNanoseconds refuses a column of TIMESTAMP_NS in which a value is not
// whole µs, naming the first row.
func (s *session) checkNanoseconds(ctx context.Context, in *input, c inputColumn) error {
	if !strings.Contains(c.found, "TIMESTAMP_NS") {
		return nil
	}
	if c.found != "TIMESTAMP_NS" {
		return lake.Errorf(lake.CodeUnsupported, "%s: column %q of type %s: nanoseconds within a nested type are not supported", in.file.Name, c.name, c.found).
			WithHint("write it with microseconds")
	}
	x := lake.QuoteIdent(c.name)
	found, err := s.c.Rows(ctx, fmt.Sprintf("SELECT r, v FROM (SELECT row_number() OVER () AS r, %s::VARCHAR AS v, epoch_ns(%s) %% 1000 <> 0 AS fine FROM %s) WHERE fine LIMIT 1",
		x, x, in.from(nil)))
	if err != nil {
		return s.readFailure(err)
	}
	if len(found) > 0 {
		return lake.Errorf(lake.CodeRowsInvalid, "%s row %v: column %q: %v is not a whole microsecond, and Iceberg keeps no finer time",
			in.file.Name, found[0][0], c.name, found[0][1]).WithHint("round the column to microseconds")
	}
	return nil
}

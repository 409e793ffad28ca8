package job

import (
	"fmt"
	"regexp"

	"tarn/internal/lake"
)

// words are the parts of DuckDB's spelling of a type that are not names: a
// quoted name is matched whole, so that it is left alone.
var words = regexp.MustCompile(`"(?:[^"]|"")*"|TIME WITH TIME ZONE|TIMESTAMP WITH TIME ZONE|[A-Za-z_]+`)

// typeOf is what a type found in an input becomes. Integers of any width up to
// 32 bits unsigned become BIGINT (columns that are joined should have one type),
// UBIGINT becomes DECIMAL(20,0), JSON its text. The times of Parquet that are
// marked as adjusted to UTC, as pyarrow marks all of them, are times of day. What
// Iceberg cannot hold is CodeUnsupported.
func typeOf(found string) (lake.Type, error) {
	spelled := words.ReplaceAllStringFunc(found, func(w string) string {
		switch w {
		case "JSON", `"NULL"`:
			return "VARCHAR"
		case "TIME WITH TIME ZONE", "TIME_NS":
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

package handover

import (
	"database/sql"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"tarn/internal/lake"
)

// trinoColumnType is the Arrow type of a column of Trino's. Of a nested type the client
// gives the whole text, and of others the name and its numbers.
func trinoColumnType(c *sql.ColumnType) (arrow.DataType, error) {
	text := strings.ToLower(c.DatabaseTypeName())
	if precision, scale, ok := c.DecimalSize(); ok && !strings.Contains(text, "(") {
		numbers := strconv.FormatInt(precision, 10)
		if text == "decimal" {
			numbers += "," + strconv.FormatInt(scale, 10)
		}
		name, zone, _ := strings.Cut(text, " with ")
		if text = name + "(" + numbers + ")"; zone != "" {
			text += " with " + zone
		}
	}
	return parseTrinoType(text)
}

// parseTrinoType reads a type as Trino writes it: bigint, decimal(10,2), timestamp(6) with
// time zone, array(…), map(…, …), row(name type, …). Names of fields are in lower case, as
// Trino's own are.
func parseTrinoType(text string) (arrow.DataType, error) {
	p := trinoTypes{text: text, left: text}
	t, err := p.read()
	if err == nil && p.left != "" {
		err = p.unknown()
	}
	return t, err
}

type trinoTypes struct{ text, left string }

func (p *trinoTypes) unknown() error {
	return lake.Errorf(lake.CodeUnsupported, "Trino answers with values of the type %s, which has no spelling here", p.text).WithHint("cast them, for example to VARCHAR")
}

var trinoScalars = map[string]arrow.DataType{
	"boolean": arrow.FixedWidthTypes.Boolean, "tinyint": arrow.PrimitiveTypes.Int8, "smallint": arrow.PrimitiveTypes.Int16, "integer": arrow.PrimitiveTypes.Int32,
	"bigint": arrow.PrimitiveTypes.Int64, "real": arrow.PrimitiveTypes.Float32, "double": arrow.PrimitiveTypes.Float64, "varchar": arrow.BinaryTypes.String,
	"char": arrow.BinaryTypes.String, "json": arrow.BinaryTypes.String, "varbinary": arrow.BinaryTypes.Binary, "date": arrow.FixedWidthTypes.Date32,
	"interval year to month": arrow.FixedWidthTypes.MonthInterval, "interval day to second": arrow.FixedWidthTypes.MonthDayNanoInterval, "unknown": arrow.Null,
}

// read reads the type that comes next.
func (p *trinoTypes) read() (arrow.DataType, error) {
	end := strings.IndexAny(p.left, "(),")
	if end < 0 {
		end = len(p.left)
	}
	name := strings.TrimSpace(p.left[:end])
	p.left = p.left[end:]
	switch name {
	case "array", "map", "row":
		return p.nested(name)
	}
	numbers, err := p.numbers()
	if err != nil {
		return nil, err
	}
	switch rest := p.suffix(); {
	case rest != "":
		name += " " + rest
	}
	switch {
	case name == "decimal" && len(numbers) == 2:
		return &arrow.Decimal128Type{Precision: numbers[0], Scale: numbers[1]}, nil
	case name == "uuid":
		return extensions.NewUUIDType(), nil
	case name == "time" && trinoDigits(numbers) <= 9:
		return arrow.FixedWidthTypes.Time64us, p.fits(numbers, 6)
	case name == "timestamp" && trinoDigits(numbers) <= 6:
		return &arrow.TimestampType{Unit: arrow.Microsecond}, nil
	case name == "timestamp" && trinoDigits(numbers) <= 9:
		return &arrow.TimestampType{Unit: arrow.Nanosecond}, nil
	case name == "timestamp with time zone":
		return arrow.FixedWidthTypes.Timestamp_us, p.fits(numbers, 6)
	}
	if t := trinoScalars[name]; t != nil {
		return t, nil
	}
	return nil, p.unknown()
}

// trinoDigits is how many digits of a second a type has.
func trinoDigits(numbers []int32) int32 {
	if len(numbers) == 0 {
		return 3
	}
	return numbers[0]
}

func (p *trinoTypes) fits(numbers []int32, most int32) error {
	if trinoDigits(numbers) > most {
		return p.unknown()
	}
	return nil
}

// numbers reads (10,2) where it comes next.
func (p *trinoTypes) numbers() (out []int32, err error) {
	if !strings.HasPrefix(p.left, "(") {
		return nil, nil
	}
	end := strings.IndexByte(p.left, ')')
	if end < 0 {
		return nil, p.unknown()
	}
	for part := range strings.SplitSeq(p.left[1:end], ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 32)
		if err != nil {
			return nil, p.unknown()
		}
		out = append(out, int32(n))
	}
	p.left = p.left[end+1:]
	return out, nil
}

// suffix reads what follows the numbers: with time zone.
func (p *trinoTypes) suffix() string {
	const zone = "with time zone"
	if rest, ok := strings.CutPrefix(strings.TrimLeft(p.left, " "), zone); ok {
		p.left = rest
		return zone
	}
	return ""
}

// nested reads the parts of an array, a map or a row.
func (p *trinoTypes) nested(kind string) (arrow.DataType, error) {
	var fields []arrow.Field
	for p.take("(") || len(fields) > 0 && p.take(",") {
		f := arrow.Field{Nullable: true}
		var err error
		if kind == "row" {
			if f.Name, err = p.fieldName(); err != nil {
				return nil, err
			}
		}
		if f.Type, err = p.read(); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	if !p.take(")") {
		return nil, p.unknown()
	}
	switch {
	case kind == "array" && len(fields) == 1:
		return arrow.ListOf(fields[0].Type), nil
	case kind == "map" && len(fields) == 2:
		return arrow.MapOf(fields[0].Type, fields[1].Type), nil
	case kind == "row":
		return arrow.StructOf(fields...), nil
	}
	return nil, p.unknown()
}

func (p *trinoTypes) take(mark string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.left, " "), mark)
	if ok {
		p.left = strings.TrimLeft(rest, " ")
	}
	return ok
}

// fieldName reads the name of a row's field: a word, or one in quotes. A field without
// a name is its type alone.
func (p *trinoTypes) fieldName() (string, error) {
	if p.take(`"`) {
		for at := 0; at < len(p.left); at++ {
			switch {
			case p.left[at] != '"':
			case strings.HasPrefix(p.left[at:], `""`):
				at++
			default:
				name := strings.ReplaceAll(p.left[:at], `""`, `"`)
				p.left = strings.TrimLeft(p.left[at+1:], " ")
				return name, nil
			}
		}
		return "", p.unknown()
	}
	word, rest, ok := strings.Cut(p.left, " ")
	if !ok || strings.ContainsAny(word, "(),") || trinoNameless(p.left) {
		return "", nil
	}
	p.left = rest
	return word, nil
}

// trinoNameless says whether a type of several words stands there, without a name.
func trinoNameless(s string) bool {
	for _, words := range []string{"interval year to month", "interval day to second", "timestamp with time zone", "time with time zone"} {
		if strings.HasPrefix(s, words) {
			return true
		}
	}
	return false
}

//go:build duckdb_arrow

package duck

import (
	"fmt"
	"regexp"
	"strings"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

var typeNames = map[duckdb.Type]string{
	duckdb.TypeBoolean: "BOOLEAN", duckdb.TypeTinyInt: "TINYINT", duckdb.TypeSmallInt: "SMALLINT",
	duckdb.TypeInteger: "INTEGER", duckdb.TypeBigInt: "BIGINT", duckdb.TypeHugeInt: "HUGEINT",
	duckdb.TypeUTinyInt: "UTINYINT", duckdb.TypeUSmallInt: "USMALLINT", duckdb.TypeUInteger: "UINTEGER",
	duckdb.TypeUBigInt: "UBIGINT", duckdb.TypeUHugeInt: "UHUGEINT", duckdb.TypeBigNum: "BIGNUM",
	duckdb.TypeFloat: "FLOAT", duckdb.TypeDouble: "DOUBLE", duckdb.TypeVarchar: "VARCHAR",
	duckdb.TypeBlob: "BLOB", duckdb.TypeBit: "BIT", duckdb.TypeUUID: "UUID", duckdb.TypeDate: "DATE",
	duckdb.TypeTime: "TIME", duckdb.TypeTimeNS: "TIME_NS", duckdb.TypeTimeTZ: "TIME WITH TIME ZONE",
	duckdb.TypeTimestamp: "TIMESTAMP", duckdb.TypeTimestampS: "TIMESTAMP_S", duckdb.TypeTimestampMS: "TIMESTAMP_MS",
	duckdb.TypeTimestampNS: "TIMESTAMP_NS", duckdb.TypeTimestampTZ: "TIMESTAMP WITH TIME ZONE",
	duckdb.TypeInterval: "INTERVAL", duckdb.TypeSQLNull: `"NULL"`, duckdb.TypeVariant: "VARIANT",
	duckdb.TypeGeometry: "GEOMETRY",
}

// typeSQL spells a type as DuckDB's typeof does.
func typeSQL(t duckdb.LogicalType) string {
	if alias := duckdb.LogicalTypeGetAlias(t); alias != "" {
		return alias
	}
	id := duckdb.GetTypeId(t)
	switch id {
	case duckdb.TypeDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", duckdb.DecimalWidth(t), duckdb.DecimalScale(t))
	case duckdb.TypeEnum:
		values := make([]string, duckdb.EnumDictionarySize(t))
		for i := range values {
			values[i] = lake.QuoteString(duckdb.EnumDictionaryValue(t, duckdb.IdxT(i)))
		}
		return "ENUM(" + strings.Join(values, ", ") + ")"
	case duckdb.TypeList, duckdb.TypeArray, duckdb.TypeStruct, duckdb.TypeMap, duckdb.TypeUnion:
		return nestedSQL(id, t)
	}
	if name, ok := typeNames[id]; ok {
		return name
	}
	return fmt.Sprintf("<type %d>", id)
}

func nestedSQL(id duckdb.Type, t duckdb.LogicalType) string {
	var spelled []string
	eachPart(id, t, func(name string, part duckdb.LogicalType) error {
		text := typeSQL(part)
		if id == duckdb.TypeStruct || id == duckdb.TypeUnion {
			text = strings.TrimLeft(fieldName(name)+" "+text, " ")
		}
		spelled = append(spelled, text)
		return nil
	})
	switch id {
	case duckdb.TypeList:
		return spelled[0] + "[]"
	case duckdb.TypeArray:
		return fmt.Sprintf("%s[%d]", spelled[0], duckdb.ArrayTypeArraySize(t))
	case duckdb.TypeMap:
		return "MAP(" + strings.Join(spelled, ", ") + ")"
	case duckdb.TypeUnion:
		return "UNION(" + strings.Join(spelled, ", ") + ")"
	default:
		return "STRUCT(" + strings.Join(spelled, ", ") + ")"
	}
}

// eachPart calls f for the parts of a nested type: the element, the fields, the
// key and the value, the members. It stops at the first error.
func eachPart(id duckdb.Type, t duckdb.LogicalType, f func(name string, part duckdb.LogicalType) error) error {
	part := func(name string, p duckdb.LogicalType) error {
		defer duckdb.DestroyLogicalType(&p)
		return f(name, p)
	}
	switch id {
	case duckdb.TypeList:
		return part("element", duckdb.ListTypeChildType(t))
	case duckdb.TypeArray:
		return part("element", duckdb.ArrayTypeChildType(t))
	case duckdb.TypeMap:
		if err := part("key", duckdb.MapTypeKeyType(t)); err != nil {
			return err
		}
		return part("value", duckdb.MapTypeValueType(t))
	case duckdb.TypeStruct:
		for i := range duckdb.StructTypeChildCount(t) {
			if err := part(duckdb.StructTypeChildName(t, i), duckdb.StructTypeChildType(t, i)); err != nil {
				return err
			}
		}
	case duckdb.TypeUnion:
		for i := range duckdb.UnionTypeMemberCount(t) {
			if err := part(duckdb.UnionTypeMemberName(t, i), duckdb.UnionTypeMemberType(t, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

var bareName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// fieldName quotes the name of a struct's field where SQL needs it; the fields
// of row(1, 2) have none.
func fieldName(s string) string {
	if s == "" || bareName.MatchString(s) && !sqltext.Reserved[s] {
		return s
	}
	return lake.QuoteIdent(s)
}

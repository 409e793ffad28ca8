package serving

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"tarn/internal/lake"
)

// literal is a value of a key column as SQL of exactly its type, which DuckDB
// folds and pushes down to the files. ok is false for values that have no safe
// spelling: those go through a table.
func literal(t lake.Type, arr arrow.Array, row int) (sql string, ok bool) {
	switch a := arr.(type) {
	case *array.Boolean:
		return strconv.FormatBool(a.Value(row)), true
	case *array.Int32:
		return cast(strconv.FormatInt(int64(a.Value(row)), 10), t), true
	case *array.Int64:
		return cast(strconv.FormatInt(a.Value(row), 10), t), true
	case *array.Decimal128:
		return cast(a.Value(row).ToString(int32(t.Scale)), t), true
	case *array.String:
		v := a.Value(row)
		if strings.IndexByte(v, 0) >= 0 { // a text for DuckDB ends there
			return "", false
		}
		return lake.QuoteString(v), true
	case *array.Binary:
		return "from_hex('" + hex.EncodeToString(a.Value(row)) + "')", true
	case *extensions.UUIDArray:
		return cast(a.Value(row).String(), t), true
	}
	return "", false
}

func cast(text string, t lake.Type) string {
	return "CAST(" + lake.QuoteString(text) + " AS " + t.SQL() + ")"
}

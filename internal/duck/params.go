//go:build duckdb_arrow

package duck

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// Params are the values of a statement's parameters: Positional for ? and $1,
// Named for $name. A statement has the one kind or the other, and every value
// must be used.
//
// Values, and the types that they have in the statement:
//
//	nil                      NULL
//	bool                     BOOLEAN
//	int, int8 … int64        BIGINT
//	uint8 … uint64           BIGINT, or UBIGINT where it does not fit
//	float32, float64         DOUBLE
//	*big.Int                 HUGEINT
//	json.Number              as DuckDB reads such a literal: BIGINT, HUGEINT where it does not
//	                         fit, DECIMAL with a point (up to 38 digits), else DOUBLE; an
//	                         integer beyond HUGEINT is refused, it would lose digits
//	string                   VARCHAR, which DuckDB casts to what it is compared with
//	[]byte                   BLOB
//	uuid.UUID                UUID
//	time.Time                TIMESTAMP WITH TIME ZONE, cut to microseconds
//	arrow.Date32, Timestamp  DATE, TIMESTAMP (microseconds)
//	[]any                    LIST, of the one type that fits all elements
//	map[string]any           STRUCT, its fields by name
type Params struct {
	Positional []any
	Named      map[string]any
}

// bind gives a prepared statement its values. It fails with CodeInvalidRequest.
func (p Params) bind(statement duckdb.PreparedStatement) error {
	n := int(duckdb.NParams(statement))
	if len(p.Positional) > 0 && len(p.Named) > 0 {
		return lake.Errorf(lake.CodeInvalidRequest, "params are positional or named, not both")
	}
	names := make([]string, n)
	for i := range names {
		names[i] = duckdb.ParameterName(statement, duckdb.IdxT(i+1))
	}
	if len(p.Named) > 0 {
		return p.bindNamed(statement, names)
	}
	if n != len(p.Positional) {
		e := lake.Errorf(lake.CodeInvalidRequest, "the statement has %d parameters and params gives %d", n, len(p.Positional))
		if i := slices.IndexFunc(names, isName); i >= 0 {
			e = e.WithHint("the statement names its parameters (%s): give params as an object", "$"+names[i])
		}
		return e
	}
	for i, v := range p.Positional {
		index := duckdb.IdxT(i + 1)
		// $2 before $1: the statement numbers its parameters in its own order.
		if duckdb.BindParameterIndex(statement, &index, fmt.Sprint(i+1)) == duckdb.StateError {
			return lake.Errorf(lake.CodeInvalidRequest, "the statement has no parameter $%d", i+1)
		}
		if err := bindOne(statement, index, fmt.Sprint(i+1), v); err != nil {
			return err
		}
	}
	return nil
}

func isName(s string) bool { return strings.Trim(s, "0123456789") != "" }

func (p Params) bindNamed(statement duckdb.PreparedStatement, names []string) error {
	left := maps.Clone(p.Named)
	for i, name := range names {
		given, v, ok := sqltext.Named(left, name)
		if !ok {
			return lake.Errorf(lake.CodeInvalidRequest, "params gives no value for $%s", name)
		}
		delete(left, given)
		if err := bindOne(statement, duckdb.IdxT(i+1), name, v); err != nil {
			return err
		}
	}
	for name := range left {
		return lake.Errorf(lake.CodeInvalidRequest, "the statement has no parameter $%s", name)
	}
	return nil
}

func bindOne(statement duckdb.PreparedStatement, index duckdb.IdxT, name string, v any) error {
	value, err := newValue(v)
	if err != nil {
		return lake.Step("parameter $"+name, err)
	}
	defer duckdb.DestroyValue(&value)
	if duckdb.BindValue(statement, index, value) == duckdb.StateError {
		return lake.Errorf(lake.CodeInvalidRequest, "parameter $%s: DuckDB does not take it: %s", name, duckdb.PrepareError(statement))
	}
	return nil
}

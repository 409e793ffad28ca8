package keyread

import (
	"encoding/json"
	"testing"

	"tarn/internal/lake"
)

func keyed(t *testing.T, typ string, key ...string) lake.Schema {
	t.Helper()
	parsed, err := lake.ParseType(typ)
	if err != nil {
		t.Fatal(err)
	}
	return lake.Schema{Columns: []lake.Column{{Name: "K", Type: parsed}, {Name: "l", Type: parsed}}, Key: key}
}

// A value is a key's where it equals one as it is; any other is compared by DuckDB.
func TestKey(t *testing.T) {
	for _, c := range []struct {
		where, params, typ string
		want               any
	}{
		{"k = 7", "", "BIGINT", int64(7)},
		{"k = 7", " null ", "BIGINT", int64(7)},
		{"k = 7", "[]", "INTEGER", int64(7)},
		{"k = -2147483648", "", "INTEGER", int64(-2147483648)},
		{"k = 2147483648", "", "INTEGER", nil},
		{"k = 2147483648", "", "BIGINT", int64(2147483648)},
		{"k = 7", "", "DECIMAL(4,1)", nil},
		{"k = 7", "", "VARCHAR", nil},
		{"k = '7'", "", "BIGINT", nil},
		{"k = '7'", "", "VARCHAR", "7"},
		{"k = '2020-01-01'", "", "DATE", nil},
		{"l = 7", "", "BIGINT", nil},
		{"k = 7", "[1]", "BIGINT", nil},
		{"k = 7", `{"a":1}`, "BIGINT", nil},
		{"k = ?", "[9007199254740993]", "BIGINT", int64(9007199254740993)},
		{"k = $1", `["x"]`, "VARCHAR", "x"},
		{"k = $1", `["\u0000"]`, "VARCHAR", nil},
		{"k = $1", `["7"]`, "BIGINT", nil},
		{"k = ?", "[7.0]", "BIGINT", nil},
		{"k = ?", "[7e1]", "BIGINT", nil},
		{"k = ?", "[null]", "BIGINT", nil},
		{"k = ?", "[true]", "BIGINT", nil},
		{"k = ?", "[1,2]", "BIGINT", nil},
		{"k = ?", "", "BIGINT", nil},
		{"k = ?", `{"1":1}`, "BIGINT", nil},
	} {
		r, ok := Parse("select * from t where " + c.where)
		if !ok {
			t.Fatalf("%s is not recognised", c.where)
		}
		p, err := ParseParams(json.RawMessage(c.params))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := r.Key(keyed(t, c.typ, "K"), p)
		if ok != (c.want != nil) || ok && got != c.want {
			t.Errorf("%s with %s of %s: %v, %v; want %v", c.where, c.params, c.typ, got, ok, c.want)
		}
	}
	r, _ := Parse("select * from t where k = 7")
	for _, key := range [][]string{nil, {"l"}, {"K", "l"}} {
		if got, ok := r.Key(keyed(t, "BIGINT", key...), Params{}); ok {
			t.Errorf("the key is %v: %v", key, got)
		}
	}
}

func TestParseParamsRefuses(t *testing.T) {
	for _, raw := range []string{"1", "x", "[1", `{"a"}`} {
		if _, err := ParseParams(json.RawMessage(raw)); lake.CodeOf(err) != lake.CodeInvalidRequest {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

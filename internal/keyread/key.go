package keyread

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"tarn/internal/lake"
)

// Key gives what the key of a dataset with a schema is to equal: an int64 within the range of its
// type, or a string. ok is false where the read is not one by the key, whole, or the
// value cannot be held against it without a cast of either: then it is any other SQL.
func (r Read) Key(schema lake.Schema, p Params) (value any, ok bool) {
	if len(schema.Key) != 1 || !strings.EqualFold(schema.Key[0], r.Column) {
		return nil, false
	}
	value = r.Value
	switch {
	case r.Parameter && len(p.Positional) == 1 && len(p.Named) == 0:
		value = p.Positional[0]
	case r.Parameter || len(p.Positional)+len(p.Named) > 0:
		return nil, false
	}
	return fitting(schema.KeySchema().Columns[0].Type, value)
}

// fitting gives a value that a key of a type can equal as it is.
func fitting(t lake.Type, value any) (any, bool) {
	switch v := value.(type) {
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil {
			return nil, false
		}
		return fitting(t, n)
	case int64:
		return v, t.Kind == lake.Bigint || t.Kind == lake.Integer && v >= math.MinInt32 && v <= math.MaxInt32
	case string:
		return v, t.Kind == lake.Varchar && strings.IndexByte(v, 0) < 0
	}
	return nil, false
}

// Params are the values of a query's parameters: an array for ? and $1, an object for
// $name. Numbers are json.Number, with all their digits.
type Params struct {
	Positional []any
	Named      map[string]any
}

// ParseParams reads the values as a client sends them.
func ParseParams(raw json.RawMessage) (Params, error) {
	var p Params
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || string(raw) == "null" {
		return p, nil
	}
	var into any = &p.Positional
	switch raw[0] {
	case '[':
	case '{':
		into = &p.Named
	default:
		return p, lake.Errorf(lake.CodeInvalidRequest, "params is neither an array nor an object")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return p, lake.Errorf(lake.CodeInvalidRequest, "params does not parse: %w", err)
	}
	return p, nil
}

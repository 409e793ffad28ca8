package handover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// value is a parameter's value: nil, bool, int64, float64, string or decimal.
type value any

// decimal is a number that is kept with all its digits.
type decimal struct {
	text             string
	precision, scale int32
}

// bindParams gives the values of the parameters that a text names, one for each place.
// Every value must be used. Numbers have the types that they have in tarn's own queries.
func bindParams(refs []ref, raw json.RawMessage) ([]value, error) {
	list, named, err := readParams(raw)
	if err != nil {
		return nil, err
	}
	out := make([]value, len(refs))
	used := map[string]bool{}
	for i, r := range refs {
		v, given, ok := any(nil), "", false
		if r.name != "" {
			given, v, ok = sqltext.Named(named, r.name)
		} else if ok = r.number <= len(list); ok {
			given, v = strconv.Itoa(r.number), list[r.number-1]
		}
		if !ok {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "params gives no value for %s", r)
		}
		used[given] = true
		if out[i], err = newValue(r, v); err != nil {
			return nil, err
		}
	}
	if n := len(list) + len(named); len(used) != n {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "params gives %d values, and the statement has %d parameters", n, len(used))
	}
	return out, nil
}

func readParams(raw json.RawMessage) (list []any, named map[string]any, err error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if raw[0] == '[' {
		err = d.Decode(&list)
	} else {
		err = d.Decode(&named)
	}
	if err != nil {
		return nil, nil, lake.Errorf(lake.CodeInvalidRequest, "params is neither an array nor an object: %w", err)
	}
	return list, named, nil
}

func newValue(r ref, v any) (value, error) {
	switch v := v.(type) {
	case nil, bool, string:
		return v, nil
	case json.Number:
		return newNumber(r, v.String())
	}
	return nil, lake.Errorf(lake.CodeUnsupported, "parameter %s: a list or an object cannot be handed over", r).
		WithHint("write it into the SQL, or ask without engine")
}

// newNumber takes a number as DuckDB reads the literal: a whole one as BIGINT, with a
// point or beyond that as DECIMAL of up to 38 digits, else as DOUBLE.
func newNumber(r ref, text string) (value, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	whole = strings.TrimLeft(whole, "0")
	if digits := len(whole) + len(fraction); digits <= 38 && !strings.ContainsAny(text, "eE") {
		return decimal{text, int32(max(1, digits)), int32(len(fraction))}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".eE") {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "parameter %s: %s is beyond every number's type", r, text)
	}
	return f, nil
}

// names gives the parameters' names, each once, with its value.
func byName(refs []ref, values []value, name func(ref) string) map[string]value {
	out := map[string]value{}
	for i, r := range refs {
		out[name(r)] = values[i]
	}
	return out
}

func (d decimal) String() string {
	return fmt.Sprintf("DECIMAL(%d,%d) %s", d.precision, d.scale, d.text)
}

// places says whether the parameters are told by their places alone.
func places(refs []ref) bool {
	return !slices.ContainsFunc(refs, func(r ref) bool { return !r.marked })
}

package rows_test

import (
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// look gives the columns that a body shows: "a BIGINT, b VARCHAR".
func look(t testing.TB, f rows.Format, body io.Reader, o rows.DecodeOptions) (string, lake.Schema, error) {
	t.Helper()
	found, err := rows.Look(t.Context(), f, body, o)
	if err != nil {
		return "", lake.Schema{}, err
	}
	var s lake.Schema
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.Name + " " + c.Form.Type().SQL()
		s.Columns = append(s.Columns, lake.Column{Name: c.Name, Type: c.Form.Type(), Nullable: true})
	}
	return strings.Join(names, ", "), s, nil
}

func TestLook(t *testing.T) {
	for _, c := range []struct {
		format     rows.Format
		body, want string
	}{
		{rows.CSV, "a,b,c\n1,x,\n2,1.5,\n", "a BIGINT, b VARCHAR, c VARCHAR"},
		{rows.CSV, "a,\"b\"\"\n c\"\r\n\"1\",\"\"\r\n", "a BIGINT, b\"\n c VARCHAR"},
		{rows.CSV, "a\n\n", "a VARCHAR"},
		{rows.NDJSON, `{"b": 1}` + "\n\n" + `{"a": null, "B": 2.5}`, "b DOUBLE, a VARCHAR"},
		{rows.JSON, `{"a": [[1], ["2024-01-02"]], "b": {"c": null}}`, "a VARCHAR[][], b STRUCT(c VARCHAR)"},
		{rows.JSON, `[{"a": [[1], [2.5], null]}, {"a": null}]`, "a DOUBLE[][]"},
		{rows.NDJSON, `{"a": {"x": 1}}` + "\n" + `{"a": [1]}`, "a VARCHAR"},
	} {
		got, _, err := look(t, c.format, slow{strings.NewReader(c.body)}, rows.DecodeOptions{})
		if err != nil || got != c.want {
			t.Errorf("%s: %s %v, want %s", c.body, got, err, c.want)
		}
	}
}

func TestLookNamesWhatDoesNotParse(t *testing.T) {
	for _, c := range []struct {
		format rows.Format
		body   string
		code   lake.Code
		says   []string
	}{
		{rows.NDJSON, "{\"a\": 1}\n{\"a\": tru}", lake.CodeInvalidRequest, []string{"row 2", "byte 16"}},
		{rows.NDJSON, "{\"a\": 1}\n{\"a\": 1, \"a\": 2}\n{\"A\": 1, \"a\": 2}", lake.CodeRowsInvalid, []string{"2 of 3 rows", "row 2", "row 3", "without regard to case"}},
		{rows.JSON, `[{"a": [1, 2}]`, lake.CodeInvalidRequest, []string{"row 1"}},
		{rows.JSON, `[{"a": "` + strings.Repeat("x", 200) + `"}]`, lake.CodeTooLarge, []string{"row 1", "100 bytes"}},
		{rows.CSV, "a,b\n1\n", lake.CodeRowsInvalid, []string{"row 1", "1 fields"}},
		{rows.CSV, "a,b\n" + strings.Repeat("x", 200) + ",1\n", lake.CodeTooLarge, []string{"row 1"}},
		{rows.CSV, "a,a\n", lake.CodeInvalidRequest, []string{`"a" and "a"`}},
		{rows.JSON, `[{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}]", lake.CodeInvalidRequest, []string{"nested deeper"}},
	} {
		o := rows.DecodeOptions{MaxRowBytes: 100}
		if strings.Contains(c.body, "[[[") {
			o.MaxRowBytes = 0
		}
		_, _, err := look(t, c.format, strings.NewReader(c.body), o)
		fails(t, err, c.code, c.says...)
	}
}

// TestLookedAtNumbersComeBack: whatever numbers a column holds, it is taken by the
// type found, and gives each back.
func TestLookedAtNumbersComeBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`), 1, 5).Draw(r, "numbers")
		var body strings.Builder
		for _, s := range texts {
			fmt.Fprintf(&body, `{"x":%s}`+"\n", s)
		}
		types, s, err := look(t, rows.NDJSON, strings.NewReader(body.String()), rows.DecodeOptions{})
		if err != nil {
			r.Fatal(err)
		}
		got, err := decode(t, rows.NDJSON, strings.NewReader(body.String()), rows.DecodeOptions{Schema: s, AnyText: true})
		if err != nil {
			r.Fatalf("%s: %v", types, err)
		}
		for i, line := range strings.Split(strings.TrimSpace(got), "\n") {
			back := strings.Trim(strings.TrimSuffix(strings.TrimPrefix(line, `{"x":`), "}"), `"`)
			if !sameNumber(texts[i], back, types == "x DOUBLE") {
				r.Fatalf("%s: %s came back as %s", types, texts[i], back)
			}
		}
	})
}

// sameNumber says whether the number came back: exactly, or of a double when it is
// written with as many digits as were given.
func sameNumber(given, back string, double bool) bool {
	want, ok := new(big.Rat).SetString(given)
	if !ok {
		return false
	}
	if double {
		v, err := strconv.ParseFloat(back, 64)
		digits, _, _ := strings.Cut(strings.ToLower(given), "e")
		digits = strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(digits), "0")
		if err != nil || len(digits) > 17 {
			return false
		}
		back = strconv.FormatFloat(v, 'e', max(0, len(digits)-1), 64)
	}
	got, ok := new(big.Rat).SetString(back)
	return ok && got.Cmp(want) == 0
}

func TestVarcharTakesAnyText(t *testing.T) {
	s := schema(t, "a VARCHAR", "b VARCHAR[]", "c STRUCT(d VARCHAR)")
	const body = `{"a": {"k":  [1.50]}, "b": [true, "x", null, 1e3], "c": {"d": -0}}`
	got, err := decode(t, rows.NDJSON, strings.NewReader(body), rows.DecodeOptions{Schema: s, AnyText: true})
	if want := `{"a":"{\"k\":  [1.50]}","b":["true","x",null,"1e3"],"c":{"d":"-0"}}` + "\n"; err != nil || got != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
	_, err = decode(t, rows.NDJSON, strings.NewReader(body), rows.DecodeOptions{Schema: s})
	fails(t, err, lake.CodeRowsInvalid, "row 1", `"a"`)
}

func TestMissingInSome(t *testing.T) {
	o := rows.DecodeOptions{Schema: schema(t, "a BIGINT", "b BIGINT"), Missing: rows.MissingInSome}
	for _, f := range []rows.Format{rows.NDJSON, rows.JSON} {
		bodyOf := func(objects ...string) io.Reader {
			if f == rows.JSON {
				return strings.NewReader("[" + strings.Join(objects, ",") + "]")
			}
			return strings.NewReader(strings.Join(objects, "\n"))
		}
		got, err := decode(t, f, bodyOf(`{"a":1}`, `{"b":2}`), o)
		if want := `{"a":1,"b":null}` + "\n" + `{"a":null,"b":2}` + "\n"; err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", f, got, err, want)
		}
		_, err = decode(t, f, bodyOf(`{"a":1}`, `{"a":2}`), o)
		fails(t, err, lake.CodeRowsInvalid, `"b"`, "missing")
		if _, err = decode(t, f, bodyOf(), o); err != nil {
			t.Error(err)
		}
	}
	_, err := decode(t, rows.CSV, strings.NewReader("a\n1\n"), o)
	fails(t, err, lake.CodeRowsInvalid, `"b"`, "missing")
}

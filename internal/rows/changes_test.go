package rows_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func keyed(t testing.TB) lake.Schema {
	s := schema(t, "id BIGINT", "region VARCHAR", "v DOUBLE!", "n VARCHAR")
	s.Key = []string{"region", "id"}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

// changes reads a body into lines of "+row" and "-row".
func changes(t testing.TB, body string, o rows.DecodeOptions) (string, error) {
	d, err := rows.DecodeChanges(context.Background(), strings.NewReader(body), o)
	if err != nil {
		return "", err
	}
	defer d.Close()
	var out []byte
	for {
		b, err := d.Next()
		if err == io.EOF {
			return string(out), nil
		}
		if err != nil {
			return "", err
		}
		if !b.Rows.Schema().Equal(rows.ChangesSchema(o.Schema)) || len(b.Ops) != int(b.Rows.NumRows()) {
			t.Errorf("%d ops for %d rows of %s", len(b.Ops), b.Rows.NumRows(), b.Rows.Schema())
		}
		for i, op := range b.Ops {
			out = append(out, "+-"[op])
			if out, err = rows.AppendRow(out, b.Rows, i); err != nil {
				t.Fatal(err)
			}
			out = append(out, '\n')
		}
		b.Rows.Release()
	}
}

func TestChangesInOrder(t *testing.T) {
	body := `{"op":"upsert","row":{"id":1,"region":"eu","v":1.5,"n":null}}
{"key":{"region":"eu","id":1},"op":"delete"}

{ "row" : {"ID":2,"region":"us","v":2,"n":"x"} , "op" : "upsert" }
{"op":"delete","key":{"id":7,"region":""}}`
	want := `+{"id":1,"region":"eu","v":1.5,"n":null}
-{"id":1,"region":"eu","v":null,"n":null}
+{"id":2,"region":"us","v":2,"n":"x"}
-{"id":7,"region":"","v":null,"n":null}
`
	for _, batch := range []int{1, 3, 0} {
		got, err := changes(t, body, rows.DecodeOptions{Schema: keyed(t), BatchRows: batch})
		if err != nil || got != want {
			t.Errorf("batches of %d: %v\n%s", batch, err, got)
		}
	}
}

func TestChangesThatDoNotFit(t *testing.T) {
	cases := []struct{ line, says string }{
		{`[]`, `not an object`},
		{`{}`, `"op" is missing`},
		{`{"op":"insert","row":{}}`, `"op" is "insert"`},
		{`{"op":1,"row":{}}`, `"op" is 1`},
		{`{"op":"upsert"}`, `"row" is missing`},
		{`{"op":"upsert","key":{"id":1,"region":"x"}}`, `"row" is missing`},
		{`{"op":"upsert","row":{},"key":{}}`, `an upsert has a "key"`},
		{`{"op":"delete","row":{}}`, `"key" is missing`},
		{`{"op":"delete","row":{},"key":{}}`, `a delete has a "row"`},
		{`{"op":"delete","op":"delete"}`, `"op" comes twice`},
		{`{"op":"delete","what":1}`, `"what" is not a member`},
		{`{"op":"upsert","row":{"id":1,"region":"x","v":null,"n":null}}`, `column "v": null`},
		{`{"op":"upsert","row":{"id":1,"region":"x","n":null}}`, `column "v": it is missing`},
		{`{"op":"upsert","row":[]}`, `not an object`},
		{`{"op":"delete","key":{"id":1}}`, `column "region": it is missing`},
		{`{"op":"delete","key":{"id":1,"region":null}}`, `column "region": null`},
		{`{"op":"delete","key":{"id":1,"region":"x","v":1}}`, `column "v": there is no such column`},
	}
	good := `{"op":"delete","key":{"id":1,"region":"x"}}` + "\n"
	for _, c := range cases {
		_, err := changes(t, good+c.line+"\n"+good+c.line, rows.DecodeOptions{Schema: keyed(t), Missing: rows.MissingNull})
		fails(t, err, lake.CodeRowsInvalid, "2 of 4 rows", "row 2, ", "row 4, ", c.says)
	}
	for _, line := range []string{`{`, `{"op":"upsert","row":{"id":}}`, good + `{"op":"upsert","row":{"id":1.}}`, `{"op":"delete","key":{}} x`} {
		_, err := changes(t, line, rows.DecodeOptions{Schema: keyed(t)})
		fails(t, err, lake.CodeInvalidRequest, fmt.Sprintf("row %d, byte ", 1+strings.Count(line, "\n")))
	}
	_, err := changes(t, good, rows.DecodeOptions{Schema: schema(t, "a BIGINT")})
	fails(t, err, lake.CodeNoPrimaryKey)
}

// A syntax error within a row is named by its byte in the body.
func TestChangesNameTheByte(t *testing.T) {
	_, err := changes(t, `{"op":"upsert","row":{"id":x}}`, rows.DecodeOptions{Schema: keyed(t)})
	fails(t, err, lake.CodeInvalidRequest, "byte 28:")
}

package rows_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

var fuzzColumns = []string{"a BIGINT", "b VARCHAR!", "c DECIMAL(10,2)", "d TIMESTAMPTZ", "e STRUCT(x DOUBLE, y MAP(VARCHAR, DATE[]))", "f UUID", "g BLOB", "h TIME", "i BOOLEAN"}

// drain reads a body to its end; every error must have a code of a body's.
func drain(t *testing.T, f rows.Format, body []byte) (read int64, err error) {
	o := rows.DecodeOptions{Schema: schema(t, fuzzColumns...), Missing: rows.MissingNull, MaxRowBytes: 1000, BatchRows: 3}
	d, err := rows.Decode(context.Background(), f, bytes.NewReader(body), o)
	if err == nil {
		defer d.Close()
		for err == nil {
			rec, e := d.Next()
			if err = e; err == nil {
				read += rec.NumRows()
				if rec.Column(1).NullN() > 0 {
					t.Error("a null in a column that has none")
				}
				rec.Release()
			}
		}
	}
	if err == io.EOF {
		return read, nil
	}
	if c := lake.CodeOf(err); c != lake.CodeInvalidRequest && c != lake.CodeRowsInvalid && c != lake.CodeTooLarge {
		t.Errorf("code %s: %v", c, err)
	}
	return read, err
}

func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{
		`[{"a":1,"b":"x","c":1.50,"d":"2024-01-02T03:04:05Z","e":{"x":1,"y":[["k",["2024-01-02"]]]},"f":"00000000-0000-0000-0000-000000000000","g":"AA==","h":"01:02:03","i":true}]`,
		`{"a":-9223372036854775808,"b":"\ud83d\ude00\u0000"}`, `[]`, `[{"b":""},{"b":null}]`, `[{"b":"x","e":{}}]`,
		`[{"b":"x","c":1e400}]`, `[{"b":"x","c":123456789012345678901234567890123456789012}]`, `[[[`, `[{"b":"`, `{"b":"x"} `, `[{"b":"x"},`, "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := drain(t, rows.JSON, body)
		// What is taken is JSON, also to the standard library.
		if err == nil && !json.Valid(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))) {
			t.Errorf("%q was taken as %d rows", body, n)
		}
		if _, err := drain(t, rows.NDJSON, body); err == nil {
			for line := range bytes.Lines(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))) {
				if len(bytes.TrimSpace(line)) > 0 && !json.Valid(line) {
					t.Errorf("the line %q was taken", line)
				}
			}
		}
	})
}

func FuzzDecodeCSV(f *testing.F) {
	for _, s := range []string{
		"a,b,c\n1,x,1.5\n", "b\n\"x\"\"y\"\r\n\"\"\n", "b,e\nx,\"{\"\"x\"\":1,\"\"y\"\":[]}\"\n", "b,d\nx,2024-01-02\n", "b\n\"", "b\r\r", "b,b\n", "\"b\"\n\"x\"", "b,i\nx,t\n\ny,f",
		"b,h\nx,01:02:03.0000000\n", "b,c\nx,1e-3\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { _, _ = drain(t, rows.CSV, body) })
}

func FuzzDecodeArrow(f *testing.F) {
	f.Add(encode(f, rows.OutArrow, schema(f, "b VARCHAR", "a BIGINT")))
	f.Fuzz(func(t *testing.T, body []byte) { _, _ = drain(t, rows.ArrowStream, body) })
}

func FuzzDecodeChanges(f *testing.F) {
	for _, s := range []string{
		`{"op":"upsert","row":{"id":1,"region":"eu","v":1.5,"n":null}}` + "\n" + `{"op":"delete","key":{"id":1,"region":"x"}}`,
		`{"op":"upsert","row":[]}`, `{"op":"delete","key":{"id":1}}`, `{"key":`, `{"op":"upsert","row":{"id":1,"region":"eu","v":"NaN"}} `, `{"op":"delete","key":{"region":"\ud800"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := rows.DecodeChanges(context.Background(), bytes.NewReader(body), rows.DecodeOptions{Schema: keyed(t), Missing: rows.MissingNull, MaxRowBytes: 1000, BatchRows: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for {
			b, err := d.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if c := lake.CodeOf(err); c != lake.CodeInvalidRequest && c != lake.CodeRowsInvalid && c != lake.CodeTooLarge {
					t.Errorf("code %s: %v", c, err)
				}
				return
			}
			if b.Rows.Column(0).NullN()+b.Rows.Column(1).NullN() > 0 || len(b.Ops) != int(b.Rows.NumRows()) {
				t.Error("a change without a whole key")
			}
			b.Rows.Release()
		}
	})
}

func FuzzDecodeParquet(f *testing.F) {
	f.Add(parquetOf(f, 10))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, body []byte) { _, _ = drain(t, rows.Parquet, body) })
}

// Headers that choose formats: whatever they say, the outcome is a format or an error
// of their kind.
func FuzzMedia(f *testing.F) {
	for _, s := range []string{"application/json", "text/csv; header=absent", "application/x-ndjson;q=0.5, */*", "text/csv;charset=latin1", "*/*;q=0", "a/b;c=\"", ",,,", "text/csv;q=x", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if _, _, err := rows.FormatOf(header); err != nil && lake.CodeOf(err) != lake.CodeUnsupportedMedia {
			t.Errorf("Content-Type %q: %v", header, err)
		}
		format, media, err := rows.Negotiate(header)
		if err != nil && lake.CodeOf(err) != lake.CodeNotAcceptable || err == nil && (media == "" || format.ContentType() == "") {
			t.Errorf("Accept %q: %v, %q, %v", header, format, media, err)
		}
	})
}

package rows_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"tarn/internal/rows"
)

const benchRows = 20_000

var benchColumns = []string{"id BIGINT!", "name VARCHAR", "rate DECIMAL(10,2)", "hours DOUBLE", "day DATE", "at TIMESTAMPTZ", "ok BOOLEAN", "n INTEGER"}

func benchBody() []byte {
	var b bytes.Buffer
	for i := range benchRows {
		fmt.Fprintf(&b, `{"id":%d,"name":"employee %d","rate":%d.25,"hours":%d.5,"day":"2024-03-%02d","at":"2024-03-05T06:07:%02d.123456Z","ok":%t,"n":%d}`+"\n",
			i, i, i%100, i%12, i%28+1, i%60, i%2 == 0, i%1000)
	}
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	o := rows.DecodeOptions{Schema: schema(b, benchColumns...)}
	nd := benchBody()
	recs, err := batches(b, rows.NDJSON, bytes.NewReader(nd), o)
	if err != nil {
		b.Fatal(err)
	}
	for f, body := range map[rows.Format][]byte{
		rows.NDJSON:      nd,
		rows.JSON:        append(append([]byte{'['}, bytes.ReplaceAll(bytes.TrimSpace(nd), []byte("}\n"), []byte("},"))...), ']'),
		rows.CSV:         encode(b, rows.OutCSV, o.Schema, recs...),
		rows.ArrowStream: encode(b, rows.OutArrow, o.Schema, recs...),
	} {
		b.Run(f.String(), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				d, err := rows.Decode(context.Background(), f, bytes.NewReader(body), o)
				for err == nil {
					rec, e := d.Next()
					if err = e; err == nil {
						rec.Release()
					}
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				d.Close()
			}
			b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
		})
	}
	release(recs)
}

func BenchmarkDecodeOneRow(b *testing.B) {
	o := rows.DecodeOptions{Schema: schema(b, benchColumns...)}
	body, _, _ := bytes.Cut(benchBody(), []byte("\n"))
	b.ReportAllocs()
	for b.Loop() {
		d, err := rows.Decode(context.Background(), rows.JSON, bytes.NewReader(body), o)
		if err != nil {
			b.Fatal(err)
		}
		rec, err := d.Next()
		if err != nil {
			b.Fatal(err)
		}
		rec.Release()
		d.Close()
	}
}

func BenchmarkEncode(b *testing.B) {
	s := schema(b, benchColumns...)
	recs, err := batches(b, rows.NDJSON, bytes.NewReader(benchBody()), rows.DecodeOptions{Schema: s, BatchRows: 2048})
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range []rows.OutFormat{rows.OutJSON, rows.OutNDJSON, rows.OutCSV, rows.OutArrow} {
		b.Run(f.ContentType(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := rows.NewEncoder(f, io.Discard)
				err := e.Begin(columnsOf(s), s.Arrow(), rows.Head{})
				for _, r := range recs {
					if err == nil {
						err = e.Write(r)
					}
				}
				if err == nil {
					err = e.End(rows.Tail{})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
		})
	}
	release(recs)
}

package rows_test

import (
	"testing"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

func TestFormatOf(t *testing.T) {
	for media, want := range map[string]rows.Format{
		"application/json":                    rows.JSON,
		"Application/JSON; charset=UTF-8":     rows.JSON,
		"application/x-ndjson":                rows.NDJSON,
		"application/jsonl":                   rows.NDJSON,
		"text/csv; header=present":            rows.CSV,
		"application/vnd.apache.arrow.stream": rows.ArrowStream,
		"application/vnd.apache.parquet":      rows.Parquet,
		"":                                    0,
		"application/octet-stream":            0,
		"text/csv; charset=latin1":            0,
		"text/csv; header=absent":             0,
		"application/json; charset":           0,
		"multipart/form-data; boundary=x":     0,
		"application/vnd.apache.arrow.file":   0,
		"application/x-www-form-urlencoded":   0,
	} {
		f, _, err := rows.FormatOf(media)
		if want == 0 {
			fails(t, err, lake.CodeUnsupportedMedia)
			if lake.HintOf(err) == "" {
				t.Errorf("%q: no hint", media)
			}
		} else if f != want || err != nil {
			t.Errorf("%q: %v %v", media, f, err)
		}
	}
}

func TestNegotiate(t *testing.T) {
	cases := []struct {
		accept string
		want   rows.OutFormat
		media  string
	}{
		{"", rows.OutJSON, "application/json"},
		{"*/*", rows.OutJSON, "application/json"},
		{"application/*", rows.OutJSON, "application/json"},
		{"text/*", rows.OutCSV, "text/csv; charset=utf-8; header=present"},
		{"text/csv", rows.OutCSV, "text/csv; charset=utf-8; header=present"},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", rows.OutJSON, "application/json"},
		{"application/x-ndjson", rows.OutNDJSON, "application/x-ndjson"},
		{"application/jsonl", rows.OutNDJSON, "application/jsonl"},
		{"application/vnd.apache.arrow.stream", rows.OutArrow, "application/vnd.apache.arrow.stream"},
		{"text/csv, application/json", rows.OutCSV, "text/csv; charset=utf-8; header=present"},
		{"text/csv;q=0.5, application/json;q=0.9", rows.OutJSON, "application/json"},
		{"text/csv, */*", rows.OutCSV, "text/csv; charset=utf-8; header=present"},
		{"application/json;q=0, */*", rows.OutNDJSON, "application/x-ndjson"},
		{"*/*;q=0.1, application/vnd.apache.arrow.stream;q=0.2", rows.OutArrow, "application/vnd.apache.arrow.stream"},
		{"nonsense, text/csv;q=0.1", rows.OutCSV, "text/csv; charset=utf-8; header=present"},
		{"text/html", 0, ""},
		{"application/json;q=0", 0, ""},
		{"application/json;q=x", 0, ""},
		{"application/vnd.apache.parquet", rows.OutParquet, "application/vnd.apache.parquet"},
		{"application/x-parquet;q=0.5, text/html", rows.OutParquet, "application/x-parquet"},
	}
	for _, c := range cases {
		f, media, err := rows.Negotiate(c.accept)
		if c.want == 0 {
			fails(t, err, lake.CodeNotAcceptable)
		} else if f != c.want || media != c.media || err != nil {
			t.Errorf("%q: %v %q %v", c.accept, f, media, err)
		}
	}
}

package rows

import (
	"mime"
	"strings"

	"tarn/internal/lake"
)

// Format is a format that rows come in.
type Format int

// The formats of bodies.
const (
	JSON        Format = iota + 1 // an array of objects, or one object
	NDJSON                        // an object a line
	CSV                           // RFC 4180 with a header
	ArrowStream                   // Arrow IPC stream
	Parquet
)

// The media types as answers carry them.
const (
	MediaJSON    = "application/json"
	MediaNDJSON  = "application/x-ndjson"
	MediaCSV     = "text/csv"
	MediaArrow   = "application/vnd.apache.arrow.stream"
	MediaParquet = "application/vnd.apache.parquet"
)

// mediaFormat gives the format of a media type without parameters, 0 for one
// that is not known.
func mediaFormat(media string) Format {
	switch media {
	case MediaJSON:
		return JSON
	case MediaNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonl",
		"application/jsonlines", "application/x-jsonlines":
		return NDJSON
	case MediaCSV, "application/csv":
		return CSV
	case MediaArrow:
		return ArrowStream
	case MediaParquet, "application/x-parquet":
		return Parquet
	}
	return 0
}

func (f Format) String() string {
	switch f {
	case JSON:
		return "JSON"
	case NDJSON:
		return "NDJSON"
	case CSV:
		return "CSV"
	case ArrowStream:
		return "Arrow stream"
	case Parquet:
		return "Parquet"
	}
	return "unknown format"
}

// FormatOf reads a Content-Type: the format and the parameters, lower-case
// names. It fails with CodeUnsupportedMedia; so do a charset other than UTF-8
// and a CSV that says it has no header.
func FormatOf(contentType string) (Format, map[string]string, error) {
	const known = "send application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet"
	if strings.TrimSpace(contentType) == "" {
		return 0, nil, lake.Errorf(lake.CodeUnsupportedMedia, "the body has no Content-Type").WithHint(known)
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, nil, lake.Errorf(lake.CodeUnsupportedMedia, "Content-Type %q does not parse: %w", contentType, err).WithHint(known)
	}
	f := mediaFormat(media)
	if f == 0 {
		return 0, nil, lake.Errorf(lake.CodeUnsupportedMedia, "Content-Type %s is not one that rows come in", media).WithHint(known)
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return 0, nil, lake.Errorf(lake.CodeUnsupportedMedia, "charset %s is not supported", cs).WithHint("send UTF-8")
	}
	if f == CSV && strings.EqualFold(params["header"], "absent") {
		return 0, nil, lake.Errorf(lake.CodeUnsupportedMedia, "CSV without a header is not supported").
			WithHint("let the first line name the columns")
	}
	return f, params, nil
}

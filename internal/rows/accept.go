package rows

import (
	"mime"
	"strconv"
	"strings"

	"tarn/internal/lake"
)

// OutFormat is a format that answers go out in.
type OutFormat int

// The formats of answers.
const (
	OutJSON OutFormat = iota + 1
	OutNDJSON
	OutCSV
	OutArrow
	OutParquet
)

// ContentType is what an answer in the format says it is.
func (f OutFormat) ContentType() string {
	switch f {
	case OutJSON:
		return MediaJSON
	case OutNDJSON:
		return MediaNDJSON
	case OutCSV:
		return MediaCSV + "; charset=utf-8; header=present"
	case OutArrow:
		return MediaArrow
	case OutParquet:
		return MediaParquet
	}
	return "application/octet-stream"
}

// outFormats in the order of preference where a client has none.
var outFormats = [...]OutFormat{OutJSON, OutNDJSON, OutCSV, OutArrow, OutParquet}

// acceptRange is one media range of an Accept header.
type acceptRange struct {
	kind, sub string
	format    OutFormat // 0 for a wildcard or a type that is not ours
	q         float64
}

func (r acceptRange) matches(f OutFormat) (specificity int) {
	switch {
	case r.format == f:
		return 3
	case r.kind == "*" && r.sub == "*":
		return 1
	case r.sub == "*" && strings.HasPrefix(f.ContentType(), r.kind+"/"):
		return 2
	}
	return 0
}

// Negotiate picks the format of an answer by an Accept header: the highest
// quality wins, then the more specific range, then the earlier one. An absent
// header or */* gives JSON. Where nothing fits it fails with
// CodeNotAcceptable.
func Negotiate(accept string) (OutFormat, string, error) {
	return negotiate(accept, outFormats[:]...)
}

// negotiate is Negotiate among some formats, the first of which an absent header gives.
func negotiate(accept string, among ...OutFormat) (OutFormat, string, error) {
	if strings.TrimSpace(accept) == "" {
		return among[0], among[0].ContentType(), nil
	}
	ranges := parseAccept(accept)
	var best OutFormat
	bestAt, bestSpec := 0, 0
	for _, f := range among {
		at, spec := -1, 0
		for i, r := range ranges {
			if s := r.matches(f); s > spec {
				at, spec = i, s
			}
		}
		if at < 0 || ranges[at].q == 0 {
			continue
		}
		if best != 0 {
			q, bq := ranges[at].q, ranges[bestAt].q
			if q < bq || q == bq && (spec < bestSpec || spec == bestSpec && at >= bestAt) {
				continue
			}
		}
		best, bestAt, bestSpec = f, at, spec
	}
	if best == 0 {
		media := make([]string, len(among))
		for i, f := range among {
			media[i], _, _ = strings.Cut(f.ContentType(), ";")
		}
		last := len(media) - 1
		return 0, "", lake.Errorf(lake.CodeNotAcceptable, "no answer can be given as %s", clip(accept, 200)).
			WithHint("accept %s or %s", strings.Join(media[:last], ", "), media[last])
	}
	// An alias is answered by the name that the client knows it by.
	if r := ranges[bestAt]; bestSpec == 3 && r.kind+"/"+r.sub != MediaCSV {
		return best, r.kind + "/" + r.sub, nil
	}
	return best, best.ContentType(), nil
}

// parseAccept reads the ranges; one that does not parse is passed over, as
// HTTP asks of a server.
func parseAccept(accept string) []acceptRange {
	var out []acceptRange
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		kind, sub, ok := strings.Cut(media, "/")
		if !ok {
			continue
		}
		r := acceptRange{kind: kind, sub: sub, q: 1}
		if s, ok := params["q"]; ok {
			if r.q, err = strconv.ParseFloat(s, 64); err != nil || !(r.q >= 0 && r.q <= 1) {
				continue
			}
		}
		switch mediaFormat(media) {
		case JSON:
			r.format = OutJSON
		case NDJSON:
			r.format = OutNDJSON
		case CSV:
			r.format = OutCSV
		case ArrowStream:
			r.format = OutArrow
		case Parquet:
			r.format = OutParquet
		}
		out = append(out, r)
	}
	return out
}

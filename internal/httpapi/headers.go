package httpapi

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// maxIdempotencyKey bounds an Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// idempotency reads the Idempotency-Key and what of the request besides the
// body its hash covers.
func (c *call) idempotency() (engine.Idempotency, error) {
	values := c.r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return engine.Idempotency{}, nil
	}
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > maxIdempotencyKey || !printableASCII(key) {
		return engine.Idempotency{}, lake.Errorf(lake.CodeInvalidRequest, "Idempotency-Key %q is not one", clip(strings.Join(values, ", "))).
			WithHint("send one key of 1 to %d printable ASCII characters, such as a UUID", maxIdempotencyKey)
	}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return engine.Idempotency{}, lake.Errorf(lake.CodeInvalidRequest, "the query of the URL does not parse: %w", err)
	}
	scope := []string{c.r.Method, c.path, query.Encode(), scopeType(c.r.Header.Get("Content-Type"))}
	return engine.Idempotency{Key: key, Scope: strings.Join(scope, "\n")}, nil
}

// scopeType is a content type in one spelling, without the multipart boundary,
// which a client makes anew for each try.
func scopeType(contentType string) string {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType
	}
	if strings.HasPrefix(media, "multipart/") {
		delete(params, "boundary")
	}
	return mime.FormatMediaType(media, params)
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// ifMatch is the If-Match header as one value, "" for none.
func (c *call) ifMatch() string { return strings.Join(c.r.Header.Values("If-Match"), ", ") }

// wantsFresh says whether the client asks not to be given a kept answer (RFC 9111,
// 5.2.1.4).
func (c *call) wantsFresh() bool {
	for _, v := range c.r.Header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(v, ",") {
			if d := strings.ToLower(strings.TrimSpace(directive)); d == "no-cache" || d == "no-store" {
				return true
			}
		}
	}
	return false
}

// negotiate picks the format of a streamed answer.
func (c *call) negotiate() (rows.OutFormat, string, error) {
	return rows.Negotiate(strings.Join(c.r.Header.Values("Accept"), ","))
}

// accepts says whether an Accept header lets a media type through. The most
// specific range decides; no header accepts everything.
func accepts(h http.Header, media string) bool {
	header := strings.Join(h.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	best, ok := 0, false
	for part := range strings.SplitSeq(header, ",") {
		rng, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue // HTTP asks to pass over what does not parse
		}
		specific := map[string]int{"*/*": 1, kind + "/*": 2, media: 3}[rng]
		if specific <= best {
			continue
		}
		q := 1.0
		if s, has := params["q"]; has {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		best, ok = specific, q > 0
	}
	return ok
}

// mediaOf reads the Content-Type of a body that is one of known. A charset
// other than UTF-8 is refused.
func mediaOf(contentType string, known ...string) (string, error) {
	hint := "send " + strings.Join(known, " or ")
	if strings.TrimSpace(contentType) == "" {
		return "", lake.Errorf(lake.CodeUnsupportedMedia, "the body has no Content-Type").WithHint("%s", hint)
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", lake.Errorf(lake.CodeUnsupportedMedia, "Content-Type %q does not parse", clip(contentType)).WithHint("%s", hint)
	}
	if !contains(known, media) {
		return "", lake.Errorf(lake.CodeUnsupportedMedia, "Content-Type %s is not one that this call takes", clip(media)).WithHint("%s", hint)
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return "", lake.Errorf(lake.CodeUnsupportedMedia, "charset %s is not supported", clip(cs)).WithHint("send UTF-8")
	}
	return media, nil
}

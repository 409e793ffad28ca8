package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// What the strict reader of JSON takes is JSON, of one object, to the standard library
// too.
func FuzzDecodeStrict(f *testing.F) {
	for _, s := range []string{`{"columns":[{"name":"a","type":"BIGINT"}],"primary_key":["a"]}`, `{}`, `{"columns":null}`, `{"Columns":[]}`, `{"columns":[],"columns":[]}`, `{} {}`, `[`, `{"columns":[{"name":"\ud800"}]}`,
		strings.Repeat(`{"columns":[`, 200), `{"sql":1}`, "\xef\xbb\xbf{}", `{"columns":[[]]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var into createBody
		err := decodeStrict(b, &into)
		if err != nil {
			if lake.CodeOf(err) != lake.CodeInvalidRequest {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if !json.Valid(b) || bytes.TrimSpace(b)[0] != '{' {
			t.Errorf("%q was taken", b)
		}
		if _, err := into.schema(); err != nil {
			if c := lake.CodeOf(err); c != lake.CodeInvalidRequest && c != lake.CodeUnsupported {
				t.Errorf("%q: %v (%s)", b, err, c)
			}
		}
	})
}

func FuzzReadColumns(f *testing.F) {
	for _, s := range []string{"a", "a,b", `"a,b",c`, `a,"b""c"`, `"`, `""`, ",", `"a"b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := readColumns(s)
		if err != nil {
			if lake.CodeOf(err) != lake.CodeInvalidRequest {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		quoted := make([]string, len(got))
		for i, c := range got {
			quoted[i] = lake.QuoteIdent(c)
		}
		again, err := readColumns(strings.Join(quoted, ","))
		if err != nil || strings.Join(again, "\x00") != strings.Join(got, "\x00") {
			t.Errorf("%q is %q, and read again %q, %v", s, got, again, err)
		}
	})
}

func FuzzMultipart(f *testing.F) {
	file := "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\na\n1\n\r\n"
	for _, s := range []string{file + "--XX--\r\n", file, "--XX--", file + file + "--XX--", "--XX\r\n\r\n\r\n--XX--", "--XX\r\nContent-Type: text/csv; charset=x\r\n\r\n\r\n--XX--", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		next := partsOf(bytes.NewReader(b), "XX")
		for range 1000 {
			part, err := next()
			if err == nil {
				_, err = io.Copy(io.Discard, part.Body)
			}
			if err == io.EOF {
				if !bytes.Contains(append([]byte("\n"), b...), []byte("\n--XX--")) {
					t.Errorf("%q is whole", b)
				}
				return
			}
			if err != nil {
				if c := lake.CodeOf(err); c != lake.CodeInvalidRequest && c != lake.CodeUnsupportedMedia {
					t.Errorf("%q: %v", b, err)
				}
				return
			}
		}
	})
}

// Headers: whatever they say, what is made of them can stand in a log, a header and a
// key.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"Bearer x", "bearer  x ", "Bearer a,b", "k-1", "a b", "\x1f", "no-cache, x", "multipart/form-data; boundary=x", "ä", "*/*;q=0.1,application/json;q=0"} {
		f.Add(s)
	}
	a := newTestAPI()
	a.newRequestID = func() string { return "made" }
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest(http.MethodPost, "/datasets/x/rows", nil)
		for _, name := range []string{"Authorization", "Idempotency-Key", headerRequestID, "Cache-Control", "Content-Type", "Accept", "If-Match"} {
			r.Header.Set(name, s)
		}
		if id := a.requestID(r); id != "made" && (id != s || !printableASCII(id) || strings.ContainsAny(id, " \"\\<>,")) {
			t.Errorf("the request id %q", id)
		}
		if token, ok := bearer(s); ok && (token == "" || strings.ContainsAny(token, " \t,")) {
			t.Errorf("%q holds the token %q", s, token)
		}
		c := &call{exchange: &exchange{path: "/datasets/x/rows"}, r: r}
		idem, err := c.idempotency()
		if err == nil && (!printableASCII(idem.Key) || len(idem.Key) > maxIdempotencyKey) || err != nil && lake.CodeOf(err) != lake.CodeInvalidRequest {
			t.Errorf("%q: %+v, %v", s, idem, err)
		}
		_ = c.wantsFresh()
		_ = accepts(r.Header, "application/json")
		if _, err := mediaOf(s, "application/json"); err != nil && lake.CodeOf(err) != lake.CodeUnsupportedMedia {
			t.Errorf("%q: %v", s, err)
		}
		_ = isLocalHost(s)
	})
}

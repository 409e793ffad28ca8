package httpapi_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tarn/internal/httpapi"
)

// FuzzRequest sends whole requests, as the standard library reads them from a
// connection, to a handler over a lake that takes everything. Whatever they hold, the
// answer is a success, or a problem with a code and without a defect.
func FuzzRequest(f *testing.F) {
	for _, line := range []string{
		"GET /datasets", "GET /v1/datasets/ts", "PUT /datasets/x", "DELETE /datasets/ts", "POST /datasets/ts/rename", "GET /datasets/ts/deltas", "POST /datasets/ts/rows?missing=null", "POST /datasets/ts/changes",
		"POST /datasets/ts/delete", "POST /datasets/ts/get", "GET /datasets/ts/rows/1,%2C", "GET /datasets/ts/rows/", "POST /datasets/x/import?mode=create&primary_key=a,b", "POST /datasets/x/attach?wait=false", "POST /datasets/ts/sync", "POST /datasets/ts/detach", "POST /query/sql", "POST /query/compact?wait=false",
		"GET /jobs", "GET /jobs/1", "DELETE /jobs/x", "GET /queries", "DELETE /queries/x", "GET /health", "GET /ready", "GET /metrics", "GET /openapi.json", "GET /docs", "BREW /", "GET /v1", "GET //x", "GET /datasets/../x", "GET /datasets/%2e%2e", "OPTIONS *",
		"GET /datasets/%00", "GET /datasets/a%2Fb", "GET /?", "GET /datasets?a=1&a=2", "GET /datasets?%zz", "GET http://other/datasets",
	} {
		for _, body := range []string{
			"", "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "Content-Type: application/json\r\nIdempotency-Key: k\r\nIf-Match: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
			"Content-Type: text/csv\r\nAccept: text/csv;q=0.1\r\nX-Request-Id: a\r\nContent-Length: 4\r\n\r\na\n1\n", "Content-Type: multipart/form-data; boundary=X\r\nContent-Length: 5\r\n\r\n--X--", "Content-Encoding: gzip\r\nOrigin: http://evil\r\nSec-Fetch-Site: cross-site\r\n\r\n",
		} {
			if !strings.Contains(body, "\r\n\r\n") {
				body += "\r\n"
			}
			f.Add([]byte(line + " HTTP/1.1\r\nHost: localhost\r\n" + body))
		}
	}
	d := newDoor()
	d.settings.MaxBodyBytes, d.settings.MaxSQLBytes, d.settings.MaxImportBytes = 1000, 1000, 1000
	h := httpapi.New(d, httpapi.Options{LocalOnly: true})
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(wire))))
		if err != nil {
			return // the standard library answers these
		}
		if strings.Contains(string(wire), "fail") || strings.Contains(string(wire), "early") || strings.Contains(string(wire), "late") || strings.Contains(string(wire), "slow") {
			return // words that tell the lake to fail, or to take its time
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		d.heard() // and forgotten
		if rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%q: no request id", wire)
		}
		if rec.Code < 400 {
			return
		}
		var p httpapi.Problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil && r.Method != http.MethodHead || rec.Code >= 500 || p.Code == "" || p.Status != rec.Code || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %d %s", wire, rec.Code, rec.Body)
		}
	})
}

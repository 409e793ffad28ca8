package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tarn/internal/httpapi"
)

// In an outage of the lake's bucket every answer that is given says so.
func TestAnswersAreMarkedInAnOutage(t *testing.T) {
	for want, outage := range map[string]bool{"": false, "unreachable": true} {
		d := newDoor()
		d.outage = outage
		api := httpapi.New(d, httpapi.Options{})
		query := httptest.NewRequest(http.MethodPost, "/query/sql", strings.NewReader(`{"sql":"select 1"}`))
		query.Header.Set("Content-Type", "application/json")
		for _, r := range []*http.Request{httptest.NewRequest(http.MethodGet, "/datasets/ts/rows/1", nil), query} {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if w.Code != http.StatusOK || w.Header().Get("Tarn-Store") != want {
				t.Errorf("%s: %d, %q, want %q: %s", r.URL, w.Code, w.Header().Get("Tarn-Store"), want, w.Body)
			}
		}
	}
}

package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"tarn/internal/httpapi"
)

// A page cannot reach a server of this machine by a name that it has resolve to it.
func TestAServerIsCalledByItsOwnName(t *testing.T) {
	call := func(local bool, host string) int {
		r := httptest.NewRequest(http.MethodGet, "/health", nil)
		r.Host = host
		w := httptest.NewRecorder()
		httpapi.New(newDoor(), httpapi.Options{LocalOnly: local}).ServeHTTP(w, r)
		return w.Code
	}
	for _, host := range []string{"127.0.0.1:7070", "127.0.0.1", "[::1]:7070", "[::1]", "localhost", "LOCALHOST:7070", "tarn.localhost:80", "10.1.2.3:1"} {
		if got := call(true, host); got != http.StatusOK {
			t.Errorf("%s: %d", host, got)
		}
	}
	for _, host := range []string{"evil.example:7070", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""} {
		if got := call(true, host); got != http.StatusForbidden {
			t.Errorf("%q: %d", host, got)
		}
		if got := call(false, host); got != http.StatusOK {
			t.Errorf("%q where anybody may: %d", host, got)
		}
	}
}

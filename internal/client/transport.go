package client

import (
	"crypto/tls"
	"net/http"
)

// Transport is a transport for New that sends a token with each request, unless it is
// "", and knows the server by config; nil is the default of crypto/tls.
func Transport(token string, config *tls.Config) http.RoundTripper {
	t := defaultTransport()
	t.TLSClientConfig = config
	if token == "" {
		return t
	}
	return &withToken{t, "Bearer " + token}
}

// withToken sends a token with each request.
type withToken struct {
	*http.Transport
	authorization string
}

// RoundTrip implements http.RoundTripper.
func (t *withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper leaves the request alone
	r.Header.Set("Authorization", t.authorization)
	return t.Transport.RoundTrip(r)
}

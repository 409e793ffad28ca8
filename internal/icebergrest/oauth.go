package icebergrest

import (
	"math"
	"net/http"
	"net/url"
	"time"

	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

// oauthError is an error of OAuth2 (RFC 6749, 5.2).
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func oauthKind(status int) string {
	if status == http.StatusUnauthorized {
		return "invalid_client"
	}
	return "invalid_request"
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	IssuedType  string `json:"issued_token_type"`
}

// The grants of OAuth2 that clients of Iceberg ask for.
const (
	grantCredentials = "client_credentials"
	grantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	issuedToken      = "urn:ietf:params:oauth:token-type:access_token"
)

// tokenSeconds is how long a token without an end is said to hold: clients ask again
// then, and learn in time of one that is gone.
const tokenSeconds = 3600

// tokens gives a token of tarn's for itself: it is the client's secret, and what it
// exchanges when that is to be refreshed. What a client calls itself is not looked at.
func tokens(c *httpapi.MountCall) error {
	c.W.Header().Set("Cache-Control", "no-store")
	body, err := c.Body(maxSmallBytes)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "the body is no form")
	}
	var token string
	switch grant := form.Get("grant_type"); grant {
	case grantCredentials:
		token = form.Get("client_secret")
		if _, password, ok := c.R.BasicAuth(); ok && token == "" {
			token = password
		}
	case grantExchange:
		token = form.Get("subject_token")
	default:
		return lake.Errorf(lake.CodeInvalidRequest, "the grant type is %s or a token exchange", grantCredentials)
	}
	who, asked := c.Token(token)
	if !asked {
		return lake.Errorf(lake.CodeInvalidRequest, "this server asks for no token").WithHint("leave the credential out")
	}
	if who == nil {
		return lake.Errorf(lake.CodeUnauthorized, "the client's secret is no token of this server, or no longer")
	}
	seconds := int64(tokenSeconds)
	if !who.Expires.IsZero() {
		seconds = min(seconds, int64(math.Max(1, time.Until(who.Expires).Seconds())))
	}
	return reply(c.W, http.StatusOK, tokenAnswer{token, "bearer", seconds, issuedToken})
}

package httpapi

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/access"
	"tarn/internal/audit"
	"tarn/internal/guard"
	"tarn/internal/lake"
)

// headerRequestID is the id of a request, taken from the client or made here.
const headerRequestID = "X-Request-Id"

// maxRequestID bounds an id that a client gives, in bytes.
const maxRequestID = 128

// requestID takes the client's id where it is one that can stand in logs, or makes
// one.
func (a *api) requestID(r *http.Request) string {
	given := r.Header.Values(headerRequestID)
	if len(given) == 1 && isRequestID(given[0]) {
		return given[0]
	}
	return a.newRequestID()
}

func isRequestID(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.:/+=@", rune(c)) {
			return false
		}
	}
	return true
}

// enter asks who sends a request and whether he may call the route at all, and gives
// the call the lake as he may see it. leave is called at the call's end.
func (a *api) enter(c *call, needs need) (leave func(), err error) {
	leave = func() {}
	c.needs = needs
	if a.access == nil || needs.open {
		c.door = a.door
		return leave, a.auditable(needs)
	}
	who, err := a.principal(c)
	if err != nil {
		return leave, err
	}
	c.who = who
	leave, retry, err := who.Enter(time.Now())
	if err != nil {
		c.retryAfter = retryAfter(retry)
		return func() {}, err
	}
	if !needs.met(who) {
		return leave, guard.Denied(who, "may not call this: it takes %s", needs)
	}
	c.door = guard.New(a.door, who)
	return leave, a.auditable(needs)
}

// raise asks more of a call than its route does, once its body has said what it is.
func (a *api) raise(c *call, needs need) error {
	c.needs = needs
	if c.who != nil && !needs.met(c.who) {
		return guard.Denied(c.who, "may not do this: it takes %s", needs)
	}
	return a.auditable(needs)
}

// auditable refuses a change that could not be written down.
func (a *api) auditable(needs need) error {
	if a.audit == nil || !needs.changes {
		return nil
	}
	return a.audit.Ready()
}

// principal reads the token of a request. No message repeats any of it.
func (a *api) principal(c *call) (*access.Principal, error) {
	const hint = "send the header Authorization: Bearer TOKEN; the server's operator makes tokens with: tarn token new"
	given := c.r.Header.Values("Authorization")
	if len(given) == 0 {
		return nil, lake.Errorf(lake.CodeUnauthorized, "the request has no token").WithHint(hint)
	}
	token, ok := bearer(given[0])
	if !ok || len(given) > 1 {
		c.tokenSent = true
		return nil, lake.Errorf(lake.CodeUnauthorized, "the header Authorization holds no bearer token").WithHint(hint)
	}
	who := a.access.Find(token)
	if who == nil {
		c.tokenSent = true
		return nil, lake.Errorf(lake.CodeUnauthorized, "the token is not known, or no longer").WithHint("ask the server's operator")
	}
	return who, nil
}

// bearer takes the token out of an Authorization header (RFC 6750, 2.1).
func bearer(header string) (token string, ok bool) {
	scheme, token, found := strings.Cut(header, " ")
	token = strings.Trim(token, " ")
	return token, found && strings.EqualFold(scheme, "Bearer") && token != "" && !strings.ContainsAny(token, " \t,")
}

// challenge is the WWW-Authenticate header of a 401.
func (x *exchange) challenge() string {
	if x.tokenSent {
		return `Bearer realm="tarn", error="invalid_token"`
	}
	return `Bearer realm="tarn"`
}

func retryAfter(d time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(d.Seconds()))), 10)
}

// bodyLimit is the least of a limit and the token's own; 0 is none.
func (c *call) bodyLimit(limit int64, setting string) (int64, string) {
	if c.who == nil || c.who.Limits.BodyBytes == 0 || limit > 0 && limit <= c.who.Limits.BodyBytes {
		return limit, setting
	}
	return c.who.Limits.BodyBytes, "the token's body_bytes"
}

// writeDown puts a finished request into the audit log: changes, and what was refused.
// A dataset that was not found is a refusal where it may only be hidden.
func (a *api) writeDown(r *http.Request, x *exchange, status int, sent int64, elapsed time.Duration) {
	if a.audit == nil {
		return
	}
	code := lake.Code("")
	if x.err != nil {
		code = lake.CodeOf(x.err)
	}
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests ||
		code == lake.CodeDatasetNotFound && x.who != nil && !x.who.Everywhere(access.Read)
	if !x.needs.changes && !refused {
		return
	}
	e := audit.Event{
		RequestID: x.requestID, Method: knownMethod(r.Method), Route: x.route, Dataset: x.dataset, Outcome: "ok", Status: status, Rows: x.rows,
		Received: x.received, Sent: sent, JobID: x.jobID, QueryID: x.queryID, Remote: r.RemoteAddr, Elapsed: elapsed,
	}
	if x.who != nil {
		e.Principal = x.who.ID
	} else {
		e.Stranger = a.access != nil || !x.needs.changes
	}
	if code != "" {
		e.Outcome = string(code)
	}
	a.audit.Write(e)
}

// accessMetrics tells whether the file of tokens is as it should be.
type accessMetrics struct {
	access     *access.Keeper
	good, size *prometheus.Desc
}

func newAccessMetrics(k *access.Keeper) *accessMetrics {
	return &accessMetrics{
		access: k,
		good:   prometheus.NewDesc("tarn_access_file_good", "1 where the tokens that hold are those of the file; 0 where the file is wrong and those of before hold.", nil, nil),
		size:   prometheus.NewDesc("tarn_access_tokens", "Tokens that hold.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *accessMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.good; out <- m.size }

// Collect implements prometheus.Collector.
func (m *accessMetrics) Collect(out chan<- prometheus.Metric) {
	good := 0.0
	if m.access.Good() {
		good = 1
	}
	out <- prometheus.MustNewConstMetric(m.good, prometheus.GaugeValue, good)
	out <- prometheus.MustNewConstMetric(m.size, prometheus.GaugeValue, float64(m.access.Len()))
}

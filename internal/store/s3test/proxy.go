package s3test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Fault is what a Proxy does with one request.
type Fault int

// The faults.
const (
	Pass         Fault = iota
	LostRequest        // it does not arrive, and the connection ends
	LostAnswer         // it arrives, and its answer does not
	Twice              // it arrives twice; the answer is that to the second: 412 on one's own put
	Error500           // it does not arrive, and the answer is a 500
	Error500Late       // it arrives, and the answer is a 500
	SlowDown           // it does not arrive, and the answer is 503 SlowDown
	Silence            // it does not arrive, and nothing answers
	SilenceLate        // it arrives, and nothing answers
	CutBody            // the answer's body ends in its middle
	SlowBody           // the answer's body comes in small pieces
)

// Faults are all but Pass.
var Faults = []Fault{LostRequest, LostAnswer, Twice, Error500, Error500Late, SlowDown, Silence, SilenceLate, CutBody, SlowBody}

// Proxy stands before a Server and does to requests what it is told.
type Proxy struct {
	URL   string
	fault atomic.Pointer[func(*http.Request) Fault]
	deaf  atomic.Pointer[func(*http.Request) bool]
	// Count is how many requests had a fault.
	Count atomic.Int64

	server *Server
	target *url.URL
	client *http.Transport
}

// NewProxy starts a proxy that passes everything, until Do.
func NewProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{server: s, target: target, client: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	p.Do(func(*http.Request) Fault { return Pass })
	front := httptest.NewServer(p)
	p.URL = front.URL
	t.Cleanup(func() {
		p.Do(func(*http.Request) Fault { return Pass })
		front.CloseClientConnections()
		front.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// Do says what happens to each request from now on.
func (p *Proxy) Do(fault func(*http.Request) Fault) { p.fault.Store(&fault) }

// Deaf makes the store one that does not heed the condition of some puts, and of some
// uploads of parts that are to be completed.
func (p *Proxy) Deaf(to func(*http.Request) bool) { p.deaf.Store(&to) }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := (*p.fault.Load())(r)
	if fault != Pass {
		p.Count.Add(1)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch fault {
	case LostRequest:
		panic(http.ErrAbortHandler)
	case Error500:
		writeError(w, http.StatusInternalServerError, "InternalError")
		return
	case SlowDown:
		writeError(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case Silence:
		<-r.Context().Done()
		return
	case Twice:
		if first, err := p.send(r, body); err == nil {
			_, _ = io.Copy(io.Discard, first.Body)
			first.Body.Close()
		}
	}
	if deaf := p.deaf.Load(); deaf != nil && (*deaf)(r) && r.Header.Get("If-None-Match") != "" {
		p.overwrite(w, r, body)
		return
	}
	resp, err := p.send(r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	switch fault {
	case LostAnswer:
		panic(http.ErrAbortHandler)
	case Error500Late:
		writeError(w, http.StatusInternalServerError, "InternalError")
		return
	case SilenceLate:
		<-r.Context().Done()
		return
	}
	answer(w, resp, fault)
}

// overwrite puts whatever the condition says. The parts of an upload are not looked
// at: what counts is that something else is there.
func (p *Proxy) overwrite(w http.ResponseWriter, r *http.Request, body []byte) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	put := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)}
	if _, err := p.server.Client().PutObject(r.Context(), put); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", `"0"`)
	if r.Method == http.MethodPost {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><CompleteMultipartUploadResult><Key>%s</Key><ETag>"0"</ETag></CompleteMultipartUploadResult>`, key)
	}
}

func answer(w http.ResponseWriter, resp *http.Response, fault Fault) {
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	switch fault {
	case CutBody:
		_, _ = io.CopyN(w, resp.Body, max(0, resp.ContentLength/2))
		panic(http.ErrAbortHandler)
	case SlowBody:
		piece := make([]byte, max(1, resp.ContentLength/8))
		for {
			n, err := resp.Body.Read(piece)
			_, _ = w.Write(piece[:n])
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			if err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	_, _ = io.Copy(w, resp.Body)
}

// send passes a request on as it came; its signature covers the host.
func (p *Proxy) send(r *http.Request, body []byte) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = p.target.Scheme, p.target.Host
	out.Host = r.Host
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	return p.client.RoundTrip(out)
}

func writeError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>a fault was asked for</Message></Error>`, code)
}

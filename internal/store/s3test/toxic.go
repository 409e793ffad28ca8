package s3test

import (
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// Toxic is a proxy on the level of TCP: it delays, narrows and cuts connections.
type Toxic struct {
	URL   string
	proxy *toxiproxy.Proxy
}

// NewToxic starts a proxy before a server.
func NewToxic(t testing.TB, s *Server) *Toxic {
	t.Helper()
	quiet := zerolog.Nop()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	p := toxiproxy.NewProxy(api, "s3", "127.0.0.1:0", strings.TrimPrefix(s.URL, "http://"))
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &Toxic{URL: "http://" + p.Listen, proxy: p}
}

// Add adds a toxic in toxiproxy's JSON.
func (x *Toxic) Add(t testing.TB, json string) {
	t.Helper()
	if _, err := x.proxy.Toxics.AddToxicJson(strings.NewReader(json)); err != nil {
		t.Fatal(err)
	}
}

// Clear takes all toxics away.
func (x *Toxic) Clear(t testing.TB) {
	t.Helper()
	x.proxy.Toxics.ResetToxics(t.Context())
}

// ToxicsStay excuses what toxiproxy leaves behind: when a connection is reset, its link
// stops taking from the pipeline of toxics, and a toxic with a piece in its hands waits
// for ever to hand it on, as does whoever reads for it. Stop closes connections alone.
func ToxicsStay() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	}
}

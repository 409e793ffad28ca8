package cli

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/access"
	"tarn/internal/audit"
	"tarn/internal/certs"
)

// protection is what stands between a server and whoever reaches it.
type protection struct {
	tokens *access.Keeper // nil: nobody is asked who he is
	audit  *audit.Log     // nil: none
	tls    *certs.Keeper  // nil: HTTP

	end  context.CancelFunc // of the goroutine that watches the tokens
	done sync.WaitGroup
}

// protect opens what the flags name. Whoever gets it closes it.
func (c *serveCommand) protect(ctx context.Context, p *Program, log *slog.Logger, registry prometheus.Registerer) (_ *protection, err error) {
	out := &protection{end: func() {}}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	if err := c.checkTLS(); err != nil {
		return nil, err
	}
	if c.TLSCert != "" {
		if out.tls, err = certs.Open(certs.Files{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA}, log); err != nil {
			return nil, usagef("--tls-cert: %w", err)
		}
	}
	if c.AuditLog != "" {
		lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "tarn_audit_lost_total", Help: "Lines of the audit log that could not be written; they are in the server's log."})
		registry.MustRegister(lost)
		if c.AuditLog == "-" {
			out.audit = audit.To(p.Stderr, log, lost.Inc)
		} else if out.audit, err = audit.Open(c.AuditLog, log, lost.Inc); err != nil {
			return nil, usagef("--audit-log: %w", err)
		}
	}
	if c.AuthFile == "" {
		return out, nil
	}
	if out.tokens, err = access.Open(c.AuthFile, log); err != nil {
		return nil, usagef("--auth-file: %w", err).withHint("tarn token new makes tokens; docs/SECURITY.md says what the file may hold")
	}
	noCoreDumps(log)
	c.warn(out, log)
	ctx, out.end = context.WithCancel(ctx)
	out.done.Go(func() { out.tokens.Run(ctx) })
	return out, nil
}

func (c *serveCommand) checkTLS() error {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return usagef("--tls-cert and --tls-key go together")
	case c.TLSClientCA != "" && c.TLSCert == "":
		return usagef("--tls-client-ca goes with --tls-cert and --tls-key")
	}
	return nil
}

// warn says what an operator most likely did not mean.
func (c *serveCommand) warn(p *protection, log *slog.Logger) {
	if p.tokens.Len() == 0 {
		log.Warn("the file of tokens holds none: every request but /health, /ready, /docs and /openapi.json is refused", "path", c.AuthFile)
	}
	if p.tls == nil && !isLoopback(c.Listen) {
		log.Warn("tokens are sent in clear text: serve with --tls-cert and --tls-key, or behind a proxy that speaks TLS", "listen", c.Listen)
	}
}

// isLoopback says whether only this machine reaches an address HOST:PORT.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (p *protection) scheme() string {
	if p.tls != nil {
		return "https://"
	}
	return "http://"
}

func (p *protection) listener(l net.Listener) net.Listener {
	if p.tls == nil {
		return l
	}
	return tls.NewListener(l, p.tls.Server())
}

// close ends what was opened. It may be called twice.
func (p *protection) close() {
	p.end()
	p.done.Wait()
	if p.audit != nil {
		_ = p.audit.Close() // its lines are written; there is nothing to mend
	}
}

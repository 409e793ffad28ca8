package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tarn/internal/engine"
	"tarn/internal/foreign"
	"tarn/internal/httpapi"
	"tarn/internal/icebergrest"
	"tarn/internal/lake"
)

type serveCommand struct {
	Listen   string `setting:"" default:"127.0.0.1:7070" placeholder:"HOST:PORT" help:"Address to serve; port 0 takes a free one."`
	Insecure bool   `setting:"" help:"Serve an address that other machines reach, with no authentication."`
	ReadOnly bool   `setting:"" help:"Follow a lake that another server writes, and change nothing; needs --state elsewhere."`

	AuthFile    string `setting:"" placeholder:"FILE" help:"Ask for the tokens in this file, which tarn token makes; without it nobody is asked who he is."`
	TLSCert     string `name:"tls-cert" setting:"" placeholder:"FILE" help:"Serve HTTPS with this certificate, in PEM; read again when it changes."`
	TLSKey      string `name:"tls-key" setting:"" placeholder:"FILE" help:"The certificate's key, in PEM."`
	TLSClientCA string `name:"tls-client-ca" setting:"" placeholder:"FILE" help:"Take only clients with a certificate of these authorities, in PEM, besides their token."`
	AuditLog    string `setting:"" placeholder:"FILE" help:"Write changes and refusals here, a JSON line each; - is stderr."`

	clusterFlags `embed:""`
	attachFlags  `embed:""`

	Grace time.Duration `setting:"" default:"30s" placeholder:"TIME" help:"How long requests may go on after SIGTERM."`

	lakeFlags `embed:"" set:"logLevel=info"`
}

func (*serveCommand) Help() string {
	return `Prints one line when it is ready, then logs to stderr. SIGTERM or SIGINT drains: no new requests, those that run get --grace; a second one ends at once.

Examples:

  tarn serve
  tarn serve --data /srv/lake --listen 127.0.0.1:8080 --query-memory-bytes 8GB
  tarn serve --listen 0.0.0.0:7070 --auth-file tokens.yaml --tls-cert cert.pem --tls-key key.pem
  tarn serve --read-only --data /srv/lake --state /var/lib/tarn --listen 127.0.0.1:7071
  tarn serve --read-only --data s3://bucket/prefix --state /var/lib/tarn-reader`
}

// Limits on a connection before a handler has it. Bodies and answers have
// limits of their own.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	closePatience     = time.Minute // of the engine, after the grace
)

func (c *serveCommand) Run(ctx context.Context, p *Program) error {
	if err := c.checkAddress(); err != nil {
		return err
	}
	log := logger(p.Stderr, c.LogLevel)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	protect, err := c.protect(ctx, p, log, registry)
	if err != nil {
		return err
	}
	defer protect.close()
	var places *foreign.Places // a follower attaches nothing
	if !c.ReadOnly {
		if places, err = c.places(log); err != nil {
			return err
		}
		defer closePlaces(places, log)
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "listen on %s: %w", c.Listen, err).
			WithHint("another program may have the port; choose one with --listen")
	}
	defer listener.Close()
	url := protect.scheme() + reachable(listener.Addr())

	clusters, err := c.clusters(p)
	if err != nil {
		return err
	}
	defer clusters.close(log)
	o := c.options(p, log)
	o.URL, o.Registry, o.ReadOnly, o.Clusters, o.Foreign = url, registry, c.ReadOnly, clusters, places
	opened, err := engine.Open(ctx, o)
	if err != nil {
		return err
	}
	handler := httpapi.New(opened, httpapi.Options{
		Version: p.Version, Log: log, Registry: registry, LocalOnly: !c.Insecure && protect.tokens == nil,
		Access: protect.tokens, Audit: protect.audit, Mounts: []*httpapi.Mount{icebergrest.Mount()},
	})
	err = c.serve(ctx, p, protect.listener(listener), handler, opened, url, log)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	return errors.Join(err, opened.Close(closing))
}

// serve answers until ctx ends, then drains.
func (c *serveCommand) serve(ctx context.Context, p *Program, listener net.Listener, handler http.Handler, opened *engine.Engine, url string, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	does := "serves"
	if c.ReadOnly {
		does = "follows"
	}
	if _, err := fmt.Fprintf(p.Stdout, "tarn %s %s at %s\n", does, c.Data, url); err != nil {
		log.Warn("cannot write the ready line", "error", err)
	}
	select {
	case err := <-failed:
		return lake.Errorf(lake.CodeUnavailable, "serve %s: %w", url, err)
	case <-ctx.Done():
	}
	opened.Drain()
	log.Info("draining", "grace", c.Grace.String())
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.Warn("requests were cut at the end of the grace", "error", err)
		if err := server.Close(); err != nil {
			log.Warn("close connections", "error", err)
		}
	}
	<-failed
	log.Info("stopped")
	return nil
}

// checkAddress refuses an address that others reach where nobody is asked who he is.
func (c *serveCommand) checkAddress() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return usagef("--listen %s: %w", c.Listen, err).withHint("write it like 127.0.0.1:7070")
	}
	switch {
	case c.Insecure && c.AuthFile != "":
		return usagef("--insecure and --auth-file exclude each other").withHint("leave --insecure out: tokens are asked for at any address")
	case c.Insecure || c.AuthFile != "" || isLoopback(c.Listen):
		return nil
	}
	return usagef("--listen %s can be reached from other machines, and nobody would be asked who he is", c.Listen).
		withHint("make tokens with tarn token new and name their file with --auth-file, or listen on 127.0.0.1 behind a proxy that authenticates, or say --insecure")
}

// reachable is the address as a client on this machine would call it.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
}

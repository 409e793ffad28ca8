package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

type serveCommand struct {
	Listen   string        `setting:"" default:"127.0.0.1:7070" placeholder:"HOST:PORT" help:"Address to serve; port 0 takes a free one."`
	Insecure bool          `setting:"" help:"Serve an address that other machines reach, with no authentication."`
	ReadOnly bool          `setting:"" help:"Follow a lake that another server writes, and change nothing; needs --state elsewhere."`
	Grace    time.Duration `setting:"" default:"30s" placeholder:"TIME" help:"How long requests may go on after SIGTERM."`

	lakeFlags `embed:"" set:"logLevel=info"`
}

func (*serveCommand) Help() string {
	return `Prints one line when it is ready, then logs to stderr. SIGTERM or SIGINT drains: no new requests, those that run get --grace; a second one ends at once.

Examples:

  tarn serve
  tarn serve --data /srv/lake --listen 127.0.0.1:8080 --query-memory-bytes 8GB
  tarn serve --read-only --data /srv/lake --state /var/lib/tarn --listen 127.0.0.1:7071`
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
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "listen on %s: %w", c.Listen, err).
			WithHint("another program may have the port; choose one with --listen")
	}
	defer listener.Close()
	url := "http://" + reachable(listener.Addr())

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o := c.options(p, log)
	o.URL, o.Registry, o.ReadOnly = url, registry, c.ReadOnly
	opened, err := engine.Open(ctx, o)
	if err != nil {
		return err
	}
	handler := httpapi.New(opened, httpapi.Options{Version: p.Version, Log: log, Registry: registry, LocalOnly: !c.Insecure})
	err = c.serve(ctx, p, listener, handler, opened, url, log)
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

// checkAddress refuses an address that others reach, as there is no
// authentication yet.
func (c *serveCommand) checkAddress() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return usagef("--listen %s: %w", c.Listen, err).withHint("write it like 127.0.0.1:7070")
	}
	if c.Insecure || host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	return usagef("--listen %s can be reached from other machines, and there is no authentication", c.Listen).
		withHint("listen on 127.0.0.1 behind a proxy that authenticates, or say --insecure")
}

// reachable is the address as a client on this machine would call it.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
}

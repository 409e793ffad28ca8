package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Files names what a server needs. ClientCA is "" where clients need no certificate.
type Files struct {
	Cert, Key, ClientCA string
}

// Keeper holds what the files said last.
type Keeper struct {
	files Files
	log   *slog.Logger

	mu struct {
		sync.Mutex // held while the files are read
		looked     time.Time
		seen       []fs.FileInfo
		config     *tls.Config
	}
}

const lookInterval = time.Second

// Open reads the files, which must be right.
func Open(files Files, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{files: files, log: log}
	seen, config, err := files.load()
	if err != nil {
		return nil, err
	}
	k.mu.looked, k.mu.seen, k.mu.config = time.Now(), seen, config
	return k, nil
}

// Server is the configuration of a server.
func (k *Keeper) Server() *tls.Config {
	c := k.current(time.Now()).Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current(time.Now()), nil }
	return c
}

// current looks at the files, unless it did so a moment ago.
func (k *Keeper) current(now time.Time) *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.mu.looked) < lookInterval {
		return k.mu.config
	}
	k.mu.looked = now
	seen := k.files.stat()
	if slices.EqualFunc(seen, k.mu.seen, same) {
		return k.mu.config
	}
	k.mu.seen = seen
	_, config, err := k.files.load()
	if err != nil {
		k.log.Error("the new certificate is not used; the one of before is", "error", err)
		return k.mu.config
	}
	k.mu.config = config
	k.log.Info("the certificate was read again", "cert", k.files.Cert)
	return config
}

func (f Files) stat() []fs.FileInfo {
	var out []fs.FileInfo
	for _, path := range []string{f.Cert, f.Key, f.ClientCA} {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		out = append(out, info)
	}
	return out
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (f Files) load() ([]fs.FileInfo, *tls.Config, error) {
	seen := f.stat() // before they are read: a change meanwhile shows at the next look
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate %s with the key %s: %w", f.Cert, f.Key, err)
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		NextProtos: []string{"http/1.1"}, // answers are cut as they are without TLS
	}
	if f.ClientCA == "" {
		return seen, c, nil
	}
	if c.ClientCAs, err = Pool(f.ClientCA); err != nil {
		return nil, nil, err
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.SessionTicketsDisabled = true // each connection is held against the authorities of now
	return seen, c, nil
}

// Pool reads the certificates of authorities.
func Pool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %w", path, errors.New("it holds no certificate in PEM"))
	}
	return pool, nil
}

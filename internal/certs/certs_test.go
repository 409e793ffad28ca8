package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tarn/internal/certs/certstest"
)

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shake connects to a server of the keeper's and says whom it met, or why not. The
// server's side decides on a client's certificate after the client is done: so one
// byte comes back.
func shake(t *testing.T, k *Keeper, client *tls.Config) (string, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer far.Close()
		s := tls.Server(far, k.Server())
		if s.Handshake() == nil {
			_, _ = s.Write([]byte("x"))
		}
	}()
	defer func() { near.Close(); <-served }()
	c := tls.Client(near, client)
	if err := c.Handshake(); err != nil {
		return "", err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	ca, clients := certstest.New(t, "servers"), certstest.New(t, "clients")
	f := Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "clients.pem")}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	if _, err := Open(f, log); err == nil {
		t.Error("files that are not there open")
	}
	cert, key := ca.Leaf("first")
	write(t, f.Cert, cert)
	write(t, f.Key, key)
	write(t, f.ClientCA, clients.PEM())
	k, err := Open(f, log)
	if err != nil {
		t.Fatal(err)
	}
	later := func() { // the next look is due
		k.mu.Lock()
		defer k.mu.Unlock()
		k.mu.looked = time.Time{}
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	client := func(m *certstest.Authority) *tls.Config {
		c := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
		if m != nil {
			cert, key := m.Leaf("client")
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		return c
	}
	good := client(clients)
	meets := func(want string) {
		t.Helper()
		if got, err := shake(t, k, good); got != want || err != nil {
			t.Errorf("the client met %q, %v, want %q", got, err, want)
		}
	}
	meets("first")
	for what, c := range map[string]*tls.Config{"no certificate": client(nil), "one of another authority": client(ca), "an old TLS": {RootCAs: pool, ServerName: "127.0.0.1", Certificates: good.Certificates, MaxVersion: tls.VersionTLS11}} {
		if got, err := shake(t, k, c); err == nil {
			t.Errorf("a client with %s met %s", what, got)
		}
	}
	cert, key = ca.Leaf("second")
	write(t, f.Cert, cert) // and not yet its key
	later()
	meets("first")
	later()
	meets("first")
	if n := strings.Count(out.String(), "is not used"); n != 1 {
		t.Errorf("it was said %d times: %s", n, out.String())
	}
	write(t, f.Key, key)
	meets("first") // it looks once a second
	later()
	meets("second")
	write(t, f.ClientCA, ca.PEM())
	later()
	if got, err := shake(t, k, good); err == nil {
		t.Errorf("a client of the authority of before met %s", got)
	}
	good = client(ca)
	meets("second")
	if err := os.Remove(f.Key); err != nil {
		t.Fatal(err)
	}
	later()
	meets("second")
}

func TestPool(t *testing.T) {
	if _, err := Pool(write(t, filepath.Join(t.TempDir(), "x"), []byte("nothing"))); err == nil {
		t.Error("a file without certificates is a pool")
	}
}

package cli

import (
	"crypto/tls"
	"net/http"
	"os"
	"strings"

	"tarn/internal/certs"
	"tarn/internal/client"
)

// serverFlags say who a command is to the server that it talks to, and whom it takes
// for that server.
type serverFlags struct {
	Token      string `group:"where" setting:"" placeholder:"TOKEN" help:"Who you are to the server; better in the environment or in --token-file, as others may see command lines."`
	TokenFile  string `group:"where" setting:"" placeholder:"FILE" help:"A file that holds the token alone."`
	CA         string `name:"ca" group:"where" setting:"" placeholder:"FILE" help:"Authorities of the server's certificate, in PEM; by default the system's."`
	ClientCert string `group:"where" setting:"" placeholder:"FILE" help:"Your certificate, in PEM, where the server asks for one."`
	ClientKey  string `group:"where" setting:"" placeholder:"FILE" help:"Its key, in PEM."`
}

// transport is how the server is talked to.
func (f *serverFlags) transport() (http.RoundTripper, error) {
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	config, err := f.tls()
	if err != nil {
		return nil, err
	}
	return client.Transport(token, config), nil
}

func (f *serverFlags) token() (string, error) {
	if f.Token != "" || f.TokenFile == "" {
		return f.Token, nil
	}
	text, err := os.ReadFile(f.TokenFile)
	if err != nil {
		return "", usagef("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", usagef("--token-file %s does not hold one token and nothing else", f.TokenFile)
	}
	return token, nil
}

// tls is nil where nothing differs from the defaults.
func (f *serverFlags) tls() (*tls.Config, error) {
	if (f.ClientCert == "") != (f.ClientKey == "") {
		return nil, usagef("--client-cert and --client-key go together")
	}
	if f.CA == "" && f.ClientCert == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if f.CA != "" {
		if c.RootCAs, err = certs.Pool(f.CA); err != nil {
			return nil, usagef("--ca: %w", err)
		}
	}
	if f.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(f.ClientCert, f.ClientKey)
		if err != nil {
			return nil, usagef("--client-cert %s: %w", f.ClientCert, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

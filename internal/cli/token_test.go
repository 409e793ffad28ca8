package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/certs/certstest"
)

// usage runs a program that must be refused as it stands, before anything is done.
func usage(t *testing.T, says string, args ...string) {
	t.Helper()
	out := run(t, nil, args...)
	if out.code != 2 || !strings.Contains(out.stderr, says) {
		t.Errorf("tarn %s: %+v, want %q", strings.Join(args, " "), out, says)
	}
}

func TestTokensAreMadeListedAndRevoked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	token := strings.TrimSpace(ok(t, "token", "new", "boss", "--role", "admin", "--auth-file", file))
	if !strings.HasPrefix(token, "tarn_") {
		t.Errorf("the token is %q", token)
	}
	out := run(t, map[string]string{"TARN_AUTH_FILE": file}, "token", "new", "view", "--role", "read", "--dataset", "sales.*", "--dataset", "orders=write", "--expires", "1h", "--rate", "5", "--body", "1MiB", "--note", "for the board")
	if out.code != 0 || !strings.HasPrefix(out.stdout, "tarn_") || strings.Contains(out.stderr, strings.TrimSpace(out.stdout)) {
		t.Errorf("%+v", out)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), token) {
		t.Errorf("the file holds a token: %s, %v", text, err)
	}
	list := ok(t, "token", "list", "--auth-file", file)
	for _, want := range []string{"admin the whole lake", "write orders, read sales.*", "for the board"} {
		if !strings.Contains(list, want) {
			t.Errorf("%s does not have %q", list, want)
		}
	}
	var all []struct{ ID string }
	if err := json.Unmarshal([]byte(ok(t, "token", "list", "-o", "json", "--auth-file", file)), &all); err != nil || len(all) != 2 {
		t.Errorf("%v, %v", all, err)
	}
	usage(t, "twice", "token", "new", "boss", "--role", "read", "--auth-file", file)
	ok(t, "token", "revoke", "boss", "--auth-file", file)
	refused(t, "not_found", "token", "revoke", "boss", "--auth-file", file)

	loose := run(t, nil, "token", "new", "x", "--role", "read") // and no file
	if loose.code != 0 || !strings.Contains(loose.stderr, "role: read") || !strings.Contains(loose.stderr, "sha256: ") || strings.Count(loose.stdout, "\n") != 1 {
		t.Errorf("%+v", loose)
	}
	for says, args := range map[string][]string{
		"neither role":   {"x"},
		"has no role":    {"x", "--dataset", "a"},
		"not clear":      {"x", "--role", "read", "--dataset", "*"},
		"whole lake":     {"x", "--role", "admin", "--dataset", "a"},
		"neither a time": {"x", "--role", "read", "--expires", "soon"},
		"is past":        {"x", "--role", "read", "--expires", "2001-01-01"},
		"an id is":       {"x y", "--role", "read"},
		"not a size":     {"x", "--role", "read", "--body", "much"},
		"burst goes":     {"x", "--role", "read", "--burst", "3"},
	} {
		usage(t, says, append([]string{"token", "new"}, args...)...)
	}
	usage(t, "--auth-file", "token", "list")
}

func TestWhoMayReachAServer(t *testing.T) {
	dir := t.TempDir()
	tokens, lake := filepath.Join(dir, "tokens.yaml"), filepath.Join(dir, "lake")
	ok(t, "token", "new", "boss", "--role", "admin", "--auth-file", tokens)
	wrong := writeFile(t, dir, "wrong.yaml", "tokens: [{}]")
	serve := func(args ...string) []string { return append([]string{"serve", "--data", lake}, args...) }
	usage(t, "--auth-file", serve("--listen", "0.0.0.0:0")...)
	usage(t, "--auth-file", serve("--listen", ":0")...)
	usage(t, "exclude each other", serve("--listen", "0.0.0.0:0", "--insecure", "--auth-file", tokens)...)
	usage(t, "no such file", serve("--auth-file", filepath.Join(dir, "absent"))...)
	usage(t, "wrong.yaml", serve("--auth-file", wrong)...)
	usage(t, "go together", serve("--tls-cert", tokens)...)
	usage(t, "goes with", serve("--tls-client-ca", tokens)...)
	usage(t, "--tls-cert", serve("--tls-cert", tokens, "--tls-key", tokens)...)
	usage(t, "--audit-log", serve("--audit-log", filepath.Join(dir, "absent", "audit"))...)
	if _, err := os.Stat(lake); err == nil {
		t.Error("a lake was made")
	}
}

// Tokens, TLS both ways and the audit log, as a person would set them up.
func TestAServerWithTokensAndTLS(t *testing.T) {
	dir := t.TempDir()
	tokens, audit := filepath.Join(dir, "tokens.yaml"), filepath.Join(dir, "audit.jsonl")
	boss := strings.TrimSpace(ok(t, "token", "new", "boss", "--role", "admin", "--auth-file", tokens))
	view := strings.TrimSpace(ok(t, "token", "new", "view", "--role", "read", "--dataset", "trips", "--auth-file", tokens))
	ca, clients := certstest.New(t, "servers"), certstest.New(t, "clients")
	cert, key := ca.Leaf("server")
	mine, secret := clients.Leaf("client")
	file := func(name string, text []byte) string { return writeFile(t, dir, name, string(text)) }
	caFile, certFile, keyFile, clientsFile := file("ca.pem", ca.PEM()), file("cert.pem", cert), file("key.pem", key), file("clients.pem", clients.PEM())
	mineFile, secretFile := file("mine.pem", mine), file("secret.pem", secret)

	lake := filepath.Join(dir, "lake")
	url, end := served(t, lake, "--auth-file", tokens, "--tls-cert", certFile, "--tls-key", keyFile, "--tls-client-ca", clientsFile, "--audit-log", audit)
	defer end()
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("it serves %s", url)
	}
	known := []string{"--ca", caFile, "--client-cert", mineFile, "--client-key", secretFile}
	as := func(token string, args ...string) outcome {
		return run(t, map[string]string{"TARN_TOKEN": token}, append(args, known...)...)
	}
	// By the folder's lock, as by --server.
	for _, where := range [][]string{{"--data", lake}, {"--server", url}} {
		name := "trips"
		if where[0] == "--server" {
			name = "vault"
		}
		if out := as(boss, append([]string{"create", name, "--column", "id BIGINT", "--primary-key", "id"}, where...)...); out.code != 0 {
			t.Fatalf("%+v", out)
		}
	}
	if out := as(view, "sql", "show tables", "--server", url); out.stdout != "name\ntrips\n" {
		t.Errorf("%+v", out)
	}
	tokenFile := file("token", []byte(view+"\n"))
	if out := run(t, nil, append([]string{"sql", "show tables", "--server", url, "--token-file", tokenFile}, known...)...); out.stdout != "name\ntrips\n" {
		t.Errorf("%+v", out)
	}
	for what, out := range map[string]outcome{
		"TARN_TOKEN":        as("", "datasets", "--server", url),
		"(unauthorized)":    as("tarn_wrong", "datasets", "--server", url),
		"access_denied":     as(view, "drop", "trips", "--server", url),
		"dataset_not_found": as(view, "datasets", "vault", "--server", url),
		"certificate":       run(t, map[string]string{"TARN_TOKEN": boss}, "datasets", "--server", url, "--ca", caFile),
		"x509":              run(t, map[string]string{"TARN_TOKEN": boss}, "datasets", "--server", url, "--client-cert", mineFile, "--client-key", secretFile),
	} {
		if out.code != 1 || !strings.Contains(out.stderr, what) || strings.Contains(out.stderr, boss) {
			t.Errorf("%s: %+v", what, out)
		}
	}
	end()
	text, err := os.ReadFile(audit)
	if err != nil || !strings.Contains(string(text), `"principal":"boss"`) || !strings.Contains(string(text), `"outcome":"access_denied"`) || strings.Contains(string(text), boss[5:]) {
		t.Errorf("%s, %v", text, err)
	}
}

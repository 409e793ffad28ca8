package httpapi_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tarn/internal/access"
	"tarn/internal/audit"
	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
)

// guarded is a real lake behind tokens, and what is known of who calls.
type guarded struct {
	t      *testing.T
	hc     *http.Client
	tokens map[string]string // by id
	file   string            // of tokens
	keeper *access.Keeper
	audit  *lockedBuffer
	log    *lockedBuffer
}

// canary stands in every hidden row, and in no answer to those who may not see it.
const canary = "CANARY-7f3a91"

// principals are the tokens of the tests: some see orders and the namespace sales; to
// them hqzxkvwj, and the namespace hqzxnsj, do not exist.
func principals() []*access.Entry {
	return []*access.Entry{
		{ID: "boss", Role: "admin"},
		{ID: "second", Role: "admin"},
		{ID: "all-writer", Role: "write"},
		{ID: "all-reader", Role: "read"},
		{ID: "reader", Grants: map[string]string{"orders": "read", "sales.*": "read"}},
		{ID: "writer", Grants: map[string]string{"orders": "write", "sales.*": "write", "clients": "read"}},
		{ID: "scraper", Metrics: true},
		{ID: "few", Grants: map[string]string{"orders": "write"}, Limits: &access.EntryLimits{BodyBytes: "100"}},
	}
}

func openGuarded(t *testing.T, change ...func(*httpapi.Options)) *guarded {
	t.Helper()
	g := &guarded{t: t, tokens: map[string]string{}, file: filepath.Join(t.TempDir(), "tokens.yaml"), audit: &lockedBuffer{}, log: &lockedBuffer{}}
	for _, e := range principals() {
		g.add(e)
	}
	log := slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if g.keeper, err = access.Open(g.file, log); err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	registry := prometheus.NewRegistry()
	e, err := engine.Open(ctx, engine.Options{Data: t.TempDir(), MemoryBytes: 2 << 30, Log: log, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	o := httpapi.Options{Log: log, Registry: registry, Access: g.keeper, Audit: audit.To(g.audit, log, func() {})}
	for _, c := range change {
		c(&o)
	}
	hc, end := client.InMemory(httpapi.New(e, o))
	t.Cleanup(end)
	g.hc = hc
	for _, name := range []string{"orders", "clients", "sales.items", "hqzxkvwj", "hqzxnsj.hqzxkjwj"} {
		g.must("boss", http.StatusCreated, "PUT /datasets/"+name, `{"columns":[{"name":"id","type":"BIGINT"},{"name":"note","type":"VARCHAR"},{"name":"n","type":"BIGINT"}],"primary_key":["id"]}`)
		note := "seen"
		if name == "hqzxkvwj" || name == "hqzxnsj.hqzxkjwj" {
			note = canary
		}
		g.must("boss", http.StatusOK, "POST /datasets/"+name+"/rows", fmt.Sprintf(`[{"id":1,"note":%q,"n":1},{"id":2,"note":%q,"n":2}]`, note, note))
	}
	g.must("boss", http.StatusOK, "POST /query/compact", `{"dataset":"hqzxkvwj"}`)
	return g
}

// add makes a token and puts it into the file.
func (g *guarded) add(e *access.Entry) {
	g.t.Helper()
	token := access.NewToken()
	hash := access.HashOf(token)
	e.SHA256 = hex.EncodeToString(hash[:])
	g.tokens[e.ID] = token
	if err := access.Add(g.file, e); err != nil {
		g.t.Fatal(err)
	}
}

// reply is an answer: all of it but what differs between any two requests.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", r.status)
	writeHeaders(&b, "", r.header)
	return b.String() + "\n" + r.body
}

// call sends "METHOD /path", with a JSON body unless more headers say else. Who is ""
// sends no token.
func (g *guarded) call(who, line, body string, headers ...string) reply {
	g.t.Helper()
	method, path, _ := strings.Cut(line, " ")
	req, err := http.NewRequestWithContext(g.t.Context(), method, "http://tarn"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+g.tokens[who])
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	res, err := g.hc.Transport.RoundTrip(req)
	if err != nil {
		g.t.Fatalf("%s %s: %v", who, line, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{res.StatusCode, res.Header, string(text) + "\ncut: " + err.Error()}
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

func (g *guarded) must(who string, status int, line, body string, headers ...string) reply {
	g.t.Helper()
	r := g.call(who, line, body, headers...)
	if r.status != status {
		g.t.Fatalf("%s %s: %s, want %d", who, line, r, status)
	}
	return r
}

func (g *guarded) sql(who, sql string) reply {
	g.t.Helper()
	return g.call(who, "POST /query/sql", sql, "Content-Type: text/plain")
}

// auditLines gives the lines of the audit log, once the handlers are done with them.
func (g *guarded) auditLines() []string {
	g.audit.mu.Lock()
	defer g.audit.mu.Unlock()
	return strings.Split(strings.TrimSpace(g.audit.buf.String()), "\n")
}

func (g *guarded) rewrite(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

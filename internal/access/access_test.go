package access

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tarn/internal/lake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hashText(token string) string {
	h := HashOf(token)
	return hex.EncodeToString(h[:])
}

func entry(id, token string) *Entry { return &Entry{ID: id, SHA256: hashText(token), Role: "read"} }

func name(t *testing.T, s string) lake.Name {
	t.Helper()
	n, err := lake.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGrantsReachAsFarAsTheirPatterns(t *testing.T) {
	all, err := Parse([]byte(`
tokens:
  - id: some
    sha256: ` + hashText("a") + `
    grants: {Orders: write, sales.*: read, sales.open_*: write, "*.public": read}
    expires: 2031-02-03
    limits: {requests_per_second: 2.5, concurrent: 3, body_bytes: 8MiB}
  - {id: lake, sha256: ` + strings.ToUpper(hashText("b")) + `, role: Write}
`))
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	some, whole := all[0], all[1]
	for text, want := range map[string]Role{
		"orders": Write, "main.ORDERS": Write, "orders2": None, "order": None, "other.orders": None, "sales.x": Read, "SALES.Open_1": Write, "sales.open_": Write,
		"salesx.x": None, "main.sales": None, "main.public": Read, "hr.public": Read, "hr.publics": None, "hr.x": None,
	} {
		if got := some.On(name(t, text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if got := some.Visible().Has(name(t, text)); got != (want >= Read) {
			t.Errorf("%s is visible: %v", text, got)
		}
		if whole.On(name(t, text)) != Write {
			t.Errorf("%s: the whole lake does not have it", text)
		}
	}
	if some.Everywhere(Read) || !some.Somewhere(Write) || some.Somewhere(Admin) || !whole.Everywhere(Write) || whole.Everywhere(Admin) || whole.Visible() != nil {
		t.Error("everywhere and somewhere")
	}
	if some.Limits != (Limits{RequestsPerSecond: 2.5, Concurrent: 3, BodyBytes: 8 << 20}) || some.Expires.Year() != 2031 {
		t.Errorf("%+v", some)
	}
}

func TestWhatAFileMayNotSay(t *testing.T) {
	h := hashText("a")
	for text, says := range map[string]string{
		"tokens: [{id: a, sha256: " + h + "}]":                                                                 "neither role nor grants",
		"tokens: [{id: a, sha256: " + h + ", role: read, grants: {x: read}}]":                                  "give one of them",
		"tokens: [{id: a, sha256: " + h + ", role: owner}]":                                                    "read, write or admin",
		"tokens: [{id: a, sha256: " + h + ", grants: {x: admin}}]":                                             "whole lake",
		"tokens: [{id: a, sha256: " + h + ", grants: {'*': read}}]":                                            "not clear",
		"tokens: [{id: a, sha256: " + h + ", grants: {a*b: read}}]":                                            "not a pattern",
		"tokens: [{id: a, sha256: " + h + ", grants: {a.b.c: read}}]":                                          "not a pattern",
		"tokens: [{id: a, sha256: " + h[1:] + ", role: read}]":                                                 "64 hex digits",
		"tokens: [{id: a, sha256: tarn_this-is-a-token, role: read}]":                                          "64 hex digits",
		"tokens: [{id: 'a b', sha256: " + h + ", role: read}]":                                                 "an id is",
		"tokens: [{id: a, sha256: " + h + ", role: read, rolle: write}]":                                       "rolle",
		"tokens: [{id: a, sha256: " + h + ", role: read}, {id: b, sha256: " + h + ", role: write}]":            "same token",
		"tokens: [{id: a, sha256: " + h + ", role: read}, {id: a, sha256: " + hashText("b") + ", role: read}]": "twice",
		"tokens: [{id: a, id: b, sha256: " + h + ", role: read}]":                                              "already defined",
		"tokens: [null]":              "empty",
		"tokens: {}":                  "",
		"token: []":                   "token",
		"tokens: []\n---\ntokens: []": "more than one document",
		"tokens: [{id: a, sha256: " + h + ", role: read, limits: {requests_per_second: -1}}]":      "above 0",
		"tokens: [{id: a, sha256: " + h + ", role: read, limits: {requests_per_second: .nan}}]":    "above 0",
		"tokens: [{id: a, sha256: " + h + ", role: read, limits: {burst: 3}}]":                     "burst goes with",
		"tokens: [{id: a, sha256: " + h + ", role: read, limits: {body_bytes: much}}]":             "not a size",
		"tokens: [{id: a, sha256: " + h + ", role: read, expires: soon}]":                          "",
		"tokens: " + strings.Repeat("[", 100_000):                                                  "",
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]": "",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.120s: %v, want %q", text, err, says)
		}
		if err != nil && (strings.Contains(err.Error(), h) || strings.Contains(err.Error(), "this-is-a-token")) {
			t.Errorf("%.120s: the message repeats a hash or a token: %v", text, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "tokens: []", "tokens:\n"} {
		if all, err := Parse([]byte(text)); err != nil || len(all) != 0 {
			t.Errorf("%q: %v, %v", text, all, err)
		}
	}
}

func TestTokensAreFound(t *testing.T) {
	a, b := NewToken(), NewToken()
	if a == b || len(a) != len(tokenPrefix)+43 {
		t.Fatalf("%q, %q", a, b)
	}
	text, err := Text(entry("a", a), entry("b", b), &Entry{ID: "old", SHA256: hashText("old"), Role: "read", Expires: time.Now().Add(-time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for token, id := range map[string]string{a: "a", b: "b", "old": "", "": "", a[:len(a)-1]: "", a + "=": "", hashText(a): ""} {
		got := ""
		if p := find(all, token, time.Now()); p != nil {
			got = p.ID
		}
		if got != id {
			t.Errorf("%q is %q, want %q", token, got, id)
		}
	}
	if find(all, "old", time.Now().Add(-time.Minute)) == nil {
		t.Error("it had not expired then")
	}
	if find(nil, a, time.Now()) != nil {
		t.Error("nobody knows it")
	}
}

func TestEditing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	for _, id := range []string{"a", "b"} {
		if err := Add(path, entry(id, id)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(path)
	for _, wrong := range []*Entry{entry("a", "c"), entry("c", "b"), {ID: "d", SHA256: "x", Role: "read"}} {
		if err := Add(path, wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	if err := Remove(path, "c"); !errors.Is(err, ErrNoToken) {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a refused change changed the file")
	}
	if err := Remove(path, "a"); err != nil {
		t.Fatal(err)
	}
	if all, err := List(path); err != nil || len(all) != 1 || all[0].ID != "b" {
		t.Errorf("%v, %v", all, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// lockedLog is a log to read while it is written.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lockedLog) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func TestTheFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	var out lockedLog
	log := slog.New(slog.NewTextHandler(&out, nil))
	if _, err := Open(path, log); err == nil {
		t.Error("a file that is not there opens")
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := func(id, token string) string {
		return fmt.Sprintf("tokens: [{id: %s, sha256: %s, role: read}]\n", id, hashText(token))
	}
	write(line("aa", "a"))
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, log); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can write opens: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	knows := func(token string, want bool) {
		t.Helper()
		if (k.Find(token) != nil) != want {
			t.Errorf("it knows %s: %v", token, !want)
		}
	}
	knows("a", true)
	write(line("bb", "b")) // of the same length and most likely in the same instant
	if !k.Look() {
		t.Error("it is right")
	}
	knows("a", false)
	knows("b", true)
	for range 3 {
		write("tokens: [")
		if k.Look() {
			t.Error("it is wrong")
		}
		knows("b", true)
	}
	if n := out.count("those of before hold on"); n != 1 {
		t.Errorf("one wrong file was told %d times", n)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	k.Look()
	k.Look()
	knows("b", true)
	write(line("bb", "b"))
	if !k.Look() || !k.Good() {
		t.Error("it is right again")
	}
	if n := out.count("those of before hold on"); n > 2 {
		t.Errorf("two wrong files were told %d times", n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx) }()
	write(line("cc", "c"))
	for k.Find("c") == nil { // until it has looked
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
}

// A reload that leaves the limits as they are does not give a token its rate anew.
func TestMetersGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	limited := entry("a", "a")
	limited.Limits = &EntryLimits{RequestsPerSecond: 0.001, Burst: 1}
	if err := Add(path, limited); err != nil {
		t.Fatal(err)
	}
	k, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	enter := func() error {
		leave, _, err := k.Find("a").Enter(time.Now())
		if err == nil {
			leave()
		}
		return err
	}
	if err := enter(); err != nil {
		t.Fatal(err)
	}
	if err := Add(path, entry("b", "b")); err != nil {
		t.Fatal(err)
	}
	k.Look()
	if err := enter(); lake.CodeOf(err) != lake.CodeRateLimited {
		t.Errorf("after a reload: %v", err)
	}
	if err := Remove(path, "a"); err != nil {
		t.Fatal(err)
	}
	limited.Limits.Burst = 2
	if err := Add(path, limited); err != nil {
		t.Fatal(err)
	}
	k.Look()
	if err := enter(); err != nil {
		t.Errorf("with other limits: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	good, err := Text(entry("a", "a"), &Entry{ID: "b", SHA256: hashText("b"), Grants: map[string]string{"sales.*": "read"}, Limits: &EntryLimits{Concurrent: 1, BodyBytes: "1MiB"}, Expires: time.Unix(1e9, 0)})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good), "", "tokens: [null]", "tokens: {}", "- a", "tokens: [{id: a, <<: {role: admin}}]", "tokens: &a [*a]", "\xff", "tokens: [{id: !!binary YQ==}]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		if err != nil {
			return
		}
		ids := map[string]bool{}
		for _, p := range all {
			if ids[p.ID] || !idPattern.MatchString(p.ID) {
				t.Errorf("the id %q", p.ID)
			}
			ids[p.ID] = true
			if p.Role == None && len(p.Grants) == 0 && !p.Metrics || p.Role != None && len(p.Grants) > 0 {
				t.Errorf("%+v", p)
			}
			for _, g := range p.Grants {
				if g.Role != Read && g.Role != Write {
					t.Errorf("%+v", g)
				}
			}
		}
	})
}

package bench

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openPeer(t *testing.T, mode PeerMode) *peer {
	t.Helper()
	p, err := startPeer(t.Context(), nil, peerOpen{Mode: mode, Scratch: t.TempDir(), Threads: 1, MemoryBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// makeFile writes 1,000 rows as Parquet.
func makeFile(t *testing.T, p *peer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "it's.parquet")
	if err := p.exec("COPY (SELECT range AS id, 'v' || range % 7 AS v FROM range(1000)) TO '" + strings.ReplaceAll(path, "'", "''") + "' (FORMAT parquet)"); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAllModesAnswerAlike(t *testing.T) {
	var path string
	var want digest
	for _, mode := range []PeerMode{PeerParquet, PeerPlain, PeerCompressed} {
		p := openPeer(t, mode)
		if path == "" {
			path = makeFile(t, p)
		}
		if _, err := p.load(peerLoad{Schema: "clean", Table: "things", Files: []string{path}}); err != nil {
			t.Fatal(err)
		}
		if holds := p.memory > 0; holds != (mode != PeerParquet) {
			t.Errorf("%s holds %d bytes of tables", mode, p.memory)
		}
		a, err := p.run(t.Context(), "select v, count(*) as n from clean.things group by v")
		if err != nil || a.Took <= 0 || a.Rows != 7 {
			t.Fatalf("%s: %+v, %v", mode, a, err)
		}
		if want == (digest{}) {
			want = a.digest
		}
		if a.digest != want {
			t.Errorf("%s answers %s, want %s", mode, a, want)
		}
		if !strings.HasPrefix(p.version, "v1.") {
			t.Errorf("version %q", p.version)
		}
	}
}

func TestAPeerSurvivesAWrongQuestion(t *testing.T) {
	p := openPeer(t, PeerPlain)
	if _, err := p.run(t.Context(), "select nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v", err)
	}
	if _, err := p.load(peerLoad{Schema: "s", Table: "t", Files: []string{"/nowhere.parquet"}}); err == nil {
		t.Error("a file that is not there was loaded")
	}
	if a, err := p.run(t.Context(), "select 1"); err != nil || a.Rows != 1 {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
}

// A context that ends takes a peer inside this process with it; a process of
// its own is killed.
func TestAPeerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := startPeer(ctx, nil, peerOpen{Mode: PeerPlain, Scratch: t.TempDir(), Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := p.run(ctx, "select count(*) from range(100000000) a, range(100000000) b where a.range * b.range = 17"); err == nil {
		t.Error("10^16 rows were counted")
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
	if err := p.close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestPeerMain(t *testing.T) {
	for _, c := range []struct {
		name, in string
		code     int
		says     string
	}{
		{"nothing asked", "", 0, ""},
		{"asked too early", `{"run":"select 1"}`, 0, "nothing is open"},
		{"opened twice", `{"open":{"mode":"plain"}}{"open":{"mode":"plain"}}`, 0, "open already"},
	} {
		var out, errs bytes.Buffer
		if code := PeerMain(t.Context(), strings.NewReader(c.in), &out, &errs); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d, %q, %q", c.name, code, out.String(), errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := PeerMain(t.Context(), strings.NewReader("not JSON"), &out, &errs); code != 1 || !strings.Contains(errs.String(), "read a request") {
		t.Errorf("not JSON: exit code %d, %q", code, errs.String())
	}
	if code := PeerMain(t.Context(), strings.NewReader(`{"run":"select 1"}`), broken{}, &errs); code != 1 {
		t.Errorf("a broken pipe: exit code %d", code)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/foreign"
)

// The lists of places and catalogs come from flags, the environment and the file, there as
// a list of YAML too.
func TestPlacesToAttachFrom(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	one, two, odd := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "a, b")
	for _, d := range []string{one, two, odd} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	prod := "prod=https://catalog.example:8181/api;warehouse=main;token_file=" + token
	want := []foreign.Catalog{{Name: "prod", URI: "https://catalog.example:8181/api", Warehouse: "main", TokenFile: token}}
	for name, c := range map[string]struct {
		file  string
		env   map[string]string
		args  []string
		roots []string
		cats  []foreign.Catalog
	}{
		"nothing":             {},
		"flags":               {"attach_roots: two", nil, []string{"--attach-roots", "one,s3://bucket/p?endpoint=http://localhost:9000&path_style=true,file:///srv", "--attach-roots", two, "--attach-catalogs", prod}, []string{one, "s3://bucket/p?endpoint=http://localhost:9000&path_style=true", "file:///srv", two}, want},
		"the environment":     {"attach_roots: one", map[string]string{"TARN_ATTACH_ROOTS": "two,one", "TARN_ATTACH_CATALOGS": prod + ",test=http://localhost:9"}, nil, []string{two, one}, append(slices.Clone(want), foreign.Catalog{Name: "test", URI: "http://localhost:9"})},
		"the file":            {"attach_roots: one\n", nil, nil, []string{one}, nil},
		"a list in the file":  {"attach_roots:\n- one\n- 'a, b'\nattach_catalogs: ['" + prod + "']\n", nil, nil, []string{one, odd}, want},
		"no list in the file": {"attach_roots: []\n", nil, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile("tarn.yaml", []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := probe(t, c.env, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			roots, err := s.roots()
			if err != nil || !slices.Equal(roots, c.roots) {
				t.Errorf("roots %q, %v, want %q", roots, err, c.roots)
			}
			catalogs, err := s.catalogs()
			if err != nil || !slices.Equal(catalogs, c.cats) {
				t.Errorf("catalogs %+v, %v, want %+v", catalogs, err, c.cats)
			}
		})
	}
	places, err := (&attachFlags{}).places(slog.New(slog.DiscardHandler))
	if places != nil || err != nil {
		t.Errorf("without roots: %v, %v", places, err)
	}
	closePlaces(nil, nil)
}

func TestWrongPlacesAreSaid(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	root := []string{dir}
	for _, c := range []struct {
		roots, catalogs []string
		says            string
	}{
		{[]string{"none"}, nil, "none: no such file"},
		{[]string{"file"}, nil, "this is no folder"},
		{[]string{dir, " "}, nil, "empty place"},
		{nil, []string{"p=http://x"}, "without --attach-roots"},
		{root, []string{"http://x"}, "a name and the catalog's URI"},
		{root, []string{"a/b=http://x"}, "a name and the catalog's URI"},
		{root, []string{"p=x"}, "http://"},
		{root, []string{"p=s3://x"}, "http://"},
		{root, []string{"p=https://u:secret@x"}, "more than an address"},
		{root, []string{"p=https://x?token=secret"}, "more than an address"},
		{root, []string{"p=http://x", "p=http://y"}, "twice"},
		{root, []string{"p=http://x;token=secret"}, `"token" is not known`},
		{root, []string{"p=http://x;warehouse="}, "warehouse has no value"},
		{root, []string{"p=http://x;warehouse=a;warehouse=b"}, "warehouse has no value, or two"},
		{root, []string{"p=http://x;token_file=none"}, "token_file: stat none"},
	} {
		f := attachFlags{c.roots, c.catalogs}
		places, err := f.places(slog.New(slog.DiscardHandler))
		if err == nil || places != nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q, %q: %v, want %q", c.roots, c.catalogs, err, c.says)
		}
	}
}

func TestAttachInterval(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args []string
		want time.Duration
	}{
		{nil, time.Minute}, {[]string{"--attach-interval", "5s"}, 5 * time.Second}, {[]string{"--attach-interval", "0"}, engine.NoSync}, {[]string{"--attach-interval", "0s"}, engine.NoSync},
	} {
		s, err := probe(t, nil, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Settings.over(engine.Defaults(8 << 30)).AttachInterval; got != c.want {
			t.Errorf("%q: %s, want %s", c.args, got, c.want)
		}
	}
}

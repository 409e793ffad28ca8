package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"tarn/internal/engine"
)

func TestEverySettingOfTheEngineIsAFlag(t *testing.T) {
	own, theirs := reflect.TypeFor[settings](), reflect.TypeFor[engine.Settings]()
	for i := range theirs.NumField() {
		name := theirs.Field(i).Name
		f, ok := own.FieldByName(name)
		if !ok {
			t.Errorf("engine.Settings.%s has no flag", name)
			continue
		}
		if _, ok := f.Tag.Lookup(settingTag); !ok || f.Tag.Get("group") != "settings" || f.Tag.Get("help") == "" {
			t.Errorf("%s: tag %q", name, f.Tag)
		}
		if _, ok := settingDefault(engine.Defaults(8<<30), name); !ok {
			t.Errorf("%s has no default", name)
		}
	}
	for name := range settingFields() {
		if _, ok := theirs.FieldByName(name); !ok {
			t.Errorf("the flag of %s sets nothing", name)
		}
	}
}

// The page for operators lists every setting, and the default that is in force.
func TestOperationsListsEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	var c commands
	parser, err := kong.New(&c, kong.Vars{"logLevel": "warn", "seed": "1"}, kong.ValueFormatter((&Program{}).flagHelp))
	if err != nil {
		t.Fatal(err)
	}
	defaults := engine.Defaults(8 << 30)
	fields := map[string]string{}
	for field := range settingFields() {
		fields[strings.ToLower(field)] = field
	}
	for _, name := range knownSettings(parser.Model) {
		line := ""
		for l := range strings.Lines(string(text)) {
			if line == "" && strings.HasPrefix(l, "| `") && strings.Contains(l, "`"+name+"`") {
				line = l // the table of settings is the first
			}
		}
		if line == "" {
			t.Errorf("docs/OPERATIONS.md does not list %s", name)
			continue
		}
		field, ok := fields[strings.ReplaceAll(name, "_", "")]
		if !ok || strings.Contains(line, "memory |") {
			continue // of the program, or in proportion to the memory
		}
		if text, _ := settingDefault(defaults, field); !strings.Contains(line, text) {
			t.Errorf("the default of %s is %s; docs/OPERATIONS.md says %s", name, text, line)
		}
	}
}

func TestNothingGivenIsTheDefaults(t *testing.T) {
	defaults := engine.Defaults(8 << 30)
	if got := (settings{CompactAuto: true}).over(defaults); got != defaults {
		t.Errorf("%+v, want %+v", got, defaults)
	}
}

// probe parses a serve command line without running it.
func probe(t *testing.T, env map[string]string, args ...string) (serveCommand, error) {
	t.Helper()
	var c struct {
		Serve serveCommand `cmd:""`
		SQL   sqlCommand   `cmd:"" name:"sql"`
	}
	p := &Program{Memory: 8 << 30}
	parser, err := kong.New(&c, kong.Name("tarn"), kong.Vars{"logLevel": "warn"},
		kong.Resolvers(&configuration{env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}),
		kong.ValueFormatter(p.flagHelp), kong.BindTo(context.Background(), (*context.Context)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return c.Serve, err
}

func TestFlagThenEnvironmentThenFileThenDefault(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := write("other.yaml", "query_timeout: 4s\nlisten: 127.0.0.1:4\n")

	timeout := func(c serveCommand) time.Duration {
		return c.Settings.over(engine.Defaults(8 << 30)).QueryTimeout
	}
	step := func(want time.Duration, listen string, env map[string]string, args ...string) {
		t.Helper()
		c, err := probe(t, env, args...)
		if err != nil {
			t.Fatal(err)
		}
		if timeout(c) != want || c.Listen != listen {
			t.Errorf("timeout %s and listen %s, want %s and %s", timeout(c), c.Listen, want, listen)
		}
	}
	env := map[string]string{"TARN_QUERY_TIMEOUT": "2s", "TARN_LISTEN": "127.0.0.1:2"}
	step(time.Minute, "127.0.0.1:7070", nil)
	write("tarn.yaml", "query_timeout: 3s\nlisten: 127.0.0.1:3\ncompact_auto: false\nmax_body_bytes: 16MiB\nthreads: 3\n")
	step(3*time.Second, "127.0.0.1:3", nil)
	step(4*time.Second, "127.0.0.1:4", nil, "--config", other)
	step(4*time.Second, "127.0.0.1:4", map[string]string{"TARN_CONFIG": other})
	step(2*time.Second, "127.0.0.1:2", env)
	step(time.Second, "127.0.0.1:1", env, "--query-timeout", "1s", "--listen", "127.0.0.1:1")

	c, err := probe(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Settings.over(engine.Defaults(8 << 30))
	if got.CompactAuto || got.MaxBodyBytes != 16<<20 || got.Threads != 3 {
		t.Errorf("of the file: %+v", got)
	}
	if c, err := probe(t, map[string]string{"TARN_COMPACT_AUTO": "true"}); err != nil || !c.Settings.CompactAuto {
		t.Errorf("compact-auto of the environment: %v, %v", c.Settings.CompactAuto, err)
	}
	if c, err := probe(t, map[string]string{"TARN_COMPACT_AUTO": "true"}, "--no-compact-auto"); err != nil || c.Settings.CompactAuto {
		t.Errorf("--no-compact-auto: %v, %v", c.Settings.CompactAuto, err)
	}
}

func TestAWrongConfigurationIsSaid(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for text, says := range map[string]string{
		"query-timeout: 5s\n":                    "is it query_timeout?",
		"a: 1\nnonsense: 2\n":                    "is not a setting",
		"query_timeout: [1, 2]\n":                "single value",
		"query_timeout:\n":                       "single value",
		"attach_roots: [[a]]\n":                  "a list of single values",
		"attach_roots: {a: b}\n":                 "a list of values, or a single one",
		"attach_roots:\n":                        "a list of values, or a single one",
		"query_timeout: soon\n":                  "soon",
		"max_body_bytes: plenty\n":               "16GB",
		"- a\n":                                  "tarn.yaml",
		"query_timeout: 1s\nquery_timeout: 2s\n": "query_timeout",
	} {
		if err := os.WriteFile("tarn.yaml", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := probe(t, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	if err := os.WriteFile("tarn.yaml", []byte("# only words\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := probe(t, nil); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := probe(t, nil, "--config", "missing.yaml"); err == nil {
		t.Error("a named file that is not there was passed over")
	}
}

func TestSizesReadBackAsWritten(t *testing.T) {
	for text, want := range map[string]size{
		"16GB": 16e9, "512MiB": 512 << 20, "1048576": 1 << 20, "0": 0, "1.5GiB": 3 << 29, "7 kB": 7000,
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		var again size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%s is written %s, which is %d (%v)", text, s, again, err)
		}
	}
	for _, text := range []string{"", "lots", "-1", "10XB", "20000000TB"} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %d", text, s)
		}
	}
}

func TestColumnsParse(t *testing.T) {
	no := false
	for text, want := range map[string]struct {
		name, sql string
		nullable  *bool
	}{
		"a BIGINT":                    {"a", "BIGINT", nil},
		"  a   DECIMAL(10, 2)  ":      {"a", "DECIMAL(10, 2)", nil},
		`"a ""b"" c" VARCHAR[]`:       {`a "b" c`, "VARCHAR[]", nil},
		"a timestamp with time zone":  {"a", "timestamp with time zone", nil},
		"a STRUCT(x BIGINT) not null": {"a", "STRUCT(x BIGINT)", &no},
	} {
		c, err := parseColumn("--column", text)
		if err != nil || c.Name != want.name || c.Type != want.sql || (c.Nullable == nil) != (want.nullable == nil) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "a", `""`, `"a`, "a not null", `"" BIGINT`} {
		if c, err := parseColumn("--column", text); err == nil {
			t.Errorf("%q was taken as %+v", text, c)
		}
	}
}

func TestAnswersAreSafeForATerminal(t *testing.T) {
	answer := `{"columns":[{"name":"a","type":"VARCHAR"},{"name":"n","type":"DECIMAL(4,2)"}],"read_points":{},"served_from":{},
		"rows":[["x\u001b[2Jy\nz","1.50"],[null,"2.00"],[["k"],"3.00"]],"row_count":3,"elapsed_ms":1.5}`
	var out bytes.Buffer
	if err := writeTable(&out, strings.NewReader(answer), 2, 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"x�[2Jy z", "│ NULL", "1.50 │", "3 rows, the first 2 shown", "in 2ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.ContainsRune(out.String(), '\x1b') {
		t.Error("an escape went through")
	}
}

func TestCSVLinesKeepsWhatIsQuoted(t *testing.T) {
	const in = "a,b\r\n1,\"x\r\ny\"\"\r\n\"\r\n,\r\n"
	const want = "a,b\n1,\"x\r\ny\"\"\r\n\"\n,\n"
	for cut := range len(in) {
		var out bytes.Buffer
		c := &csvLines{w: &out}
		for _, part := range []string{in[:cut], in[cut:]} {
			if n, err := c.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if out.String() != want {
			t.Errorf("cut at %d: %q, want %q", cut, out.String(), want)
		}
	}
}

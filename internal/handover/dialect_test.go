package handover

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// TestSpelling: the words stay, and names, strings, comments and parameters are the
// cluster's.
func TestSpelling(t *testing.T) {
	for _, c := range []struct{ sql, spark, trino string }{
		{"SELECT a,b FROM d", "SELECT a,b FROM d", "SELECT a,b FROM d"},
		{"SELECT 1.5e3 FROM d;;", "SELECT 1.5e3 FROM d", "SELECT 1.5e3 FROM d"},
		{`SELECT "a b" FROM main."d"`, "SELECT `a b` FROM main. `d`", `SELECT "a b" FROM main. "d"`},
		{`SELECT "a""` + "`" + `b"`, "SELECT `a\"``b`", `SELECT "a""` + "`" + `b"`},
		{`SELECT 'it''s', 'a\'`, `SELECT 'it\'s' , 'a\\'`, `SELECT 'it''s' , 'a\'`},
		{"SELECT '${env:HOME}'", `SELECT '\u0024{env:HOME}'`, "SELECT '${env:HOME}'"},
		{"SELECT $x$a'b$x$", `SELECT 'a\'b'`, "SELECT 'a''b'"},
		{"SELECT a--\n-1 /* + secret */ FROM d -- x \\\n, e", "SELECT a -1 FROM d , e", "SELECT a -1 FROM d , e"},
		{"SELECT /*+ BROADCAST(d) */ a FROM d", "SELECT a FROM d", "SELECT a FROM d"},
		{"SELECT r'x' , u&'y'", "SELECT r 'x' , u& 'y'", "SELECT r 'x' , u& 'y'"},
		{"SELECT größe, a$b FROM d", "SELECT `größe` , `a$b` FROM d", `SELECT "größe" , "a$b" FROM d`},
		{"SELECT ? + ?", "SELECT ? + ?", "SELECT ? + ?"},
		{"SELECT $2, $1", "SELECT :p2, :p1", "SELECT ?, ?"},
		{"SELECT $a.x, $b", "SELECT :a.x, :b", "SELECT ?.x, ?"},
	} {
		for _, one := range []struct {
			d    dialect
			want string
		}{{sparkDialect, c.spark}, {trinoDialect, c.trino}} {
			got, _, err := one.d.spell(c.sql)
			if got = tidy(got); err != nil || got != one.want {
				t.Errorf("%s for %s:\n got %s, %v\nwant %s", c.sql, one.d.engine, got, err, one.want)
			}
		}
	}
}

// tidy makes two spaces one, outside of what no case has two of.
func tidy(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "  ", " "))
}

func TestNotSpelled(t *testing.T) {
	for _, c := range []struct {
		sql  string
		code lake.Code
	}{
		{"SELECT `a` FROM d", lake.CodeSQLRefused},
		{"SELECT E'a\\'b'", lake.CodeSQLRefused},
		{"SELECT x'00'", lake.CodeSQLRefused},
		{"SELECT 2 ^ 3", lake.CodeSQLRefused},
		{"SELECT #1", lake.CodeSQLRefused},
		{"SELECT @a", lake.CodeSQLRefused},
		{"SELECT 1; SELECT 2", lake.CodeSQLRefused},
		{"SELECT ?, $1", lake.CodeSQLRefused},
		{"SELECT $1, $a", lake.CodeSQLRefused},
		{"SELECT ?1", lake.CodeSQLRefused},
		{"SELECT $0", lake.CodeSQLRefused},
		{"SELECT $ 1", lake.CodeSQLRefused},
		{"SELECT $99999999999", lake.CodeSQLRefused},
		{"with recursive t AS (SELECT 1) SELECT * FROM t", lake.CodeSQLRefused},
		{"SELECT * FROM a ASOF LEFT JOIN b", lake.CodeSQLRefused},
		{"SELECT * FROM a POSITIONAL JOIN b", lake.CodeSQLRefused},
		{"SELECT 'a", lake.CodeSQLInvalid},
		{"SELECT (1", lake.CodeSQLInvalid},
	} {
		for _, d := range []dialect{sparkDialect, trinoDialect} {
			if got, _, err := d.spell(c.sql); lake.CodeOf(err) != c.code {
				t.Errorf("%s for %s: %q, %v", c.sql, d.engine, got, err)
			}
		}
	}
	if _, _, err := trinoDialect.spell("SELECT * FROM a SEMI JOIN b USING (id)"); lake.CodeOf(err) != lake.CodeSQLRefused {
		t.Errorf("a SEMI JOIN for Trino: %v", err)
	}
	if _, _, err := sparkDialect.spell("SELECT * FROM a SEMI JOIN b USING (id)"); err != nil {
		t.Errorf("a SEMI JOIN for Spark: %v", err)
	}
}

func TestParams(t *testing.T) {
	for _, c := range []struct {
		sql, params string
		want        []value
		code        lake.Code
	}{
		{"?, ?", `[1, "a"]`, []value{int64(1), "a"}, ""},
		{"$2, $1, $2", `[null, true]`, []value{true, nil, true}, ""},
		{"$a, $B", `{"A": 1.50, "b": 1e3}`, []value{decimal{"1.50", 3, 2}, 1000.0}, ""},
		{"?", `[9223372036854775808]`, []value{decimal{"9223372036854775808", 19, 0}}, ""},
		{"?", `[0.0000000000000000000000000000000000000001]`, []value{1e-40}, ""},
		{"1", ``, []value{}, ""},
		{"1", `null`, []value{}, ""},
		{"?", ``, nil, lake.CodeInvalidRequest},
		{"?", `[1, 2]`, nil, lake.CodeInvalidRequest},
		{"$a", `{"a": 1, "b": 2}`, nil, lake.CodeInvalidRequest},
		{"$a", `[1]`, nil, lake.CodeInvalidRequest},
		{"?", `{"a": 1}`, nil, lake.CodeInvalidRequest},
		{"?", `[[1]]`, nil, lake.CodeUnsupported},
		{"?", `[{"a": 1}]`, nil, lake.CodeUnsupported},
		{"?", `[` + strings.Repeat("9", 39) + `]`, nil, lake.CodeInvalidRequest},
	} {
		_, refs, err := trinoDialect.spell(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		got, err := bindParams(refs, json.RawMessage(c.params))
		if c.code != "" && lake.CodeOf(err) != c.code || c.code == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%s with %s: %v, %v, want %v %s", c.sql, c.params, got, err, c.want, c.code)
		}
	}
}

func TestSparkURL(t *testing.T) {
	for text, want := range map[string]sparkURL{
		"sc://host":     {address: "host:15002", user: "tarn"},
		"sc://host:1/;": {address: "host:1", user: "tarn"},
		"sc://[::1]:1":  {address: "[::1]:1", user: "tarn"},
		"sc://h:1/;token=s=1;x-cluster=c;user_id=u":    {address: "h:1", user: "u", token: "s=1", tls: true, headers: map[string]string{"x-cluster": "c"}},
		"sc://127.0.0.1:1/;token=secret;use_ssl=false": {address: "127.0.0.1:1", user: "tarn", token: "secret"},
		"sc://h:1/;use_ssl=true":                       {address: "h:1", user: "tarn", tls: true},
	} {
		if want.headers == nil {
			want.headers = map[string]string{}
		}
		if got, err := parseSparkURL(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "http://h", "sc://", "sc://h;token=secret", "sc://h/;token", "sc://h/;what=secret", "sc://h/;use_ssl=secret", "sc://h/;token=secret;use_ssl=false"} {
		if u, err := parseSparkURL(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v", text, u, err)
		}
	}
	for _, text := range []string{"", "sc://h", "http://host:1", "http://u:secret@host:1", "http://u@host:1?accessToken=secret"} {
		if _, err := NewTrino(Options{TrinoURL: text}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

//go:build duckdb_arrow

package duck

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// corpus reads a file of statements by theme.
func corpus(t testing.TB, file string) (themes []string, statements map[string][]string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "gate", file))
	if err != nil {
		t.Fatal(err)
	}
	statements = map[string][]string{}
	for _, line := range strings.Split(string(b), "\n") {
		theme, isTheme := strings.CutPrefix(line, "== ")
		switch {
		case isTheme:
			themes = append(themes, theme)
		case strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#"):
			at := themes[len(themes)-1]
			statements[at] = append(statements[at], line)
		}
	}
	return themes, statements
}

// datasetsOf is a GateEnv of these names.
func datasetsOf(names ...string) GateEnv {
	var known []lake.Name
	for _, s := range names {
		n, err := lake.ParseName(s)
		if err != nil {
			panic(err)
		}
		known = append(known, n)
	}
	return GateEnv{
		Dataset: func(namespace, name string) (lake.Name, bool) {
			i := slices.IndexFunc(known, func(n lake.Name) bool { return n.Key() == lake.Name{Namespace: namespace, Dataset: name}.Key() })
			if i < 0 {
				return lake.Name{}, false
			}
			return known[i], true
		},
		Names: func() []lake.Name { return known },
	}
}

var corpusDatasets = datasetsOf("clients", "candidates", "timesheets", "sales.orders", "prices", "holdings", "monthly", "edges")

func corpusSchema(t testing.TB, c *Conn) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "gate", "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, string(b))
}

// gateSays is how the gate itself says that a text is invalid.
var gateSays = regexp.MustCompile(`^(Parser Error: |there is no (table )?function |the SQL holds )`)

// Everything hostile is refused, on a database that is not locked.
func TestGateHostile(t *testing.T) {
	outside := t.TempDir()
	mustWrite(t, filepath.Join(outside, "a.csv"), "a\n1\n")
	_, c := open(t)
	exec(t, c, "CREATE TABLE people (id BIGINT, name VARCHAR, age BIGINT)")
	g, env := NewGate(c), datasetsOf("people")
	if _, err := g.Check(t.Context(), "SELECT count(*) FROM people", env); err != nil {
		t.Fatalf("the gate lets nothing through: %v", err)
	}
	n := 0
	themes, statements := corpus(t, "hostile.txt")
	for _, theme := range themes {
		for _, sql := range statements[theme] {
			n++
			checked, err := g.Check(t.Context(), strings.ReplaceAll(sql, "OUTSIDE", outside), env)
			code := lake.CodeOf(err)
			if code != lake.CodeSQLRefused && (code != lake.CodeSQLInvalid || !gateSays.MatchString(err.Error())) {
				t.Errorf("%s: %s\n  gave %+v, %v (%s)", theme, sql, checked, err, code)
			}
		}
	}
	if n < 700 {
		t.Errorf("only %d statements", n)
	}
}

// What reaches outside or changes settings fails on a locked database even if
// the gate let it through.
func TestLockedHostile(t *testing.T) {
	outside := t.TempDir()
	for _, file := range []string{"a.csv", "a.json"} {
		mustWrite(t, filepath.Join(outside, file), "a\n1\n")
	}
	_, unlocked := open(t)
	exec(t, unlocked, "COPY (SELECT 1 AS a) TO '"+outside+"/a.parquet'")
	before, err := os.ReadDir(outside)
	if err != nil {
		t.Fatal(err)
	}
	_, c := open(t, locked, func(o *Options) { o.AllowedDirs = []string{t.TempDir()} })
	exec(t, c, "CREATE TABLE people (id BIGINT, name VARCHAR, age BIGINT)")
	themes, statements := corpus(t, "hostile.txt")
	for _, theme := range themes {
		if !strings.HasSuffix(theme, "(also locked)") {
			continue
		}
		for _, sql := range statements[theme] {
			if err := c.Exec(t.Context(), strings.ReplaceAll(sql, "OUTSIDE", outside)); err == nil {
				t.Errorf("%s: %s: runs on a locked database", theme, sql)
			}
		}
	}
	if after, err := os.ReadDir(outside); err != nil || len(after) != len(before) {
		t.Errorf("the folder outside has changed: %v, %v", after, err)
	}
}

// Everything fine passes, runs, and names what it reads.
func TestGateFine(t *testing.T) {
	_, c := open(t, locked)
	corpusSchema(t, c)
	g := NewGate(c)
	n := 0
	themes, statements := corpus(t, "fine.txt")
	for _, theme := range themes {
		for _, sql := range statements[theme] {
			n++
			checked, err := g.Check(t.Context(), sql, corpusDatasets)
			if err != nil {
				t.Errorf("%s: %s\n  %v", theme, sql, err)
				continue
			}
			if checked.Volatile != (theme == "volatile") {
				t.Errorf("%s: volatile is %v", sql, checked.Volatile)
			}
			s, err := c.Query(t.Context(), checked.SQL, Params{})
			if err == nil {
				_, err = readAll(t.Context(), s, nil)
			}
			if err != nil {
				t.Errorf("%s: %s\n  runs into %v", theme, sql, err)
			}
		}
	}
	if n < 120 {
		t.Errorf("only %d statements", n)
	}
}

func TestGateAnswers(t *testing.T) {
	_, c := open(t, locked)
	corpusSchema(t, c)
	g := NewGate(c)
	names := func(s ...string) (out []lake.Name) {
		for _, n := range s {
			parsed, _ := lake.ParseName(n)
			out = append(out, parsed)
		}
		return out
	}
	clients, orders := names("clients"), names("sales.orders")
	for _, x := range []struct {
		sql  string
		want Checked
	}{
		{"SELECT 1", Checked{Kind: Select, SQL: "SELECT 1"}},
		{"SELECT * FROM CLIENTS a, Main.Clients b, clients", Checked{Kind: Select, SQL: "SELECT * FROM CLIENTS a, Main.Clients b, clients", Datasets: clients}},
		{"WITH clients AS (SELECT 1) FROM clients", Checked{Kind: Select, SQL: "WITH clients AS (SELECT 1) FROM clients"}},
		{"WITH clients AS (FROM clients) FROM clients", Checked{Kind: Select, SQL: "WITH clients AS (FROM clients) FROM clients", Datasets: clients}},
		{"WITH clients AS (SELECT 1) FROM main.clients", Checked{Kind: Select, SQL: "WITH clients AS (SELECT 1) FROM main.clients", Datasets: clients}},
		{"SELECT (WITH clients AS (SELECT 1) FROM clients), (SELECT max(id) FROM clients)",
			Checked{Kind: Select, SQL: "SELECT (WITH clients AS (SELECT 1) FROM clients), (SELECT max(id) FROM clients)", Datasets: clients}},
		{"WITH RECURSIVE clients AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM clients WHERE id < 3) FROM clients",
			Checked{Kind: Select, SQL: "WITH RECURSIVE clients AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM clients WHERE id < 3) FROM clients"}},
		{"FROM sales.orders JOIN timesheets USING (id) WHERE id IN (SELECT id FROM clients)", Checked{Kind: Select,
			SQL: "FROM sales.orders JOIN timesheets USING (id) WHERE id IN (SELECT id FROM clients)", Datasets: names("sales.orders", "timesheets", "clients")}},
		{"SELECT random()", Checked{Kind: Select, SQL: "SELECT random()", Volatile: true}},
		{"SELECT list_aggregate([1], 'reservoir_quantile', 0.5)", Checked{Kind: Select, SQL: "SELECT list_aggregate([1], 'reservoir_quantile', 0.5)", Volatile: true}},
		{"  eXplain -- x\n SELECT * FROM clients ", Checked{Kind: Explain, SQL: "EXPLAIN  -- x\n SELECT * FROM clients ", Datasets: clients}},
		{"EXPLAIN (FORMAT JSON) SELECT 1", Checked{Kind: Explain, SQL: "EXPLAIN (FORMAT json)  SELECT 1"}},
		{"EXPLAIN ANALYZE SELECT * FROM clients", Checked{Kind: Analyze, SQL: "EXPLAIN (ANALYZE, FORMAT json)  SELECT * FROM clients", Datasets: clients}},
		{"explain (analyse) FROM clients", Checked{Kind: Analyze, SQL: "EXPLAIN (ANALYZE, FORMAT json)  FROM clients", Datasets: clients}},
		{"SHOW TABLES", Checked{Kind: ShowTables}},
		{"show all tables;", Checked{Kind: ShowTables}},
		{"DESCRIBE", Checked{Kind: ShowTables}},
		{"DESCRIBE clients", Checked{Kind: Describe, Describe: &clients[0], Datasets: clients}},
		{"show Sales.ORDERS", Checked{Kind: Describe, Describe: &orders[0], Datasets: orders}},
		{"DESC TABLE clients", Checked{Kind: Describe, Describe: &clients[0], Datasets: clients}},
		{"DESCRIBE SELECT id FROM clients", Checked{Kind: Describe, SQL: "DESCRIBE SELECT id FROM clients", Datasets: clients}},
		{"DESCRIBE SELECT * FROM clients WHERE true", Checked{Kind: Describe, SQL: "DESCRIBE SELECT * FROM clients WHERE true", Datasets: clients}},
		{"DESCRIBE WITH clients AS (SELECT 1) FROM clients", Checked{Kind: Describe, SQL: "DESCRIBE WITH clients AS (SELECT 1) FROM clients"}},
		{"SUMMARIZE clients", Checked{Kind: Select, SQL: "SUMMARIZE clients", Datasets: clients}},
	} {
		got, err := g.Check(t.Context(), x.sql, corpusDatasets)
		if err != nil || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s\n  got  %+v, %v\n  want %+v", x.sql, got, err, x.want)
		}
		if got.SQL == "" {
			continue
		}
		if _, err := c.Rows(t.Context(), got.SQL); err != nil && !strings.Contains(x.sql, "reservoir") {
			t.Errorf("%s: runs into %v", got.SQL, err)
		}
	}
}

func TestGateErrors(t *testing.T) {
	_, c := open(t, locked)
	g := NewGate(c)
	for _, x := range []struct {
		sql, says, hint string
		code            lake.Code
	}{
		{"SELECT * FROM client", `no dataset "client"`, "did you mean clients", lake.CodeDatasetNotFound},
		{"SELECT * FROM sales.order", `no dataset "sales.order"`, "did you mean sales.orders", lake.CodeDatasetNotFound},
		{"SELECT * FROM zzzz", `no dataset "zzzz"`, "SHOW TABLES", lake.CodeDatasetNotFound},
		{"SELECT * FROM main.zzzz", `no dataset "zzzz"`, "SHOW TABLES", lake.CodeDatasetNotFound},
		{"DESCRIBE client", `no dataset "client"`, "clients", lake.CodeDatasetNotFound},
		{"EXPLAIN SELECT * FROM client", `no dataset "client"`, "clients", lake.CodeDatasetNotFound},
		{"EXPLAIN ANALYZE SELECT * FROM client", `no dataset "client"`, "clients", lake.CodeDatasetNotFound},
		{"EXPLAIN ANALYZE COPY clients TO '/tmp/x'", "COPY, which is no read", "COPY in tarn sql", lake.CodeSQLRefused},
		{"EXPLAIN ANALYZE DELETE FROM clients", "DELETE, which is no read", "", lake.CodeSQLRefused},
		{"EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')", "read_text", "", lake.CodeSQLRefused},
		{"EXPLAIN ANALYZE EXPLAIN SELECT 1", "EXPLAIN", "", lake.CodeSQLRefused},
		{"EXPLAIN ANALYZE SHOW TABLES", "EXPLAIN of what is no query", "", lake.CodeSQLRefused},
		{"EXPLAIN (ANALYZE, FORMAT json) SELECT 1", "these options", "no other options", lake.CodeSQLRefused},
		{"EXPLAIN (FORMAT json, ANALYZE) SELECT 1", "these options", "", lake.CodeSQLRefused},
		{"WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x", `no dataset "y"`, "", lake.CodeDatasetNotFound},
		{"SELECT (WITH y AS (SELECT 1) SELECT * FROM y), (SELECT * FROM y)", `no dataset "y"`, "", lake.CodeDatasetNotFound},
		{"WITH RECURSIVE r AS (SELECT * FROM r UNION ALL SELECT 1) SELECT * FROM r", `no dataset "r"`, "", lake.CodeDatasetNotFound},
		{"WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r, s", `no dataset "s"`, "", lake.CodeDatasetNotFound},
		{"SELEC 1", "syntax error at or near \"SELEC\"", "", lake.CodeSQLInvalid},
		{"", "no statement", "", lake.CodeSQLInvalid},
		{"INSERT INTO clients VALUES (1)", "INSERT, which is no read", "a statement a text", lake.CodeSQLRefused},
		{"MERGE INTO clients USING people ON true WHEN MATCHED THEN DELETE", "MERGE, which is no read", "ON CONFLICT DO UPDATE", lake.CodeSQLRefused},
		{"CREATE TABLE x (a INT)", "CREATE, which is no read", "tarn create", lake.CodeSQLRefused},
		{"BEGIN", "BEGIN, which is no read", "a transaction is one text", lake.CodeSQLRefused},
		{"PIVOT clients ON industry USING count(*)", "PIVOT without its values", "IN (", lake.CodeSQLRefused},
		{"SELECT 1; SELECT 2", "2 statements", "one statement", lake.CodeSQLRefused},
		{"SELECT version()", "the function version", "", lake.CodeSQLRefused},
		{"SELECT lowr('x')", "no function lowr", "", lake.CodeSQLInvalid},
		{"SELECT range(1) FROM read_csv('x')", "table function read_csv", "import", lake.CodeSQLRefused},
		{"SELECT 1 \x00", "zero byte", "", lake.CodeSQLInvalid},
		{"SELECT '\xff'", "UTF-8", "", lake.CodeSQLInvalid},
		{"SELECT '" + strings.Repeat("x", DefaultMaxSQLBytes) + "'", "bytes", "parameters", lake.CodeTooLarge},
		{"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 501), "set operations", "VALUES", lake.CodeTooLarge},
		{"SELECT 1 WHERE 1=1" + strings.Repeat(" OR 1=1", 4001), "AND and OR", "IN (", lake.CodeTooLarge},
		{"SELECT " + strings.Repeat("(", 20000) + "1" + strings.Repeat(")", 20000), "", "", lake.CodeSQLInvalid},
		{"SELECT " + strings.Repeat("[", 5000) + "1" + strings.Repeat("]", 5000), "", "", lake.CodeSQLInvalid},
		{"SELECT " + strings.Repeat("abs(", 5000) + "1" + strings.Repeat(")", 5000), "", "", lake.CodeSQLInvalid},
	} {
		_, err := g.Check(t.Context(), x.sql, corpusDatasets)
		if lake.CodeOf(err) != x.code || !strings.Contains(err.Error(), x.says) || !strings.Contains(lake.HintOf(err), x.hint) {
			t.Errorf("%.80s\n  %v (%s; %s)", x.sql, err, lake.CodeOf(err), lake.HintOf(err))
		}
	}
}

// Words inside strings, names and comments count for nothing.
func TestReadText(t *testing.T) {
	many := strings.Repeat(" or union and ", 5000)
	for _, sql := range []string{
		"SELECT '" + many + "''" + many + "'", `SELECT "` + many + `"`, "SELECT 1 --" + many + "\n", "SELECT /*" + many + "/* x */" + many + "*/ 1",
		"SELECT $$" + many + "$$", "SELECT $tag$" + many + "$$" + many + "$tag$", `SELECT E'\'` + many + `'`,
	} {
		if _, err := readText(sql); err != nil {
			t.Errorf("%.30s: %v", sql, err)
		}
	}
	for sql, want := range map[string]statementText{
		"EXPLAIN SELECT 1":                     {explain: "EXPLAIN ", query: " SELECT 1", firstWord: "SELECT"},
		"/* EXPLAIN */ SELECT 1":               {query: "/* EXPLAIN */ SELECT 1", firstWord: "SELECT"},
		"/* x */ explain(format TEXT)PIVOT t":  {explain: "EXPLAIN (FORMAT text) ", query: "PIVOT t", firstWord: "PIVOT", pivots: true},
		"EXPLAIN (SELECT 1)":                   {explain: "EXPLAIN ", query: " (SELECT 1)", firstWord: "("},
		"EXPLAIN \"analyze\"":                  {explain: "EXPLAIN ", query: ` "analyze"`, firstWord: `"`},
		"EXPLAIN ANALYZE (SELECT 1)":           {explain: "EXPLAIN (ANALYZE, FORMAT json) ", analyzes: true, query: " (SELECT 1)", firstWord: "("},
		"EXPLAINSELECT 1":                      {query: "EXPLAINSELECT 1", firstWord: "EXPLAINSELECT"},
		"":                                     {},
		"'unfinished":                          {query: "'unfinished", firstWord: `"`},
		"/* unfinished":                        {query: "/* unfinished"},
		"$1 $x $$":                             {query: "$1 $x $$", firstWord: "$"},
		"SELECT 'a' 'pivot' \"pivot\" --pivot": {query: "SELECT 'a' 'pivot' \"pivot\" --pivot", firstWord: "SELECT"},
	} {
		if got, err := readText(sql); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", sql, got, err, want)
		}
	}
}

package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// A statement that makes or drops a dataset, as the lake does it.
func TestDefinitionsOverHTTP(t *testing.T) {
	c := clientOfLake(t)
	ctx := t.Context()
	define := func(sql, key string, params ...any) engine.DefinitionResult {
		t.Helper()
		q := client.Query{SQL: sql}
		if params != nil {
			q.Params = params
		}
		r, err := c.Define(ctx, q, key)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return r
	}
	made := define("CREATE TABLE sales.people (id BIGINT PRIMARY KEY, rate DECIMAL(10,2))", "k1")
	if made.Statement != "create" || made.Dataset != "sales.people" || !made.Changed || made.ReadPoint == nil || !strings.HasSuffix(made.ETag, `.0.0"`) {
		t.Errorf("%+v", made)
	}
	if again := define("CREATE TABLE sales.people (id BIGINT PRIMARY KEY, rate DECIMAL(10,2))", "k1"); *again.ReadPoint != *made.ReadPoint || again.ETag != made.ETag {
		t.Errorf("%+v, then %+v", made, again)
	}
	if _, err := c.Execute(ctx, client.Query{SQL: "INSERT INTO sales.people VALUES (1, 40.5), (2, 41)"}, client.ChangeOptions{IfMatch: made.ETag}); err != nil {
		t.Error(err)
	}
	if r := define("CREATE TABLE rated (PRIMARY KEY (id)) AS SELECT * FROM sales.people WHERE rate > ?", "", json.Number("40.75")); r.Rows != 1 || !r.Changed {
		t.Errorf("%+v", r)
	}
	if r := define("CREATE TABLE IF NOT EXISTS rated (id BIGINT)", ""); r.Changed || r.ReadPoint != nil {
		t.Errorf("%+v", r)
	}
	if r := define("DROP TABLE rated", "k2"); !r.Changed || r.Statement != "drop" {
		t.Errorf("%+v", r)
	}
	if r := define("DROP TABLE rated", "k2"); !r.Changed {
		t.Errorf("again: %+v", r)
	}
	if r := define("DROP TABLE IF EXISTS rated", ""); r.Changed {
		t.Errorf("%+v", r)
	}
	for sql, code := range map[string]lake.Code{
		"CREATE TABLE sales.people (id BIGINT)":                   lake.CodeDatasetExists,
		"DROP TABLE rated":                                        lake.CodeDatasetNotFound,
		"CREATE TABLE x (id INTERVAL)":                            lake.CodeUnsupported,
		"CREATE TABLE x (id NONSENSE)":                            lake.CodeInvalidRequest,
		"CREATE TABLE x":                                          lake.CodeSQLInvalid,
		"CREATE VIEW x AS SELECT 1":                               lake.CodeSQLRefused,
		"CREATE TABLE x AS SELECT * FROM read_text('/etc/hosts')": lake.CodeSQLRefused,
		"COPY sales.people TO 'x.csv'":                            lake.CodeSQLRefused,
	} {
		if _, err := c.Define(ctx, client.Query{SQL: sql}, ""); lake.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", sql, err, code)
		}
	}
	// Only JSON is answered, and nothing is done where that is not wanted.
	if _, err := c.SQL(ctx, client.Query{SQL: "DROP TABLE sales.people", Format: rows.OutParquet}); lake.CodeOf(err) != lake.CodeNotAcceptable {
		t.Errorf("%v", err)
	}
	if _, err := c.Define(ctx, client.Query{SQL: "DROP TABLE sales.people", Params: []any{1}}, ""); lake.CodeOf(err) != lake.CodeInvalidRequest {
		t.Errorf("params of DROP: %v", err)
	}
	if _, err := c.Execute(ctx, client.Query{SQL: "DROP TABLE sales.people"}, client.ChangeOptions{IfMatch: made.ETag}); lake.CodeOf(err) != lake.CodeInvalidRequest {
		t.Errorf("If-Match of DROP: %v", err)
	}
	if d, err := c.Describe(ctx, lake.Name{Namespace: "sales", Dataset: "people"}); err != nil || d.Rows != 2 {
		t.Errorf("%+v, %v", d, err)
	}
}

// Making and dropping by SQL takes what the calls for the same take, and is written down.
func TestDefinitionsTakeARole(t *testing.T) {
	g := openGuarded(t)
	for _, c := range []struct {
		who, sql string
		status   int
	}{
		{"reader", "CREATE TABLE sales.hq1 (id BIGINT)", http.StatusForbidden},
		{"reader", "DROP TABLE sales.items", http.StatusForbidden},
		{"writer", "CREATE TABLE hqelse.t (id BIGINT)", http.StatusForbidden},
		{"writer", "CREATE TABLE sales.hq1 (id BIGINT PRIMARY KEY)", http.StatusOK},
		{"writer", "CREATE TABLE sales.hq2 AS SELECT id FROM orders", http.StatusOK},
		{"reader", "DROP TABLE IF EXISTS sales.hq1", http.StatusForbidden},
		{"writer", "DROP TABLE sales.hq1", http.StatusOK},
		{"writer", "DROP TABLE sales.hq2", http.StatusOK},
	} {
		before := len(g.auditLines())
		if r := g.sql(c.who, c.sql); r.status != c.status {
			t.Errorf("%s: %s: %s", c.who, c.sql, r)
		}
		lines := g.auditLines()[before:]
		if len(lines) != 1 || !strings.Contains(lines[0], `"principal":"`+c.who+`"`) || !strings.Contains(lines[0], fmt.Sprintf(`"status":%d`, c.status)) || !strings.Contains(lines[0], `"dataset":"`) {
			t.Errorf("%s: %s: the audit log has %q", c.who, c.sql, lines)
		}
	}
}

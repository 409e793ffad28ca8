package httpapi_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/access"
	"tarn/internal/sqlddl"
	"tarn/internal/sqlwrite"
)

// changesData says whether a text is a statement that is served and is no query, or
// would be one.
func changesData(sql string) bool {
	statement, err := sqlwrite.Parse(sql)
	alter, alterErr := sqlddl.ParseAlter(sql)
	definition, definitionErr := sqlddl.Parse(sql)
	return statement != nil || err != nil || alter != nil || alterErr != nil || definition != nil || definitionErr != nil
}

// The gate's own corpus of hostile statements, over HTTP: each is refused as the
// client's fault, also to an administrator, unless it is one that changes, makes or
// drops a dataset that he may change; nothing of a file or of a hidden dataset is in any answer,
// nor in any row; and the server goes on.
func TestHostileStatementsOverHTTP(t *testing.T) {
	text, err := os.ReadFile("../duck/testdata/gate/hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	const content = "CANARY-of-a-file"
	for _, name := range []string{"a.csv", "a.json", "k.csv", "K.csv", "UNNAMED-7f3a.txt"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("a\n"+content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := openGuarded(t)
	people := func() {
		t.Helper()
		g.call("boss", "PUT /datasets/people", `{"columns":[{"name":"id","type":"BIGINT"},{"name":"name","type":"VARCHAR"},{"name":"age","type":"BIGINT"}],"primary_key":["id"]}`)
		g.must("boss", http.StatusOK, "POST /datasets/people/schema", `{"operations":[{"op":"drop_column","name":"x","if_exists":true}]}`)
		g.must("boss", http.StatusOK, "POST /datasets/people/rows", `{"id":1,"name":"CANARY-of-people","age":1}`)
		for _, made := range []string{"x", "people2"} {
			g.call("boss", "DELETE /datasets/"+made, "")
		}
	}
	people()
	g.add(&access.Entry{ID: "of-people", Grants: map[string]string{"people": "read"}})
	g.keeper.Look()
	for _, warm := range []bool{false, true} {
		if warm {
			g.must("boss", http.StatusOK, "POST /query/cache/pin", `{"dataset":"people"}`)
		}
		asked := 0
		for line := range strings.Lines(string(text)) {
			sql := strings.TrimSuffix(line, "\n")
			if strings.TrimSpace(sql) == "" || strings.HasPrefix(sql, "#") || strings.HasPrefix(sql, "== ") {
				continue
			}
			sql = strings.ReplaceAll(sql, "OUTSIDE", outside)
			for _, who := range []string{"boss", "of-people", "reader"} {
				asked++
				r := g.sql(who, sql)
				if changesData(sql) {
					if r.status == http.StatusOK && who != "boss" {
						t.Errorf("%s: %s: %s", who, sql, r)
					}
					if r.status/100 == 5 {
						t.Errorf("%s: %s: %s", who, sql, r)
					}
					if who == "boss" { // what it did
						g.call("boss", "POST /datasets/x/rename", `{"to":"people"}`)
						people()
					}
				} else if r.status != http.StatusBadRequest && r.status != http.StatusForbidden && r.status != http.StatusNotFound {
					t.Errorf("%s: %s: %s", who, sql, r)
				}
				all := r.String()
				if statement, _ := sqlwrite.Parse(sql); who == "boss" && statement != nil && statement.Returning != nil {
					all = strings.ReplaceAll(all, "CANARY-of-people", "") // his own row
				}
				if strings.Contains(all, "CANARY") || strings.Contains(all, "UNNAMED") || strings.Contains(all, "root:") {
					t.Errorf("%s: %s: the answer tells: %s", who, sql, all)
				}
			}
		}
		if r := g.sql("boss", "SELECT count(*) FROM people WHERE name LIKE '%of-a-file%' OR name LIKE '%UNNAMED%' OR name LIKE '%root:%'"); !strings.Contains(r.body, "\n[0]\n") {
			t.Errorf("a row has something of a file: %s", r)
		}
		t.Logf("%d questions", asked)
		if asked < 3*700 {
			t.Errorf("only %d questions", asked)
		}
		if r := g.sql("of-people", "SELECT name FROM people"); !strings.Contains(r.body, "CANARY-of-people") {
			t.Errorf("afterwards: %s", r)
		}
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 5 {
		t.Errorf("the folder outside has %v, %v", left, err)
	}
	if strings.Contains(g.log.String(), "the worker died") || strings.Contains(g.log.String(), `"level":"ERROR"`) {
		t.Error("the worker died, or something else went wrong")
	}
}

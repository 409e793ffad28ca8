package icebergrest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"

	"tarn/internal/access"
	"tarn/internal/engine"
)

// together is the body of a commit to several tables.
func together(commits map[string]string, order ...string) string {
	var all []string
	for _, dataset := range order {
		all = append(all, fmt.Sprintf(`{"identifier":{"namespace":["main"],"name":"%s"},%s`, dataset, commits[dataset][1:]))
	}
	return `{"table-changes":[` + strings.Join(all, ",") + `]}`
}

// versions counts the catalog versions of a lake.
func (l *lab) versions() int {
	l.t.Helper()
	all, err := os.ReadDir(filepath.Join(l.dir, "catalog"))
	if err != nil {
		l.t.Fatal(err)
	}
	return len(all)
}

// TestTransactionFromOutside: a commit to several tables goes in whole, in one catalog
// version, or not at all.
func TestTransactionFromOutside(t *testing.T) {
	l, at := marked(t)
	for _, dataset := range []string{"e", "log", "f"} {
		key := []string{"id"}
		if dataset == "log" {
			key = nil
		}
		l.create(dataset, key, "id BIGINT", "v VARCHAR")
		l.change(dataset, engine.OpUpsert, `{"id":1,"v":"a"}`)
	}
	bodies := func(rows ...string) map[string]string {
		t.Helper()
		return map[string]string{
			"d":   asked(t, l.load("d"), adds(t, []string{`{"id":3,"v":"C"}`}, deletes{rows: []place{at(2), at(3)}})),
			"e":   asked(t, l.load("e"), inserts(t, rows...)),
			"log": asked(t, l.load("log"), inserts(t, `{"id":1,"v":"a"}`)),
			"f":   `{"requirements":[],"updates":[{"action":"set-properties","updates":{"owner":"me"}}]}`,
		}
	}
	// One that cannot be taken leaves all as they are.
	for what, c := range map[string]struct {
		rows, reason string
		status       int
		spoil        func(map[string]string)
	}{
		"a key that is there": {`{"id":1,"v":"again"}`, "in the table already", 400, func(map[string]string) {}},
		"a stale table": {`{"id":2,"v":"b"}`, "commit to log", 409, func(b map[string]string) {
			b["log"] = strings.Replace(b["log"], `"requirements":[`, `"requirements":[{"type":"assert-ref-snapshot-id","ref":"main","snapshot-id":7},`, 1)
		}},
		"an update": {`{"id":2,"v":"b"}`, "set-location", 406, func(b map[string]string) {
			b["f"] = strings.Replace(b["f"], `"updates":[`, `"updates":[{"action":"set-location","location":"file:///x"},`, 1)
		}},
		"a column that is required": {`{"id":2,"v":"b"}`, "required", 406, func(b map[string]string) {
			b["f"] = `{"requirements":[],"updates":[{"action":"add-schema","schema":{"type":"struct","schema-id":1,"identifier-field-ids":[1],"fields":[{"id":1,"name":"id","required":true,"type":"long"},{"id":2,"name":"v","required":true,"type":"string"}]}},{"action":"set-current-schema","schema-id":-1}]}`
		}},
	} {
		all := bodies(c.rows)
		c.spoil(all)
		n := l.versions()
		a := l.call("POST", "/transactions/commit", "", together(all, "f", "d", "log", "e"))
		if a.status != c.status || !strings.Contains(fmt.Sprint(a.body), c.reason) {
			t.Errorf("%s: %d %v", what, a.status, a.body)
		}
		if now := l.versions(); now != n {
			t.Errorf("%s: %d catalog versions", what, now-n)
		}
	}
	l.want(allOfD, `[1,"a"]`, `[2,"b"]`, `[3,"c"]`, `[10,"j"]`, `[11,"k"]`, `[12,"l"]`)
	l.want("select * from e", `[1,"a"]`)
	l.want("select * from log", `[1,"a"]`)
	all := bodies(`{"id":2,"v":"b"}`)
	twice := together(all, "e", "e")
	l.expect("POST", "/transactions/commit", "", twice, 400, "BadRequestException")
	l.expect("POST", "/transactions/commit", "", together(map[string]string{"e": all["e"], "none": all["f"]}, "e", "none"), 404, "NoSuchTableException")
	all["f"] = `{"requirements":[],"updates":[{"action":"set-properties","updates":{"owner":"me"}},{"action":"add-schema","schema":{"type":"struct","schema-id":1,"identifier-field-ids":[1],"fields":[{"id":1,"name":"id","required":true,"type":"long"},{"id":2,"name":"w","required":false,"type":"string"}]}},{"action":"set-current-schema","schema-id":-1}]}`
	l.change("e", engine.OpUpsert, `{"id":9,"v":"pending"}`)
	n := l.versions()
	l.expect("POST", "/transactions/commit", "", together(all, "log", "f", "d", "e"), 204, "")
	if now := l.versions(); now != n+1 {
		t.Errorf("%d catalog versions", now-n)
	}
	look := func(l *lab) {
		t.Helper()
		l.want(allOfD, `[1,"a"]`, `[3,"C"]`, `[10,"j"]`, `[11,"k"]`, `[12,"l"]`)
		l.want("select * from e order by id", `[1,"a"]`, `[2,"b"]`, `[9,"pending"]`)
		l.want("select * from log", `[1,"a"]`, `[1,"a"]`)
		l.want("select id, w from f", `[1,"a"]`)
		l.whole()
	}
	look(l)
	l.reopened(func(l *lab) {
		look(l)
		for _, dataset := range []string{"d", "e", "log", "f"} {
			l.compact(dataset)
		}
		look(l)
		if p := l.load("f").Properties(); p["owner"] != "me" {
			t.Errorf("%v", p)
		}
		// Two tables that only change properties, and one that asks for nothing.
		tbl := l.load("f")
		l.expect("POST", "/transactions/commit", "", together(map[string]string{
			"f": `{"requirements":[],"updates":[{"action":"remove-properties","removals":["owner"]}]}`,
			"e": `{"requirements":[],"updates":[{"action":"set-properties","updates":{"a":"b"}}]}`,
			"d": `{"requirements":[],"updates":[]}`,
		}, "f", "e", "d"), 204, "")
		if p := l.load("f").Properties(); p["owner"] != "" || p[table.MetadataCompressionKey] != tbl.Properties()[table.MetadataCompressionKey] {
			t.Errorf("%v", p)
		}
		look(l)
	})
}

// TestTransactionWithTokens: who may not write one of the tables commits to none.
func TestTransactionWithTokens(t *testing.T) {
	token := access.NewToken()
	l := newLab(t, fmt.Sprintf("tokens:\n- id: some\n  sha256: %x\n  grants: {main.a: write, main.b: read}\n", access.HashOf(token)))
	sets := `{"requirements":[],"updates":[{"action":"set-properties","updates":{"owner":"me"}}]}`
	for _, dataset := range []string{"a", "b", "c"} {
		l.create(dataset, []string{"id"}, "id BIGINT")
	}
	all := map[string]string{"a": sets, "b": sets, "c": sets}
	l.expect("POST", "/transactions/commit", token, together(all, "a", "b"), 403, "ForbiddenException")
	l.expect("POST", "/transactions/commit", token, together(all, "a", "c"), 404, "NoSuchTableException")
	a := l.expect("GET", "/namespaces/main/tables/a", token, "", 200, "")
	if p := a.body["metadata"].(map[string]any)["properties"].(map[string]any); p["owner"] != nil {
		t.Errorf("%v", p)
	}
	l.expect("POST", "/transactions/commit", token, together(all, "a"), 204, "")
}

package httpapi_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// twinNames are hidden names beside names of the same shape that nothing has.
var twinNames = [][2]string{{"hqzxkvwj", "hqzxkvwq"}, {"hqzxnsj.hqzxkjwj", "hqzxnsq.hqzxkjwj"}, {"hqzxnsj.hqzxkjwj", "hqzxnsj.hqzxkjwq"}, {"main.hqzxkvwj", "main.hqzxkvwq"}, {"HQZXKVWJ", "HQZXKVWQ"}}

// differs are the parts of an answer that differ between any two requests.
var differs = regexp.MustCompile(`"(request_id|query_id)":"[^"]*"|"elapsed_ms":[0-9.]+|"last_used":"[^"]*"|"loaded_at":"[^"]*"|"started":"[^"]*"`)

func (r reply) plain(name string) string {
	r.header = r.header.Clone()
	r.header.Del("Tarn-Query-Id")
	r.header.Del("Tarn-Result-Cache") // where both names gave one question
	text := differs.ReplaceAllString(r.String(), "")
	// orders may get its image between two questions.
	text = strings.ReplaceAll(text, `{"orders":"image"}`, `{"orders":"parquet"}`)
	// NAME in whatever spelling an answer has it: as sent, quoted, without main.
	for _, part := range strings.Split(name, ".") {
		if strings.EqualFold(part, "main") {
			continue
		}
		text = regexp.MustCompile(`(?i)`+regexp.QuoteMeta(part)).ReplaceAllString(text, "X")
	}
	return text
}

// hiddenSQL are questions about NAME, a dataset, of which NS is the first part, as a
// namespace, and LAST the last.
var hiddenSQL = []string{
	"SELECT * FROM NAME", "FROM NAME", "TABLE NAME", "SELECT count(*) FROM NAME", "SELECT note FROM NAME WHERE id = 1",
	"DESCRIBE NAME", "SHOW NAME", "SUMMARIZE NAME", "EXPLAIN SELECT * FROM NAME", "EXPLAIN (FORMAT json) FROM NAME", "DESCRIBE SELECT * FROM NAME",
	"SELECT * FROM orders, NAME", "SELECT * FROM orders o JOIN NAME v USING (id)", "SELECT * FROM orders WHERE id IN (SELECT id FROM NAME)",
	"SELECT (SELECT max(note) FROM NAME)", "WITH x AS (SELECT * FROM NAME) SELECT * FROM x", "WITH x AS (SELECT * FROM NAME) SELECT 1",
	"WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r, NAME WHERE a < 3) FROM r",
	"SELECT EXISTS (FROM NAME)", "SELECT * FROM orders UNION ALL SELECT * FROM NAME", "SELECT * FROM NAME POSITIONAL JOIN orders",
	"SELECT * FROM orders ASOF JOIN NAME v ON orders.id >= v.id", "SELECT * FROM orders, LATERAL (SELECT * FROM NAME v WHERE v.id = orders.id)",
	"PIVOT NAME ON note IN ('a') USING count(*)", "UNPIVOT NAME ON note INTO NAME k VALUE v", "SELECT list_transform([1], lambda x: (SELECT count(*) FROM NAME))",
	"SELECT [x FOR x IN (SELECT list(note) FROM NAME)]", "SELECT NAME FROM orders", "SELECT NAME.note FROM orders", "SELECT LAST FROM orders", "SELECT LAST.note FROM orders",
	"SELECT NS.note FROM orders", "SELECT orders.LAST FROM orders", "SELECT NS.orders.note FROM orders", "SELECT COLUMNS('LAST') FROM orders",
	"SELECT LAST.* FROM orders", "SELECT NAME.* FROM orders", "SELECT * EXCLUDE (LAST) FROM orders", "SELECT * REPLACE (1 AS LAST) FROM orders",
	"SELECT CAST(NULL AS LAST)", "SELECT NULL::LAST", "SELECT NULL::NS.LAST", "SELECT NULL::NS.BIGINT", "SELECT NULL::NAME", "SELECT TRY_CAST(1 AS LAST)", "SELECT CAST(1 AS STRUCT(a LAST))",
	"SELECT 'a' COLLATE LAST", "SELECT 'a' COLLATE NS", "SELECT LAST('a')", "SELECT NS.lower('a')", "SELECT NS.LAST('a')", "SELECT LAST.lower() FROM orders", "SELECT NS.abs(n) FROM orders",
	"SELECT NS.lower(note) FROM orders", "SELECT NS.orders.lower(note) FROM orders", "SELECT NS.count(*) FROM orders", "SELECT NS.sum(n) OVER () FROM orders", "SELECT NS.row_number() OVER () FROM orders",
	"SELECT NS.main.lower('a')", "SELECT * FROM NS.range(3)", "SELECT * FROM NS.unnest([1])", "SELECT NS.unnest([1])", "SELECT NS.nosuch('a')",
	"SELECT lake.NAME.note FROM orders", "SELECT lake.NS.LAST.note FROM orders", "SELECT lake.NS.LAST FROM orders", "SELECT main.LAST.note FROM orders", "SELECT NAME.note.x FROM orders", "SELECT * FROM lake.NAME", "SELECT * FROM memory.NAME", "SELECT * FROM lake.main.LAST", "SELECT * FROM query('FROM NAME')", "SELECT * FROM query_table('NAME')",
	"SELECT * FROM query_table(['NAME'])", "SELECT nextval('LAST')", "SELECT currval('NAME')", "SELECT getvariable('LAST')", "FROM pragma_table_info('NAME')", "FROM pragma_storage_info('NAME')",
	"SELECT * FROM duckdb_tables() WHERE table_name = 'LAST'", "SELECT * FROM information_schema.tables", "SELECT * FROM pg_catalog.pg_class", "FROM sqlite_master",
	"SELECT 1 FROM orders ORDER BY LAST", "SELECT n FROM orders GROUP BY LAST", "SELECT n FROM orders WHERE LAST", "SELECT n FROM orders LIMIT LAST", "SELECT n FROM orders LIMIT (SELECT count(*) FROM NAME)",
	"SELECT n FROM orders QUALIFY LAST", "SELECT n FROM orders HAVING LAST", "SELECT count(*) FILTER (LAST) FROM orders", "SELECT sum(n) OVER (PARTITION BY LAST) FROM orders",
	"SELECT sum(n) OVER LAST FROM orders", "SELECT has_table_privilege('LAST', 'select')", "SELECT 'LAST'::regclass", "SELECT enum_range(NULL::LAST)", "SELECT $LAST",
	"INSERT INTO NAME VALUES (1)", "COPY NAME TO 'x'", "EXPLAIN ANALYZE SELECT * FROM NAME", "EXPLAIN (ANALYZE) FROM orders, NAME", "SELECT * FROM 'NAME'", `SELECT * FROM "NAME"`, "SELECT * FROM NAME TABLESAMPLE 1", "SELECT rowid FROM NAME", "SELECT * FROM NAME AT (VERSION => 1)",
	"SELECT (FROM NAME)", "VALUES ((SELECT id FROM NAME LIMIT 1))", "SELECT * FROM (VALUES (1)) t(a) WHERE a = ANY (SELECT id FROM NAME)", "SELECT struct_pack(a := (SELECT 1 FROM NAME))",
	"SELECT a.LAST FROM orders a", "SELECT * FROM orders JOIN sales.items USING (LAST)", "SHOW TABLES", "SELECT row_number() OVER (ORDER BY LAST) FROM orders", "SELECT * FROM orders AS LAST", "SELECT try(LAST)",
}

// hiddenStatements try to change NAME, or rows of orders by what stands in NAME.
var hiddenStatements = []string{
	"INSERT INTO NAME VALUES (1, 'x', 1)", "INSERT INTO NAME VALUES (1)", "INSERT INTO NAME (id) VALUES (1)", "INSERT INTO NAME SELECT * FROM orders", "INSERT INTO NAME DEFAULT VALUES", "INSERT OR REPLACE INTO NAME VALUES (1, 'x', 1)",
	"INSERT INTO NAME VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET note = excluded.note", "INSERT INTO NAME (nope) VALUES (1)", "INSERT INTO NAME BY NAME SELECT 1 AS id", "UPDATE NAME SET note = 'x'", "UPDATE NAME SET nope = 'x'", "UPDATE NAME SET id = 1",
	"UPDATE NAME AS z SET note = o.note FROM orders o WHERE z.id = o.id", "DELETE FROM NAME", "DELETE FROM NAME WHERE nope = 1", "DELETE FROM NAME USING orders WHERE orders.id = LAST.id", "WITH o AS (FROM orders) DELETE FROM NAME WHERE id IN (SELECT id FROM o)",
	"EXPLAIN DELETE FROM NAME", "EXPLAIN UPDATE NAME SET note = 'x'", "EXPLAIN INSERT INTO NAME VALUES (1, 'x', 1)", "DELETE FROM NAME RETURNING *",
	"INSERT INTO orders SELECT * FROM NAME", "INSERT INTO orders SELECT id + 100, note, n FROM NAME", "INSERT INTO orders VALUES (77, (SELECT any_value(note) FROM NAME), 1)", "INSERT INTO orders WITH z AS (FROM NAME) SELECT * FROM z ON CONFLICT DO NOTHING",
	"WITH z AS (FROM NAME) INSERT INTO orders SELECT * FROM z", "UPDATE orders SET note = (SELECT any_value(note) FROM NAME)", "UPDATE orders SET note = z.note FROM NAME z", "UPDATE orders SET note = 'x' WHERE EXISTS (FROM NAME)",
	"DELETE FROM orders WHERE id IN (SELECT id FROM NAME)", "DELETE FROM orders USING NAME z WHERE z.id = orders.id", "EXPLAIN UPDATE orders SET note = z.note FROM NAME z", "WITH z AS (DELETE FROM NAME RETURNING *) DELETE FROM orders",
	"INSERT INTO orders VALUES (78, 'x', 1) ON CONFLICT (id) DO UPDATE SET note = (SELECT any_value(note) FROM NAME)", "UPDATE orders SET note = LAST.note", "UPDATE orders SET note = NS.orders.note WHERE false",
	"DROP TABLE NAME", "DROP TABLE IF EXISTS NAME -- false", "CREATE TABLE NAME (a BIGINT)", "CREATE TABLE IF NOT EXISTS NAME (a BIGINT)", "CREATE TABLE NAME AS SELECT 1 AS a", "CREATE TABLE IF NOT EXISTS NAME AS FROM orders",
	"CREATE TABLE sales.hqzcopy AS FROM NAME", "CREATE TABLE sales.hqzcopy AS SELECT o.* FROM orders o, NAME", "CREATE TABLE sales.hqzcopy (a, PRIMARY KEY (a)) AS SELECT max(id) FROM NAME", "EXPLAIN DROP TABLE NAME", "DROP VIEW NAME",
}

// hiddenCalls are calls about NAME.
var hiddenCalls = []struct {
	line, body string
	headers    []string
}{
	{"GET /datasets/NAME", "", nil}, {"HEAD /datasets/NAME", "", nil}, {"GET /datasets/NAME/deltas", "", nil}, {"GET /datasets/NAME/rows/1", "", nil}, {"GET /datasets/NAME/rows/", "", nil}, {"GET /datasets/NAME/rows/x,y", "", nil},
	{"POST /datasets/NAME/get", `[{"id":1}]`, nil}, {"POST /datasets/NAME/get", `[`, nil}, {"POST /datasets/NAME/rows", `[{"id":1,"note":"x","n":1}]`, nil}, {"POST /datasets/NAME/rows", `[{"nope":1}]`, nil},
	{"POST /datasets/NAME/rows", `[]`, []string{"If-Match: \"x.1.1\""}}, {"POST /datasets/NAME/rows", `[{"id":1}]`, []string{"Idempotency-Key: used"}}, {"POST /datasets/NAME/rows?missing=null", `{}`, nil},
	{"POST /datasets/NAME/delete", `[{"id":1}]`, nil}, {"POST /datasets/NAME/changes", `{"op":"delete","key":{"id":1}}`, []string{"Content-Type: application/x-ndjson"}},
	{"PUT /datasets/NAME", `{"columns":[{"name":"id","type":"BIGINT"}]}`, nil}, {"PUT /datasets/NAME", `{"columns":[]}`, nil}, {"PUT /datasets/NAME", `{"columns":[{"name":"id","type":"BIGINT"}]}`, []string{"Idempotency-Key: made"}},
	{"DELETE /datasets/NAME", "", nil}, {"DELETE /datasets/NAME", "", []string{"Idempotency-Key: used"}}, {"POST /datasets/NAME/rename", `{"to":"sales.mine"}`, nil}, {"POST /datasets/orders/rename", `{"to":"NAME"}`, nil},
	{"POST /datasets/NAME/import", "id\n1\n", []string{"Content-Type: text/csv"}}, {"POST /datasets/NAME/import?mode=append", "id\n1\n", []string{"Content-Type: text/csv"}}, {"POST /datasets/NAME/import?mode=replace&primary_key=id", "id\n1\n", []string{"Content-Type: text/csv"}},
	{"POST /datasets/NAME/import?mode=append&primary_key=note", "id\n1\n", []string{"Content-Type: text/csv", "Idempotency-Key: used"}}, {"POST /query/compact", `{"dataset":"NAME"}`, nil}, {"POST /query/compact", `{"dataset":"NAME","dry_run":true}`, nil},
	{"POST /datasets/NAME/attach", `{"location":"/srv/wh/t"}`, nil}, {"POST /datasets/NAME/attach", `{}`, nil}, {"POST /datasets/NAME/sync", ``, nil}, {"POST /datasets/NAME/sync?wait=false", ``, nil}, {"POST /datasets/NAME/detach", ``, nil},
	{"POST /query/compact", `{"dataset":"NAME","primary_key":["id"]}`, nil}, {"POST /query/compact", ``, nil}, {"POST /query/cache/pin", `{"dataset":"NAME"}`, nil}, {"POST /query/cache/unpin", `{"dataset":"NAME"}`, nil},
	{"POST /query/cache/evict", `{"dataset":"NAME"}`, nil}, {"POST /query/cache/evict", `{"all":true}`, nil}, {"GET /query/cache/stats", "", nil}, {"GET /datasets", "", nil}, {"GET /jobs", "", nil}, {"GET /queries", "", nil}, {"GET /metrics", "", nil},
	{"PATCH /datasets/NAME", "", nil}, {"GET /datasets/NAME/nothing", "", nil}, {"GET /datasets/NAME/", "", nil},
}

func onName(template, name string) string {
	namespace, last := name, name
	if i := strings.IndexByte(name, '.'); i >= 0 {
		namespace, last = name[:i], name[i+1:]
	}
	return strings.NewReplacer("NAME", name, "NS", namespace, "LAST", last).Replace(template)
}

// What a token may not read is to it as if it were not there: whatever it asks, the
// answer about a hidden name is that about a name that nothing has.
func TestAHiddenDatasetIsNotThere(t *testing.T) {
	g := openGuarded(t)
	asked := 0
	for _, warm := range []string{"cold", "pinned"} {
		if warm == "pinned" {
			g.must("boss", http.StatusOK, "POST /query/cache/pin", `{"dataset":"hqzxkvwj"}`)
			g.must("boss", http.StatusOK, "POST /query/cache/pin", `{"dataset":"hqzxnsj.hqzxkjwj"}`)
		}
		for _, names := range twinNames {
			// Those who may have asked before, with the same keys: nothing of that shows.
			for _, sql := range hiddenSQL {
				g.sql("boss", onName(sql, names[0]))
			}
			g.call("boss", "POST /datasets/"+names[0]+"/rows", `[{"id":1}]`, "Idempotency-Key: used")
			g.call("boss", "GET /datasets/"+names[0]+"/rows/1", "")
			for _, who := range []string{"reader", "writer"} {
				for _, sql := range hiddenSQL {
					asked++
					there, absent := g.sql(who, onName(sql, names[0])), g.sql(who, onName(sql, names[1]))
					if a, b := there.plain(names[0]), absent.plain(names[1]); a != b {
						t.Errorf("%s, %s: %s\nhidden: %s\nabsent: %s", warm, who, onName(sql, names[0]), a, b)
					}
					noCanary(t, who, sql, there)
				}
				for _, sql := range hiddenStatements {
					for _, header := range []string{"Accept: */*", "Idempotency-Key: used", "If-Match: \"x.1.1\""} {
						asked++
						there := g.call(who, "POST /query/sql", onName(sql, names[0]), "Content-Type: text/plain", header)
						absent := g.call(who, "POST /query/sql", onName(sql, names[1]), "Content-Type: text/plain", header)
						if a, b := there.plain(names[0]), absent.plain(names[1]); a != b || there.status == http.StatusOK && !strings.Contains(sql, "false") {
							t.Errorf("%s, %s: %s\nhidden: %s\nabsent: %s", warm, who, onName(sql, names[0]), a, b)
						}
						noCanary(t, who, sql, there)
					}
				}
				for _, c := range hiddenCalls {
					asked++
					there := g.call(who, onName(c.line, names[0]), onName(c.body, names[0]), c.headers...)
					absent := g.call(who, onName(c.line, names[1]), onName(c.body, names[1]), c.headers...)
					if a, b := there.plain(names[0]), absent.plain(names[1]); a != b {
						t.Errorf("%s, %s: %s %s\nhidden: %s\nabsent: %s", warm, who, onName(c.line, names[0]), onName(c.body, names[0]), a, b)
					}
					noCanary(t, who, c.line+c.body, there)
				}
			}
		}
	}
	t.Logf("%d questions, each about a hidden name and about one that nothing has", asked)
	for _, name := range []string{"hqzxkvwj", "hqzxnsj.hqzxkjwj"} {
		if got := g.sql("boss", "SELECT count(*) AS n FROM "+name+" WHERE note = '"+canary+"'"); !strings.Contains(got.body, "[2]") {
			t.Errorf("%s was changed: %s", name, got)
		}
	}
}

// noCanary fails where an answer has something of a hidden row, or a hidden name that
// was not in the question.
func noCanary(t *testing.T, who, question string, r reply) {
	t.Helper()
	if strings.Contains(r.String(), "CANARY") {
		t.Errorf("%s: %s: the answer has hidden content: %s", who, question, r)
	}
	if q := strings.ToLower(question); !strings.Contains(q, "name") && !strings.Contains(q, "last") && !strings.Contains(q, "ns") {
		for _, hidden := range []string{"hqzxkvwj", "hqzxnsj", "hqzxkjwj"} {
			if strings.Contains(strings.ToLower(r.String()), hidden) {
				t.Errorf("%s: %s: the answer has the name %s: %s", who, question, hidden, r)
			}
		}
	}
}

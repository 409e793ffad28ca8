package serving

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// made is a hot dataset of n rows that DuckDB makes by an expression a column, of i; the
// rows stand in its file as order says. A column is "name TYPE = expression".
func (l *testLake) made(uuid, key string, n int, order string, columns ...string) lake.Schema {
	l.t.Helper()
	var spelled, exprs, ids []string
	for _, c := range columns {
		declared, expr, _ := strings.Cut(c, " = ")
		spelled, exprs = append(spelled, declared), append(exprs, expr)
	}
	s := schemaOf(l.t, key, spelled...)
	for i, c := range s.Columns {
		exprs[i] = "(" + exprs[i] + ")::" + c.Type.SQL() + " AS " + lake.QuoteIdent(c.Name)
		ids = append(ids, lake.QuoteIdent(c.Name)+": "+fieldIDs(c))
	}
	l.files++
	f := lake.BaseFile{Key: fmt.Sprintf("base/main/x/data/%d.parquet", l.files), Rows: int64(n), Bytes: int64(n) * 20, Ordinal: int64(l.files)}
	f.Path = l.path(f.Key)
	l.exec(fmt.Sprintf("COPY (SELECT %s FROM range(%d) r(i) ORDER BY %s) TO %s (FORMAT parquet, FIELD_IDS {%s})",
		strings.Join(exprs, ", "), n, order, lake.QuoteString(f.Path), strings.Join(ids, ", ")))
	l.tell(publishEntry(lake.Publish{TableUUID: uuid, Name: name(uuid), Schema: s, Files: []lake.BaseFile{f}}))
	l.load(uuid)
	return s
}

// manyPeople are more than are looked at.
const manyPeople = 150_000

// peopleAndWords are hot datasets, one in the order of its key, some in none.
func peopleAndWords(t *testing.T, o Options) (*testLake, lake.Schema) {
	o.ImageBudgetBytes = ample
	l := newTestLake(t, o).begin()
	text := "['Oslo', 'Bergen', 'O''Hare', '', NULL, 'Å'][1 + i %% 6]"
	s := l.made("people", "id", manyPeople, "i", "id BIGINT = i * 2", "city VARCHAR = "+strings.ReplaceAll(text, "%%", "%"),
		"status VARCHAR = ['open', 'done', NULL][1 + i * 7 % 3]", "note VARCHAR = 'note ' || i", "pay DECIMAL(10,2) = i % 50",
		"born DATE = DATE '1990-01-01' + (i % 400)::INTEGER", "p STRUCT(id BIGINT, b VARCHAR) = {'id': 1000 - i, 'b': 'b' || i}", "tags VARCHAR[] = ['a', 'b' || i % 3]")
	l.made("days", "region,day", 24_000, "hash(i)", "day DATE = DATE '2000-01-01' + (i % 4000)::INTEGER", "Region VARCHAR = 'r' || i // 4000",
		"a VARCHAR = 'a' || i", "b VARCHAR = 'b' || i % 9", "n INTEGER = i % 10")
	l.made("words", "k", 24_000, "hash(i)", "v DOUBLE = i", "k VARCHAR = CASE i WHEN 7 THEN '' ELSE repeat('é', (i % 3)::INTEGER) || repeat('''', (i % 5)::INTEGER) || i END",
		"a VARCHAR = 'a' || i", "b VARCHAR = 'b' || i % 9")
	l.made("few", "id", 500, "i", "id BIGINT = i", "a VARCHAR = 'a' || i", "b VARCHAR = 'b' || i")
	l.made("numbers", "id", 48_000, "i", "id BIGINT = i", "a BIGINT = i % 7", "b DOUBLE = i / 3")
	for uuid, expr := range keyTypes {
		typ, expr, _ := strings.Cut(expr, " = ")
		l.made(uuid, "k", 24_000, "hash(i)", "k "+typ+" = "+expr, "a VARCHAR = 'a' || i", "b VARCHAR = 'b' || i % 9", "c VARCHAR = 'c' || i % 11")
	}
	return l, s
}

// keyTypes are datasets with keys of other types.
var keyTypes = map[string]string{
	"t_integer":   "INTEGER = i - 12000",
	"t_decimal":   "DECIMAL(20,3) = (i - 12000) / 8",
	"t_uuid":      "UUID = md5(i::VARCHAR)",
	"t_date":      "DATE = DATE '0001-01-01' + (i - 12000)::INTEGER", // before Christ too
	"t_timestamp": "TIMESTAMP = TIMESTAMP '1969-12-31 12:00:00.000001' + INTERVAL (i * 1000003) MICROSECONDS",
	"t_zoned":     "TIMESTAMP WITH TIME ZONE = TIMESTAMPTZ '2024-03-31 00:00:00+00' + INTERVAL (i * 1000003) MICROSECONDS",
}

// firstRows are queries for the first rows that are asked with a bound.
var firstRows = []string{
	"select * from people where city = 'Oslo' order by id limit 100",
	"SELECT * FROM People AS q WHERE q.city = 'Oslo' AND status = 'open' OR q.pay > 40 ORDER BY q.ID ASC LIMIT 7",
	"select * from people order by id limit 20",
	"select * from people x order by x.id desc limit 20",
	"select * from people where city = 'Oslo' order by id desc nulls last limit 100",
	"select id, note, upper(city) as town, pay * 2 from people where status = 'done' order by id limit 10 offset 30",
	"select * exclude (note), city || note as both from main.people where pay >= 5 order by id, city limit 50",
	"select note, city from people where id > 5000 and status = 'open' order by id limit 10",
	"select note, city from people where 5000 < id and status = 'open' order by id limit 10",
	"select note, city from people where status = 'open' and id < 5000 order by id desc limit 10",
	"select * from people where status = ? order by id limit 10",
	"select * from people where pay > 3 or 'é' = city -- and; order by\n order by id limit 10;",
	"select/* where */*from \"people\"where(status='open')order by\"id\"limit 3",
	"select * from people where status is not distinct from 'open' and born between date '1990-02-01' and date '1990-06-01' order by id limit 9",
	"select * from people where case when pay > 10 then city = 'Oslo' else status = 'done' end order by id limit 9",
	"select * from people where tags[2] = 'b1' order by id limit 12",
	"select a, b, n from days where n < 8 order by region, day limit 40",
	"select * from days order by Region desc, day desc limit 40",
	"select * from words where b <> 'b4' order by k limit 30",
	"select * from words where b <> 'b4' order by k desc limit 30",
	"select * from words where k < 'é' order by k desc limit 30",
	"select * from numbers where a < 6 order by id limit 100 offset 5500",
	"select * from t_integer where b < 'b5' order by k limit 30", "select * from t_integer where k < 100 order by k desc limit 30",
	"select * from t_integer where k > 100 and b < 'b5' order by k limit 30",
	"select * from t_decimal where b < 'b5' order by k limit 30", "select * from t_decimal order by k desc limit 30",
	"select * from t_decimal where k > 100 order by k limit 30",
	"select * from t_uuid where b < 'b5' order by k limit 30", "select * from t_uuid order by k desc limit 30",
	"select * from t_date where b < 'b5' order by k limit 30", "select * from t_date order by k desc limit 30",
	"select * from t_timestamp where b < 'b5' order by k limit 30", "select * from t_timestamp order by k desc limit 30",
	"select * from t_zoned where b < 'b5' order by k limit 30", "select * from t_zoned order by k desc limit 30",
}

// otherRows are queries that run as they are sent, or get no bound as there are too few rows.
var otherRows = []string{
	"select * from people where city = 'nowhere' order by id limit 10",
	"select * from people where note = 'note 777' order by id limit 10",
	"select * from people where pay < 0 order by id desc limit 10",
	"select * from people where city = 'Oslo' order by id",
	"select * from people where city = 'Oslo' order by id limit 0",
	"select * from days where n > 3 order by region, day limit 4000",
	"select * from people where note like '%7777' order by id limit 14",
	"select * from people where note like '%7777' order by id desc limit 14",
	"select * from people where city = 'Oslo' order by id limit 10001",
	"select * from people where city = 'Oslo' order by id limit 1 %",
	"select * from people where city = 'Oslo' order by id limit 2 + 3",
	"select * from people where city = 'Oslo' order by id limit ?",
	"select *, ? as x from people where city = 'Oslo' order by id limit 10",
	"select * from people where city = 'Oslo' order by -id limit 10",
	"select * from people where city = 'Oslo' order by 1 limit 10",
	"select * from people where city = 'Oslo' order by id::VARCHAR limit 10",
	"select p.id, note, city from people where pay > 3 order by id limit 10",
	"select * replace (pay as id) from people order by id, note limit 10",
	"select note, city as born from people where born = 'Oslo' order by id limit 10",
	"select note, city as town from people where town = 'Oslo' order by id limit 10",
	"select note, upper(city) as town, town || '!' as more from people order by id limit 10",
	"select id, note from people where city = 'Oslo' order by id limit 10",
	"select id, city from people where city = 'Oslo' order by id limit 10",
	"select id, note, city, unnest(tags) as tag from people where id < 100 order by id, tag limit 10",
	"select id, note, city, row_number() over (order by id) from people order by id limit 10",
	"select max(note), max(city) from people order by id limit 10",
	"select distinct note, city, id from people order by id limit 10",
	"select id, any_value(note), any_value(city) from people group by id order by id limit 10",
	"select * from people qualify row_number() over (partition by city order by id) = 3 order by id limit 10",
	"select * from people where id = 500 order by id limit 10",
	"select * from people where id in (500, 600) order by id limit 10",
	"select * from people where pay > (select 3) order by id limit 10",
	"select * from people where exists (select * from few where few.id = people.id) order by id limit 10",
	"select * from (select * from people) people where city = 'Oslo' order by id limit 10",
	"with people as (select * from few) select * from people order by id limit 10",
	"select * from people join few using (id) order by id limit 10",
	"select * from people, few where people.id = few.id order by people.id limit 10",
	"select people, note, city from people order by id limit 10",
	"select * from people where people is not null order by id limit 10",
	"select columns('.*') from people order by id limit 10",
	"select * from people as t(id2, city, status) order by id2 limit 10",
	"select * from people where _tarn_code_1 > 0 order by id limit 10",
	"select * from people where rowid < 10 order by id limit 10",
	"select * from people where no_such > 0 order by id limit 10",
	"from people where city = 'Oslo' order by id limit 10",
	"select * from few order by id limit 10",
	"select * from numbers where a < 6 order by id limit 100",
	"select * from days order by day, region limit 10",
	"select * from words where k = '''77' order by k limit 10",
	"select * from people as p where p.city = 'Oslo' order by p.id limit 10",
	"select * from people where city = 'Oslo' order by id collate nocase limit 10",
}

// openRows are such queries that have several answers.
var openRows = []string{
	"select * from people where city = 'Oslo' order by note limit 10",
	"select note as id, city, status from people where pay > 3 order by id limit 10",
	"select note, city, id from people union all select a, b, id from few order by id limit 10",
	"select * from people where city::BIGINT > 0 order by id limit 10",
	"select *, random() from people where city = 'Oslo' order by id limit 10",
	"select *, today() from people where city = 'Oslo' order by id limit 10",
}

// answersInOrder runs the queries and gives columns and rows.
func answersInOrder(t *testing.T, l *testLake, queries []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, sql := range queries {
		l.s.luck = newLuck() // look each time
		req := Request{SQL: sql, See: l.number}
		switch {
		case strings.Contains(sql, "limit ?"), strings.Contains(sql, "*, ?"):
			req.Params.Positional = []any{int64(5)}
		case strings.Contains(sql, "?"):
			req.Params.Positional = []any{"done"}
		}
		head, got := answerTo(t, l, req)
		out[sql] = head + strings.Join(got, "\n")
	}
	return out
}

// hasBound says whether a query is asked with a bound.
func hasBound(t *testing.T, l *testLake, sql string) bool {
	t.Helper()
	sess, err := l.s.pool.get(l.context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.s.pool.put(sess, true)
	req := Request{SQL: sql}
	p, err := l.s.admit(l.context(), sess, req)
	if err != nil {
		return false
	}
	if strings.Contains(sql, "?") {
		p.params.Positional = []any{"done"}
	}
	r, err := l.s.begin(l.context(), sess, p, l.number, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.end(context.Background())
	l.s.luck = newLuck()
	text, _, err := l.s.bounded(l.context(), p, r)
	return err == nil && text != p.sql
}

// I3: with a bound or without, the answers are the same, in order and with names and
// types and all, while rows come and go, images are checkpointed with many rows deleted
// and built anew.
func TestWithABoundTheFirstRowsAreTheSame(t *testing.T) {
	bound, s := peopleAndWords(t, Options{})
	plain, _ := peopleAndWords(t, Options{NoFirstRows: true})
	queries := slices.Concat(firstRows, otherRows)
	compare := func(step string) {
		t.Helper()
		got, want := answersInOrder(t, bound, queries), answersInOrder(t, plain, queries)
		for _, sql := range queries {
			if got[sql] != want[sql] {
				t.Errorf("%s: %s\nwith a bound %s\nwithout %s", step, sql, got[sql], want[sql])
			}
		}
	}
	compare("as loaded")
	for _, sql := range firstRows {
		if !hasBound(t, bound, sql) {
			t.Errorf("%s has no bound", sql)
		}
		if hasBound(t, plain, sql) {
			t.Errorf("%s has a bound where there are none", sql)
		}
	}
	for _, sql := range slices.Concat(otherRows, openRows) {
		if hasBound(t, bound, sql) {
			t.Errorf("%s has a bound", sql)
		}
	}

	random := rand.New(rand.NewPCG(1, 2))
	sequence := int64(0)
	tell := func(changes []change) {
		sequence++
		for _, l := range []*testLake{bound, plain} {
			l.tell(applyEntry("people", l.delta("people", s, sequence, changes)))
		}
	}
	upsert := func(id int) change {
		return change{row: fmt.Sprintf(`{"id":%d,"city":%s,"status":"open","note":"new %d","pay":"%d.50","born":"1990-03-04","p":{"id":1,"b":null},"tags":["x","b1"]}`,
			id, jsonText([]string{"Oslo", "Bergen", "", "O'Hare"}[random.IntN(4)]), sequence, random.IntN(60))}
	}
	for round := range 3 { // keys among the others, before and behind them
		var changes []change
		for range 300 {
			id := random.IntN(2*manyPeople+400) - 200
			if random.IntN(4) == 0 {
				changes = append(changes, change{key: fmt.Sprintf(`{"id":%d}`, id)})
				continue
			}
			changes = append(changes, upsert(id))
		}
		tell(latestOf(changes))
		compare(fmt.Sprint("round ", round))
	}
	if !hasBound(t, bound, firstRows[0]) {
		t.Error("a changed image has no bound")
	}

	number := func() (n int64) {
		tables := bound.s.tables
		tables.mu.Lock()
		defer tables.mu.Unlock()
		for i := range tables.mu.tables {
			n = max(n, i)
		}
		return n
	}
	before := number()
	var gone []change
	for id := range 20_000 { // the first half of the file, and of its first row group
		gone = append(gone, change{key: fmt.Sprintf(`{"id":%d}`, 2*id)})
	}
	tell(gone)
	compare("many gone")
	bound.until("the image built anew", func() bool { return number() > before })
	compare("built anew")
	var back []change
	for id := range 3_000 {
		back = append(back, upsert(40_000-7*id))
	}
	tell(latestOf(back))
	compare("some are back")
	if !hasBound(t, bound, firstRows[0]) {
		t.Error("an image that was built anew has no bound")
	}
	if _, err := bound.s.DropImage(bound.context(), "people", bound.number); err != nil {
		t.Fatal(err)
	}
	compare("one cold")
	if hasBound(t, bound, firstRows[0]) {
		t.Error("a cold dataset has a bound")
	}
}

// The first rows are not looked up again by a join, which would read all of the table.
func TestFirstRowsAreReadOnce(t *testing.T) {
	l := newTestLake(t, Options{ImageBudgetBytes: ample}).begin()
	l.made("people", "id", 50_000, "i", "id BIGINT = i", "a VARCHAR = 'a' || i", "b VARCHAR = 'b' || i")
	got, _ := l.ask("EXPLAIN SELECT * FROM people WHERE a <> 'a7' ORDER BY b LIMIT 10")
	if plan := strings.Join(got, "\n"); strings.Contains(plan, "JOIN") || !strings.Contains(plan, "TOP_N") {
		t.Error(plan)
	}
}

// firstRowsBenches are queries of the demo's tables that get a bound, and some that do not.
var firstRowsBenches = []struct{ name, sql string }{
	{"candidates", "SELECT * FROM candidates WHERE state='CA' AND status='active' AND years>=5 ORDER BY candidate_id LIMIT 100"},
	{"candidates desc", "SELECT * FROM candidates WHERE state='CA' AND status='active' AND years>=5 ORDER BY candidate_id DESC LIMIT 100"},
	{"candidates page", "SELECT * FROM candidates WHERE candidate_id > 50000 AND state='CA' AND status='active' ORDER BY candidate_id LIMIT 100"},
	{"candidates all", "SELECT * FROM candidates ORDER BY candidate_id LIMIT 100"},
	{"candidates some", "SELECT candidate_id, email, city FROM candidates WHERE state='CA' AND status='active' ORDER BY candidate_id LIMIT 100"},
	{"candidates 40", "SELECT * FROM candidates WHERE state='CA' AND status='active' AND years>=5 ORDER BY candidate_id LIMIT 40"},
	{"timesheets 40", "SELECT * FROM timesheets WHERE status='approved' ORDER BY timesheet_id LIMIT 40"},
	{"candidates rare", "SELECT * FROM candidates WHERE city='Austin' AND years=30 AND state='CA' ORDER BY candidate_id LIMIT 100"},
	{"candidates 1000", "SELECT * FROM candidates WHERE status='active' AND years>=5 ORDER BY candidate_id LIMIT 1000"},
	{"timesheets 1000", "SELECT * FROM timesheets WHERE status='approved' ORDER BY timesheet_id LIMIT 1000"},
	{"candidates none", "SELECT * FROM candidates WHERE state='ZZ' ORDER BY candidate_id LIMIT 100"},
	{"timesheets", "SELECT * FROM timesheets WHERE status='approved' ORDER BY timesheet_id LIMIT 100"},
	{"timesheets desc", "SELECT * FROM timesheets WHERE status='approved' ORDER BY timesheet_id DESC LIMIT 100"},
	{"timesheets page", "SELECT * FROM timesheets WHERE status='approved' AND timesheet_id > 700000 ORDER BY timesheet_id LIMIT 100"},
	{"timesheets deep", "SELECT * FROM timesheets WHERE status='approved' ORDER BY timesheet_id LIMIT 100 OFFSET 5000"},
	{"timesheets rare", "SELECT * FROM timesheets WHERE hours_regular > 39.9 AND hours_overtime > 9.5 ORDER BY timesheet_id LIMIT 100"},
	{"timesheets few", "SELECT * FROM timesheets WHERE candidate_id = 77 ORDER BY timesheet_id LIMIT 100"},
	{"timesheets none", "SELECT * FROM timesheets WHERE status='no such' ORDER BY timesheet_id LIMIT 100"},
}

// The first rows by the key of the demo's tables, bounded and not, as loaded and after a
// tenth of the rows was replaced.
func BenchmarkFirstRows(b *testing.B) {
	for _, plain := range []bool{true, false} {
		l := newTestLake(b, Options{ImageBudgetBytes: ample, NoFirstRows: plain}).begin()
		s, rows := l.staff("timesheets")
		l.staff("candidates")
		l.load("timesheets")
		l.load("candidates")
		run := func(state string) {
			for _, q := range firstRowsBenches {
				b.Run(fmt.Sprintf("%s/plain=%t/%s", q.name, plain, state), func(b *testing.B) {
					for b.Loop() {
						a, err := l.s.Query(context.Background(), Request{SQL: q.sql, See: l.number})
						if err != nil {
							b.Fatal(err)
						}
						if _, err := read(context.Background(), a); err != nil {
							b.Fatal(err)
						}
						a.Close()
					}
				})
			}
		}
		run("loaded")
		l.rewrite(s, rows, 100_000, 1000)
		run("changed")
	}
}
